"""Every command that stands in a document works as typed, and answers what the document says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lead_scoring.local import control
from tests.docs.conftest import Desk
from tests.docs.documents import Block, all_blocks, blocks, commands
from tests.support.stack import ROOT

SHELL = all_blocks("sh", "bash", "shell", "console")
PYTHON = all_blocks("python")

# What is not run here, why, and where it is.
MAKE_RUN = "tests/local/test_lifecycle.py::test_make_run_and_its_commands"
ELSEWHERE = {
    "make run": MAKE_RUN,
    "make test": "tests/docs/test_commands.py::test_a_shell_block_works_as_typed",  # is what runs this
}
# Minutes of training: the same commands run smaller for README's block, and with other options where named.
SHIPPED = "docs/models.md"
RUN_SMALLER = {"--leads 100000": "--leads 4000"}
# Told from beginning to end, with a server of its own in the middle: run as a whole.
WALK_THROUGHS = {
    "docs/any-table.md": "tests/intake/test_walk_through.py",
    "docs/rollouts.md": "tests/cluster/test_runbook.py",
}
# Wants a cluster: the same command stands in a document whose commands are run on one.
RUNBOOK = ROOT / "docs" / "rollouts.md"
CLUSTER_TOOLS = ("helm ", "kubectl ")
# Starts a process that would not end.
SERVERS = {
    "docs/predictor.md": ("python -m lead_predictor", "predictors/tests/test_start.py"),
    "docs/local.md": ("make run", "tests/local/test_lifecycle.py"),
}

CHANGING = {"request_id", "timestamp", "processing_time_ms", "prediction_time_ms"}
"""Of these an answer must have the type that is shown, not the value."""


def is_shipped_recipe(block: Block) -> bool:
    return block.document == ROOT / SHIPPED and "--seed 2" in block.text


def runs_alone(block: Block) -> bool:
    if is_shipped_recipe(block) or wants_a_cluster(block):
        return False
    return str(block.document.relative_to(ROOT)) not in WALK_THROUGHS


def wants_a_cluster(block: Block) -> bool:
    return all(command.startswith(CLUSTER_TOOLS) for command in commands(block))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("block", list(filter(runs_alone, SHELL)), ids=str)
def test_a_shell_block_works_as_typed(desk: Desk, block: Block) -> None:
    script = block.text
    if set(ELSEWHERE) >= set(commands(block)):
        return_here_says_where_it_is_run(commands(block))
        return
    for full, small in RUN_SMALLER.items():
        script = script.replace(full, small)
    try:
        done = desk.run(script)
    finally:
        control.rollback(desk.stack.folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert '"error"' not in done.stdout
    if block.answer is not None:
        expect_alike(json.loads(done.stdout), json.loads(block.answer))


def return_here_says_where_it_is_run(typed: list[str]) -> None:
    for command in typed:
        path, _, test = ELSEWHERE[command].partition("::")
        assert f"def {test}(" in (ROOT / path).read_text()


def expect_alike(found: Any, shown: Any) -> None:
    """Compare an answer with the one that a document shows."""
    if isinstance(shown, dict):
        assert list(found) == list(shown)
        for key, value in shown.items():
            if key in CHANGING:
                assert type(found[key]) is type(value)
            else:
                expect_alike(found[key], value)
    elif isinstance(shown, list):
        assert len(found) == len(shown)
        for one, other in zip(found, shown, strict=True):
            expect_alike(one, other)
    elif isinstance(shown, float):
        assert found == pytest.approx(shown, abs=1e-6)
    else:
        assert found == shown


@pytest.mark.parametrize(
    "wrong",
    [
        {"score": 2, "p": 0.5, "timestamp": "x"},
        {"score": 1, "p": 0.5001, "timestamp": "x"},
        {"score": 1, "p": 0.5},
        {"score": 1, "p": 0.5, "timestamp": 1},
        {"score": 1, "p": 0.5, "timestamp": "x", "more": 1},
    ],
)
def test_another_answer_than_shown_is_noticed(wrong: Any) -> None:
    shown = {"score": 1, "p": 0.5, "timestamp": "2026"}
    expect_alike({"score": 1, "p": 0.5, "timestamp": "2027"}, shown)
    with pytest.raises(AssertionError):
        expect_alike(wrong, shown)


def test_the_readme_shows_a_real_answer() -> None:
    assert any(block.answer for block in SHELL if block.document.name == "README.md")


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_a_python_block_works_as_typed(desk: Desk, block: Block) -> None:
    done = desk.run(block.text, language="python")
    assert done.returncode == 0, done.stderr
    assert re.search(r"[1-5]", done.stdout)


def test_the_recipe_of_the_shipped_versions_is_the_one_that_make_follows() -> None:
    """Too long to run; that the versions are what they should be is shown in tests/training/test_shipped_models.py."""
    (recipe,) = [block for block in SHELL if is_shipped_recipe(block)]
    rule = (ROOT / "Makefile").read_text().partition("\nmodels:")[2].partition("\n\n")[0].replace("\\\n", " ")
    made = [line.strip().replace("$(STACK)", "lead-scoring") for line in rule.splitlines() if "$(STACK)" in line]
    shown = [command for command in commands(recipe) if command.startswith("lead-scoring")]

    def plain(command: str) -> list[str]:
        return command.replace("dist/model-repo", "model-repo").split()

    assert len(shown) == 6
    assert [plain(command) for command in shown] == [plain(command) for command in made]
    assert (ROOT / "tests/training/test_shipped_models.py").exists()


def test_walk_throughs_are_run_elsewhere() -> None:
    for document, test in WALK_THROUGHS.items():
        assert Path(document).name in (ROOT / test).read_text()
        assert any(block.document == ROOT / document for block in SHELL)


@pytest.mark.parametrize("block", list(filter(wants_a_cluster, blocks(ROOT / "README.md"))), ids=str)
def test_a_cluster_command_of_the_readme_is_one_of_the_runbook(block: Block) -> None:
    run = {command for each in blocks(RUNBOOK) for command in commands(each)}
    assert commands(block)
    assert set(commands(block)) <= run


def test_servers_are_started_elsewhere() -> None:
    for document, (command, test) in SERVERS.items():
        assert any(command in block.text for block in blocks(ROOT / document) if block.language == "indented")
        assert (ROOT / test).exists()


def test_no_command_hides_in_an_indented_block() -> None:
    for block in all_blocks("indented"):
        excused = SERVERS.get(str(block.document.relative_to(ROOT)))
        for command in commands(block):
            if re.match(r"(\S*/)?(make|curl|lead-scoring|python|docker|kubectl|helm)\b", command):
                assert excused is not None, f"{block}: {command}"
                assert command.startswith(excused[0]), f"{block}: {command}"


def test_fences_say_what_is_in_them() -> None:
    """A block without a language is a picture; a command in it would escape these tests."""
    for block in all_blocks(""):
        for line in block.text.splitlines():
            assert not re.match(r"\$? ?(make|curl|lead-scoring|python|\.venv)\b", line.strip()), f"{block}: {line}"


def known_targets() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    "document", sorted({block.document for block in all_blocks("", "sh", "bash", "indented")}), ids=str
)
def test_commands_named_in_the_text_exist(document: Path) -> None:
    text = document.read_text()
    for target in re.findall(r"`make ([a-z0-9-]+)", text):
        assert target in known_targets(), target
    for command in re.findall(r"`lead-scoring ([a-z]+)", text):
        assert command in {
            "draft",
            "generate",
            "quality",
            "score",
            "train",
            "package",
            "verify",
            "up",
            "shift",
            "shadow",
            "rollback",
            "status",
            "stop",
        }
