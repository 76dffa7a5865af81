"""What is attacked: the shared stack by those who leave it whole, pods of their own by the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hostile.pods import Pod
from tests.support import small_model
from tests.support.stack import SHIPPED

V1 = SHIPPED / "lead-scoring" / "1"


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model.build(tmp_path_factory.mktemp("repository"), "7")


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Callable[..., Pod]]:
    """Start pods that end with the test."""
    started: list[Pod] = []

    def start(folder: Path, *flags: str, door: str = "socket") -> Pod:
        work = tmp_path / f"pod-{len(started)}"
        work.mkdir()
        started.append(Pod(folder, work, *flags, door=door))
        started[-1].transformer.wait_ready()
        return started[-1]

    yield start
    for pod in started:
        pod.close()
