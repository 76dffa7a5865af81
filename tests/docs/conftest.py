"""A place in which commands of the documents can be typed without changing the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.stack import ROOT, Stack

TIMEOUT_S = 170
PORT = "8080"
"""The port that all documents use."""


@dataclass(frozen=True)
class Desk:
    """A folder that looks like the root of the repository, with the shared stack as the one on the documents' port."""

    folder: Path
    stack: Stack

    def run(self, script: str, *, language: str = "bash") -> subprocess.CompletedProcess[str]:
        """Run a block as typed, against the stack's port."""
        port = str(self.stack.port)
        script = script.replace(f":{PORT}", f":{port}").replace(f".run/{PORT}/", f".run/{port}/")
        command = (
            ["bash", "-euo", "pipefail", "-c", script] if language == "bash" else [".venv/bin/python", "-c", script]
        )
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, "PORT": port, "MAKEFLAGS": f"PORT={port}"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )


@pytest.fixture(scope="module")
def desk(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    for entry in ROOT.iterdir():
        if entry.name not in (".run", ".git", "model-repo", "dist"):
            (folder / entry.name).symlink_to(entry)
    shutil.copytree(ROOT / "model-repo", folder / "model-repo")
    for path in (folder / "model-repo").rglob("*"):
        path.chmod(path.stat().st_mode | 0o200)  # published files are read-only; pytest wants to clean up
    (folder / ".run").mkdir()
    (folder / ".run" / str(stack.port)).symlink_to(stack.folder.root)
    return Desk(folder, stack)
