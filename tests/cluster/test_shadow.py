"""A shadow gets copies that are known as such, answers nobody, and stands in nobody's way."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.load import Plan, under_load
from tests.cluster.release import Release
from tests.end_to_end.doors import Doors
from tests.support.stack import until

pytestmark = pytest.mark.timeout(300)

REQUESTS = "lead_requests_total"
Leads = list[dict[str, Any]]

COPIES, OWN = 'shadow="true"', 'shadow="false"'


def shadow_starts(release: Release, doors: Doors, leads: Leads, percent: int) -> None:
    release.roll(shadow={"variant": "v2", "percent": percent})
    until(lambda: release.condition("ShadowActive").get("status") == "True", "the shadow is active", within_s=30)

    def arrives() -> bool:
        before = release.counted("v2", REQUESTS, COPIES)
        for lead in leads[:10]:
            doors.ask("V1", [lead])
        return release.counted("v2", REQUESTS, COPIES) > before

    until(arrives, "copies arrive", within_s=30)


def test_copies_are_counted_apart_and_answer_nobody(calm: Release, plan: Plan, doors: Doors, leads: Leads) -> None:
    shadow_starts(calm, doors, leads, 100)
    copies, own = calm.counted("v2", REQUESTS, COPIES), calm.counted("v2", REQUESTS, OWN)
    answered = calm.counted("v1", REQUESTS, OWN)
    with under_load(plan) as report:
        until(lambda: calm.counted("v1", REQUESTS, OWN) > answered + 600, "requests are answered", within_s=60)
    report.expect_no_loss(at_least=600)
    assert report.share("v1") == 1
    assert calm.counted("v2", REQUESTS, OWN) == own
    until(
        lambda: calm.counted("v2", REQUESTS, COPIES) - copies == report.sent,
        f"{report.sent} copies",
        within_s=10,
    )


def test_half_of_the_requests_are_copied(calm: Release, plan: Plan, doors: Doors, leads: Leads) -> None:
    shadow_starts(calm, doors, leads, 50)
    copies, answered = calm.counted("v2", REQUESTS, COPIES), calm.counted("v1", REQUESTS, OWN)
    with under_load(plan) as report:
        until(lambda: calm.counted("v1", REQUESTS, OWN) > answered + 1000, "requests are answered", within_s=60)
    report.expect_no_loss(at_least=1000)
    share = (calm.counted("v2", REQUESTS, COPIES) - copies) / report.sent
    assert share == pytest.approx(0.5, abs=0.06)


def test_a_shadow_is_refused_to_a_variant_that_answers(calm: Release) -> None:
    calm.shift(25)
    calm.until_routed({"v1": 75, "v2": 25})
    calm.roll(shadow={"variant": "v2", "percent": 100})
    until(lambda: calm.condition("ShadowActive").get("status") == "False", "the shadow is refused", within_s=30)
    routes = [calm.kubectl.get(kind, f"{calm.name}-rollout") for kind in ("httproute", "grpcroute")]
    filters = [f["type"] for route in routes for rule in route["spec"]["rules"] for f in rule.get("filters", [])]
    assert "RequestMirror" not in filters
    assert calm.routed() == {"v1": 75, "v2": 25}


def test_a_shadow_that_is_gone_costs_nobody_an_answer(
    installed: Release, plan: Plan, doors: Doors, leads: Leads
) -> None:
    """Its pod is deleted while it gets a copy of everything."""
    shadow_starts(installed, doors, leads, 100)
    pods = installed.pods("v2")
    with under_load(plan) as report:
        installed.kubectl("delete", "pod", pods[0].name, "--wait=true")
        installed.until_ready("v2")
    report.expect_no_loss(at_least=300)
    assert report.share("v1") == 1


def test_answers_are_the_same_with_a_shadow(calm: Release, doors: Doors, leads: Leads) -> None:
    shadow_starts(calm, doors, leads, 100)
    assert {v for door in ("V1", "gRPC raw") for v in doors.ask(door, leads).columns["variant"]} == {"v1"}
