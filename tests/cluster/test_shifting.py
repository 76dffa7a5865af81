"""Shares and variants change while requests come in, and none is lost; nor when who changes them is killed."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable

import pytest

from lead_scoring.core.hashing import variant_of
from tests.cluster.load import Plan, under_load
from tests.cluster.release import Release
from tests.cluster.settings import Settings
from tests.support.stack import until

pytestmark = pytest.mark.timeout(400)

KEYS = [f"account-{number}" for number in range(5000)]


def shares(percent: int) -> dict[str, int]:
    return {"v1": 100 - percent, "v2": percent}


def moving_keys(before: int, after: int) -> tuple[list[str], str]:
    """Return keys that change hands between two shares, and to whom."""
    moved = [key for key in KEYS if variant_of(key, shares(before)) != variant_of(key, shares(after))][:30]
    return moved, "v2" if after > before else "v1"


def in_force(release: Release, before: int, after: int) -> tuple[float, float]:
    """Shift; return the seconds from typing `kubectl patch` until both routes carry it, and until answers show it."""
    keys, to = moving_keys(before, after)
    begin = time.monotonic()
    release.shift(after)
    release.until_routed({name: share for name, share in shares(after).items() if share}, within_s=30)
    routed = time.monotonic() - begin
    release.gateway.until_asked(keys, lambda seen: set(seen.values()) == {to}, f"{after} %", within_s=30)
    return routed, time.monotonic() - begin


def test_a_patch_is_in_force_within_two_seconds(calm: Release, capsys: pytest.CaptureFixture[str]) -> None:
    """20 shifts, looked at with two more commands each, whose time counts too."""
    steps = [0, 5, 25, 50, 25, 5, 0, 100, 0, 50, 0, 25, 75, 25, 0, 10, 20, 30, 40, 60, 0]
    took = [in_force(calm, before, after) for before, after in itertools.pairwise(steps)]
    routed, answered = ([pair[position] for pair in took] for position in (0, 1))
    with capsys.disabled():
        for what, seconds in (("routes", routed), ("answers", answered)):
            told = f"median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s"
            print(f"\nfrom kubectl patch to {what}: {told}", end="")  # noqa: T201 - figures
    assert max(routed) < 2, routed
    assert statistics.median(answered) < 2, answered
    assert max(answered) < 4, answered  # Envoy's part of the way, when the machine has much else to do


def test_shifting_every_two_seconds_loses_no_request(calm: Release, plan: Plan) -> None:
    with under_load(plan) as report:
        for percent in (1, 5, 25, 50, 100, 50, 0, 100, 0, 25, 75, 5, 95, 0, 50):
            begin = time.monotonic()
            calm.shift(percent)
            calm.until_routed(shares(percent) if 0 < percent < 100 else {"v2" if percent else "v1": 100})
            time.sleep(max(0.0, 2 - (time.monotonic() - begin)))  # the promise is about this rhythm
    report.expect_no_loss(at_least=1500)
    assert 0.1 < report.share("v2") < 0.7


def swap(release: Release) -> None:
    """Make the first canary stable, and stable a canary at 0 %."""
    spec = release.service["spec"]
    release.edit(spec["canary"][0]["predictor"], [{"trafficPercent": 0, "predictor": spec["predictor"]}])


def test_promotion_by_swap_and_back_loses_no_request_and_restarts_no_pod(calm: Release, plan: Plan) -> None:
    with under_load(plan) as report:
        for stable in ("v2", "v1", "v2", "v1"):
            calm.shift(100, canary=stable)
            calm.until_routed({stable: 100})
            swap(calm)
            calm.until_routed({stable: 100})
            until(
                lambda stable=stable: (
                    next(v["name"] for v in calm.rollout["status"]["variants"] if v["role"] == "stable") == stable
                ),
                f"{stable} is stable",
                within_s=30,
            )
    report.expect_no_loss(at_least=300)
    assert 0.05 < report.share("v2") < 0.95


def test_promotion_without_a_shift_before_it_is_one_patch(calm: Release, plan: Plan) -> None:
    """The patch that only swaps moves everything at once."""
    with under_load(plan) as report:
        swap(calm)
        calm.until_routed({"v2": 100})
        swap(calm)
        calm.until_routed({"v1": 100})
    report.expect_no_loss(at_least=60)


def killed_by_delete(release: Release, _settings: Settings) -> None:
    release.kubectl("delete", "pod", release.leader(), "--wait=false")


def killed_by_signal(release: Release, settings: Settings) -> None:
    leader = release.leader()
    (pod,) = [pod for pod in release.controllers() if pod.name == leader]
    (container,) = pod.containers.values()
    settings.send_signal("SIGKILL", container)


@pytest.mark.parametrize("kill", [killed_by_delete, killed_by_signal])
def test_a_controller_that_is_killed_loses_no_request_and_another_takes_over(
    calm: Release, plan: Plan, settings: Settings, kill: Callable[[Release, Settings], None]
) -> None:
    calm.shift(25)
    calm.until_routed(shares(25))
    before = calm.leader()
    with under_load(plan) as report:
        kill(calm, settings)
        calm.shift(50)
        calm.until_routed(shares(50), within_s=60)
        time.sleep(1)
    report.expect_no_loss(at_least=60)
    until(lambda: len([p for p in calm.controllers() if p.ready]) == 2, "two controllers", within_s=60)
    if kill is killed_by_delete:
        assert calm.leader() != before


def test_without_any_controller_the_last_route_keeps_serving(calm: Release, plan: Plan) -> None:
    calm.shift(25)
    calm.until_routed(shares(25))
    deployment = f"{calm.name}-controller"
    with under_load(plan) as report:
        calm.kubectl("scale", "deployment", deployment, "--replicas=0")
        try:
            until(lambda: not calm.controllers(), "no controller", within_s=60)
            calm.shift(50)
            time.sleep(3)  # nothing may happen: nobody is there
            assert calm.routed() == shares(25)
        finally:
            calm.kubectl("scale", "deployment", deployment, "--replicas=2")
        calm.until_routed(shares(50), within_s=90)
    report.expect_no_loss(at_least=200)
    assert 0.1 < report.share("v2") < 0.6


def test_hand_edited_routes_are_put_right_and_reported(calm: Release) -> None:
    for kind in ("httproute", "grpcroute"):
        name = f"{calm.name}-rollout"
        calm.kubectl.patch(kind, name, {"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 7})
        until(lambda kind=kind: calm.routed(kind) == {"v1": 100}, f"{kind} is put right", within_s=20)
    calm.kubectl("delete", "httproute", f"{calm.name}-rollout")
    calm.until_routed({"v1": 100}, within_s=20)
    calm.kubectl("delete", "backendtrafficpolicy", f"{calm.name}-rollout")
    calm.kubectl.until("backendtrafficpolicy", f"{calm.name}-rollout", bool, "is back", within_s=20)
    reasons = {event["reason"] for event in calm.kubectl.items("events")}
    assert any("Repair" in reason for reason in reasons), reasons


@pytest.mark.usefixtures("installed")
def test_the_generator_notices_a_lost_request(plan: Plan) -> None:
    """A test of the tests: one that is sent where no route is, counts as lost."""
    wrong = Plan(plan.url, "nobody.example.com", plan.grpc_host, plan.versions)
    with under_load(wrong) as report:
        time.sleep(1)
    with pytest.raises(AssertionError, match="404"):
        report.expect_no_loss(at_least=10)
