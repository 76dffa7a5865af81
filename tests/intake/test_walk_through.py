"""The walk-through of docs/any-table.md works as it stands there, from somebody's table to answers of the service."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.docs.documents import Block, blocks, commands
from tests.docs.test_commands import expect_alike
from tests.support.stack import ROOT, Stack, running_stack

DOCUMENT = ROOT / "docs" / "any-table.md"
SERVE = "make run MODEL=health STABLE=1 CANARY=1"
TIMEOUT_S = 150


def run(script: str, folder: Path, port: int | None) -> str:
    """Run a block as typed in a folder with its own home, where packages may unpack themselves."""
    if port is not None:
        script = script.replace(":8080", f":{port}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env={**os.environ, "HOME": str(folder)}, capture_output=True, text=True, timeout=TIMEOUT_S,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stderr}"
    return done.stdout


def check(shell: list[Block], folder: Path, stack: Stack | None) -> str:
    """Run blocks one after the other; return all that they print."""
    printed = []
    for block in shell:
        shown = run(block.text, folder, stack.port if stack else None)
        assert shown.strip(), f"{block} prints nothing"
        if block.answer is not None:
            expect_alike(json.loads(shown), json.loads(block.answer))
        printed.append(shown)
    return "\n".join(printed)


@pytest.mark.timeout(400)
def test_the_walk_through_works_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / "model-repo").mkdir()
    shell = [block for block in blocks(DOCUMENT) if block.language == "sh"]
    (place,) = [position for position, block in enumerate(shell) if commands(block) == [SERVE]]
    before = check(shell[:place], tmp_path, None)
    for line in [line for block in blocks(DOCUMENT) if block.language == "text" for line in block.text.splitlines()]:
        assert " ".join(line.split()) in " ".join(before.split())
    state = tmp_path / "stack"
    state.mkdir()
    options = ["--model", "health", "--stable", "1", "--canary", "1"]
    with running_stack(state, tmp_path / "model-repo", *options) as stack:
        after = check(shell[place + 1 :], tmp_path, stack)
    assert "22272 rows scored by health 1" in after
    assert "in all: ok" in after
    card = (tmp_path / "model-repo" / "health" / "1" / "model-card.html").read_text()
    contract = json.loads((tmp_path / "model-repo" / "health" / "1" / "contract.json").read_bytes())
    auc = contract["training"]["metrics"]["roc_auc"]
    assert f"AUC {auc['value']:.3f} [{auc['low']:.3f}, {auc['high']:.3f}]" in DOCUMENT.read_text()
    assert "whi is yes" in card


def test_the_command_that_serves_it_asks_for_that_model_and_version() -> None:
    made = subprocess.run(
        ["make", "--dry-run", *SERVE.split()[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    line = " ".join(made.stdout.replace("\\\n", " ").split())
    assert "--model 'health' --stable '1' --canary '1'" in line
