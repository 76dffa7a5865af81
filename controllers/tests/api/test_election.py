"""Two replicas: one acts, the other is there at once when it is told to stop and soon when it dies."""

from __future__ import annotations

import signal
import sys
import time

import pytest
from lead_controller.apiserver import LEASE

from api.process import Controller
from api.rollout import Rollout
from api.wire import Wire
from tests.support.stack import until

_LEASE_S = 3.0
_FLAGS = ("--lease-duration", f"{_LEASE_S:g}")


@pytest.fixture
def pair(scene: Rollout) -> tuple[Controller, Controller]:
    """Return leader and follower."""
    first = scene.start(*_FLAGS)
    until(lambda: first.leads, "the first leads", within_s=10)
    second = scene.start(*_FLAGS)
    until(lambda: second.get("/readyz")[0] == 200, "the second sees everything", within_s=10)
    assert not second.leads
    return first, second


def test_only_the_leader_writes_and_tells_shares(scene: Rollout, pair: tuple[Controller, Controller]) -> None:
    leader, follower = pair
    scene.shift("v2", 25)
    scene.until_split("v1=75,v2=25")
    assert leader.metric("lead_rollout_writes_total")
    assert follower.metric("lead_rollout_writes_total") is None
    assert follower.metric("lead_rollout_routed_share") is None


def test_a_killed_leader_is_replaced(
    scene: Rollout, pair: tuple[Controller, Controller], capsys: pytest.CaptureFixture[str]
) -> None:
    leader, follower = pair
    leader.kill()
    killed = scene.shift("v2", 25)
    took_s = scene.until_split("v1=75,v2=25", within_s=_LEASE_S * 2 + 2) - killed
    with capsys.disabled():
        sys.stdout.write(f"\n  shift after SIGKILL of the leader: {took_s:.1f} s with a lease of {_LEASE_S:g} s\n")
    assert follower.leads


def test_a_leader_told_to_stop_hands_over(scene: Rollout, pair: tuple[Controller, Controller]) -> None:
    leader, follower = pair
    started = time.monotonic()
    assert leader.stop() == 0
    assert time.monotonic() - started < 2
    until(lambda: follower.leads, "the other leads", within_s=1.5)  # half of what expiry would take
    scene.shift("v2", 25)
    scene.until_split("v1=75,v2=25", within_s=2)


def test_a_leader_that_was_away_writes_nothing_when_it_wakes(
    scene: Rollout, pair: tuple[Controller, Controller]
) -> None:
    leader, follower = pair
    scene.until_split("v1=100")
    leader.signal(signal.SIGSTOP)
    # What the sleeper finds when it wakes: one change after the other, the first of them long overtaken.
    scene.shift("v2", 50)
    scene.until_split("v1=50,v2=50", within_s=_LEASE_S * 2 + 2)
    scene.shift("v2", 25)
    scene.until_split("v1=75,v2=25")
    until(lambda: scene.condition("Ready").get("status") == "True", "all is written and taken up", within_s=10)
    before = scene.generations()
    leader.signal(signal.SIGCONT)
    until(lambda: not leader.leads, "it knows that it was deposed", within_s=_LEASE_S)
    writes = leader.metric("lead_rollout_writes_total")
    until(lambda: bool(leader.logged("not leading")), "it says so", within_s=_LEASE_S)
    assert leader.metric("lead_rollout_writes_total") == writes
    assert scene.generations() == before
    assert follower.leads


def test_a_leader_cut_off_from_the_api_server_stands_down_before_another_may_take_over(
    scene: Rollout, wire: Wire
) -> None:
    cut_off = scene.start(*_FLAGS)  # through the wire
    until(lambda: cut_off.leads, "it leads", within_s=10)
    lease = f"{scene.name}-controller"
    wire.freeze()
    until(lambda: not cut_off.leads, "it stands down", within_s=_LEASE_S * 2 / 3 + 1.5)
    assert scene.server.get(LEASE, lease)["spec"]["holderIdentity"] == cut_off.identity  # nobody took it yet
    assert cut_off.get("/healthz")[0] == 200  # a restart would not help
    started = time.monotonic()
    assert cut_off.stop() == 0
    assert time.monotonic() - started < 2
