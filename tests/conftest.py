"""What tests of every folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.stack import Stack, running_stack, versions


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The real stack, versions 1 and 2; tests may change its split but roll back, and end none of its processes."""
    work = tmp_path_factory.mktemp("stack")
    with running_stack(work, versions(work)) as stack:
        yield stack
