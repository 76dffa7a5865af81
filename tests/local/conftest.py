"""A gateway for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lead_scoring.local import control
from tests.local.gateway import Gateway, running_gateway


@pytest.fixture
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio alone."""
    return "asyncio"


@pytest.fixture(scope="session")
def session_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture
def gateway(session_gateway: Gateway) -> Iterator[Gateway]:
    """A real Envoy in front of two echoes; everything goes to stable, and nothing has been received."""
    for echo in (session_gateway.stable, session_gateway.canary):
        echo.received.clear()
    yield session_gateway
    for echo in (session_gateway.stable, session_gateway.canary):
        echo.ready, echo.delay_s = True, 0.0
    control.rollback(session_gateway.folder)
