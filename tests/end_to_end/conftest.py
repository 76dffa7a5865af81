"""The real stack, a thousand made-up leads, what they score without any server, and a watch over the processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lead_scoring.contract.types import Contract
from lead_scoring.core.assembly import from_records
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.local import control
from lead_scoring.packaging import booster, folder, offline
from tests.end_to_end.doors import Doors
from tests.end_to_end.payloads import Lead, generated
from tests.support.stack import SHIPPED, Stack, alive, until

COUNT = 1000
MARK = "kilroy.was.here"
"""Stands in whatever hostile text clients send here: it may come back in no error and stand in no log."""
LONG = MARK + "x" * 2**20


@pytest.fixture(scope="session")
def leads() -> list[dict[str, Any]]:
    return generated(COUNT, seed=20261121)


@pytest.fixture(scope="session")
def few(leads: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Three leads whose ids must not come back in an error either."""
    return [{**lead, "lead_id": f"{MARK}-{row}"} for row, lead in enumerate(leads[:3])]


@pytest.fixture(scope="session")
def contract(stack: Stack) -> Contract:
    """Stable's."""
    return stack.contract()


@dataclass(frozen=True)
class Offline:
    """A version without any server."""

    contract: Contract
    model: Any

    def score(self, leads: list[Lead] | list[dict[str, Any]], as_of_s: float) -> offline.Scored:
        """Score leads at a moment."""
        batch = from_records(FeaturePlan.of(self.contract), list(leads), max_leads=len(leads))
        return offline.score(self.contract, booster.margins(self.model), batch, as_of_s)


@pytest.fixture(scope="session", params=["1", "2"], ids=["v1", "v2"])
def version(request: pytest.FixtureRequest) -> str:
    """Each of the versions that ship."""
    return str(request.param)


@pytest.fixture(scope="session")
def offline_models(stack: Stack) -> dict[str, Offline]:
    """What the versions that the stack serves say offline; they are the ones that ship."""
    found = {}
    for variant in stack.state.variants:
        assert Path(variant.folder).resolve() == (SHIPPED / "lead-scoring" / variant.version).resolve()
        verified = folder.read_verified(Path(variant.folder))
        model = booster.load(verified.contract, verified.model)
        found[variant.version] = Offline(verified.contract, model)
    return found


@pytest.fixture(scope="session")
def doors(stack: Stack) -> Iterator[Doors]:
    found = Doors(stack.url, stack.grpc, stack.contract())
    yield found
    found.close()


@pytest.fixture(scope="module", autouse=True)
def survivors(stack: Stack, doors: Doors) -> Iterator[None]:
    """Whatever a module asks, every process lives on, no text of a client is in a log, and no error of ours."""
    control.rollback(stack.folder)
    before = stack.pids()
    yield
    control.rollback(stack.folder)
    assert stack.pids() == before
    assert all(alive(pid) for pid in before)
    until(lambda: doors.http.get("/v2/health/ready").status_code == 200, "ready as before")
    for log in stack.folder.logs.iterdir():
        words = log.read_text(errors="replace")
        assert MARK not in words, log
        assert '"internal' not in words, log
        assert "Traceback" not in words, log


@pytest.fixture(scope="module")
def served(stack: Stack, doors: Doors, version: str) -> Iterator[str]:
    """All traffic goes to one version, which is returned."""
    name = next(found.name for found in stack.state.variants if found.version == version)
    percent = 100 if stack.state.variant("canary").version == version else 0
    control.shift(stack.folder, percent, wait_s=60)
    asked = iter(range(10_000))

    def only_this_one() -> bool:
        # Envoy's main thread has the routes; its workers may have them a moment later.
        return all(
            doors.http.get("/v2", headers={"x-lead-key": str(next(asked))}).headers["x-lead-variant"] == name
            for _ in range(20)
        )

    until(only_this_one, f"{name} answers everything")
    yield version
    control.rollback(stack.folder)
