from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lead_scoring.packaging import folder
from tests.support.small_model import build


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version folder that nobody may change."""
    return build(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another version, trained on other leads."""
    return build(tmp_path_factory.mktemp("other"), "2", seed=7)


@pytest.fixture
def version(published: Path, tmp_path: Path) -> Path:
    """A copy of the version folder that a test may spoil, as it stands in a repository."""
    copy = tmp_path / "repository" / published.parent.name / published.name
    shutil.copytree(published, copy)
    for path in copy.iterdir():
        path.chmod(0o644)
    return copy


@pytest.fixture
def relist(version: Path) -> Callable[[], None]:
    """List the folder's files anew, as somebody does who can write all of it."""

    def write_sums() -> None:
        names = sorted(path.name for path in version.iterdir() if path.name != folder.SUMS)
        lines = [f"{folder.digest(version / name)}  {name}\n" for name in names]
        (version / folder.SUMS).write_text("".join(lines))

    return write_sums
