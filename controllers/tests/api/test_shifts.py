"""One kubectl patch moves both routes, within two seconds, and nothing but our own objects is written."""

from __future__ import annotations

import json
import statistics
import sys

import pytest
from lead_controller.apiserver import AUTOSCALER, GRPC_ROUTE, HTTP_ROUTE, INFERENCE_SERVICE

from api.objects import inference_service, variant
from api.process import Controller
from api.rollout import Rollout
from tests.support.stack import until

_WITHIN_S = 2.0


def test_a_patch_is_routed_within_two_seconds(
    scene: Rollout, controller: Controller, capsys: pytest.CaptureFixture[str]
) -> None:
    del controller
    delays = []
    for percent in (1, 5, 25, 50, 75, 50, 25, 5, 1, 0):
        split = f"v1={100 - percent},v2={percent}" if percent else "v1=100"
        patched = scene.shift("v2", percent)
        delays.append(scene.until_split(split) - patched)
    with capsys.disabled():
        median = statistics.median(delays)
        sys.stdout.write(f"\n  kubectl came back, then both routes: median {median:.3f} s, most {max(delays):.3f} s\n")
    assert max(delays) <= _WITHIN_S, delays


def test_keys_stick_while_there_is_a_split_and_only_then(scene: Rollout, controller: Controller) -> None:
    del controller
    for kind in (HTTP_ROUTE, GRPC_ROUTE):
        assert not scene.sticky(kind)
    scene.shift("v2", 5)
    scene.until_split("v1=95,v2=5")
    for kind in (HTTP_ROUTE, GRPC_ROUTE):
        assert scene.sticky(kind)
    scene.shift("v2", 0)
    scene.until_split("v1=100")
    for kind in (HTTP_ROUTE, GRPC_ROUTE):
        until(lambda kind=kind: not scene.sticky(kind), "no hash without a split", within_s=2)  # type: ignore[misc]


def test_several_canaries_at_once(scene: Rollout) -> None:
    scene.kubectl.apply(
        inference_service(scene.name, "v1", {"v2": 10, "v3": 5}),
        *variant(scene.name, "v3"),
    )
    scene.start()
    scene.until_split("v1=85,v2=10,v3=5")
    scene.until_split("v1=65,v2=10,v3=25", within_s=scene.shift("v3", 25, index=1) and _WITHIN_S)
    autoscalers = [each["metadata"]["name"] for each in scene.server.list(AUTOSCALER, {})[0]]
    assert sorted(autoscalers) == [f"{scene.name}-{variant}-rollout" for variant in ("v1", "v2", "v3")]


def test_a_promotion_by_swap_and_back(scene: Rollout, controller: Controller) -> None:
    del controller
    scene.kubectl.apply(inference_service(scene.name, "v2", {"v1": 0}))
    scene.until_split("v2=100", within_s=_WITHIN_S + 1)
    scene.kubectl.apply(inference_service(scene.name, "v1", {"v2": 0}))
    scene.until_split("v1=100", within_s=_WITHIN_S + 1)


def test_a_variant_gets_traffic_when_its_pods_are_ready_and_loses_it_when_they_are_not(
    scene: Rollout, controller: Controller
) -> None:
    del controller
    scene.ready("v2", False, False)
    scene.shift("v2", 50)
    until(lambda: scene.condition("CapacityReady").get("status") == "False", "the canary lacks pods", within_s=5)
    assert scene.split(HTTP_ROUTE) == "v1=100"
    scene.ready("v2", True, True)
    scene.until_split("v1=50,v2=50", within_s=_WITHIN_S)
    scene.ready("v1", False, False)
    scene.until_split("v2=100", within_s=_WITHIN_S)
    scene.ready("v2", False, False)
    until(lambda: scene.condition("Routed").get("reason") == "NothingReady", "nothing is ready", within_s=5)
    assert scene.split(HTTP_ROUTE) == "v2=100"  # the last route stays


def test_abort_acts_on_our_own_object(scene: Rollout, controller: Controller) -> None:
    del controller
    scene.shift("v2", 50)
    scene.until_split("v1=50,v2=50")
    scene.kubectl.merge("modelrollout", scene.name, {"spec": {"abort": True}})
    scene.until_split("v1=100", within_s=_WITHIN_S)
    until(lambda: scene.condition("Aborted").get("status") == "True", "the status says so", within_s=5)
    scene.kubectl.merge("modelrollout", scene.name, {"spec": {"abort": False}})
    scene.until_split("v1=50,v2=50", within_s=_WITHIN_S)


def test_the_inference_service_is_never_written(scene: Rollout, controller: Controller) -> None:
    del controller
    before = scene.server.get(INFERENCE_SERVICE, scene.name)["metadata"]
    for percent in (25, 0):
        scene.shift("v2", percent)
        scene.until_split(f"v1={100 - percent},v2={percent}" if percent else "v1=100")
    after = scene.server.get(INFERENCE_SERVICE, scene.name)["metadata"]
    assert (after["labels"], after.get("annotations")) == (before["labels"], before.get("annotations"))
    managers = {each["manager"] for each in after["managedFields"]}
    assert "lead-scoring-controller" not in managers, managers


def test_status_events_and_metrics_tell_of_a_shift(scene: Rollout, controller: Controller) -> None:
    scene.shift("v2", 25)
    scene.until_split("v1=75,v2=25")
    until(lambda: scene.status().get("split") == "v1=75,v2=25", "the status follows", within_s=5)
    status = scene.status()
    shares = {
        each["name"]: (each["intendedPercent"], each["livePercent"], each["readyPods"]) for each in status["variants"]
    }
    assert shares == {"v1": (75, 75, 2), "v2": (25, 25, 2)}
    shifted = [event for event in scene.events() if event["reason"] == "SharesShifted"]
    assert any("v2=25" in event["note"] for event in shifted), json.dumps(shifted)
    assert {event["regarding"]["kind"] for event in shifted} == {"ModelRollout"}
    labels = {"inference_service": scene.name, "variant": "v2"}
    assert controller.metric("lead_rollout_intended_share", **labels) == 25
    assert controller.metric("lead_rollout_routed_share", **labels) == 25
    assert controller.metric("lead_rollout_ready_pods", **labels) == 2
    assert controller.metric("lead_rollout_leader") == 1
    assert controller.metric("lead_rollout_reconciles_total", result="success")
    assert controller.metric("lead_rollout_reconcile_duration_seconds_count")
    resident = controller.metric("process_resident_memory_bytes")
    assert resident
    assert resident < 120e6
