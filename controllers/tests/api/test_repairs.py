"""What others do to our objects is put right and told; what isn't ours is left alone; idle means no writes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lead_controller.apiserver import AUTOSCALER, HTTP_ROUTE, KINDS

from api.objects import inference_service
from api.process import Controller
from api.rollout import Rollout
from tests.support.stack import until


def _repaired(scene: Rollout, controller: Controller, kind: str) -> None:
    until(lambda: bool(controller.metric("lead_rollout_repairs_total", kind=kind)), "counted", within_s=15)
    until(lambda: any(event["reason"] == "Repaired" for event in scene.events()), "told", within_s=15)
    assert any(kind in event["note"] for event in scene.events() if event["reason"] == "Repaired")


@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])
def test_a_hand_edited_route_is_put_right_and_reported(scene: Rollout, controller: Controller, kind: str) -> None:
    scene.shift("v2", 25)
    scene.until_split("v1=75,v2=25")
    at = f"/spec/rules/{scene.rule(KINDS[kind])[0]}/backendRefs/0/weight"
    scene.kubectl.patch(kind, f"{scene.name}-rollout", {"op": "replace", "path": at, "value": 1})
    scene.until_split("v1=75,v2=25", within_s=2)
    _repaired(scene, controller, kind)


@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute", "BackendTrafficPolicy", "HorizontalPodAutoscaler"])
def test_a_deleted_object_comes_back_and_is_reported(scene: Rollout, controller: Controller, kind: str) -> None:
    name = f"{scene.name}-v2-rollout" if kind == "HorizontalPodAutoscaler" else f"{scene.name}-rollout"
    until(lambda: scene.status().get("split") == "v1=100", "the status stands", within_s=15)
    before = scene.server.get(KINDS[kind], name)["metadata"]["uid"]
    scene.kubectl("delete", kind, name)

    def back() -> bool:
        found = scene.own().get((kind, name))
        return found is not None and found["metadata"]["uid"] != before

    until(back, f"{kind} is back", within_s=2)
    _repaired(scene, controller, kind)


def test_an_object_that_lost_its_labels_gets_them_back(scene: Rollout, controller: Controller) -> None:
    del controller
    label = "app.kubernetes.io/part-of"
    scene.kubectl("label", "httproute", f"{scene.name}-rollout", f"{label}-")

    def labelled() -> bool:
        return label in scene.server.get(HTTP_ROUTE, f"{scene.name}-rollout")["metadata"]["labels"]

    until(labelled, "labelled again", within_s=2)


def test_the_autoscaler_of_a_canary_that_is_gone_goes_too(scene: Rollout, controller: Controller) -> None:
    del controller
    gone = ("HorizontalPodAutoscaler", f"{scene.name}-v2-rollout")
    assert gone in scene.own()
    scene.kubectl.apply(_autoscaler(f"{scene.name}-theirs", {}))
    scene.kubectl.apply(_autoscaler(f"{scene.name}-other", {"app.kubernetes.io/managed-by": "lead-scoring-controller"}))
    scene.kubectl.apply(inference_service(scene.name, "v1", {}))
    until(lambda: gone not in scene.own(), "deleted", within_s=2)
    left = {each["metadata"]["name"] for each in scene.server.list(AUTOSCALER, {})[0]}
    assert left == {f"{scene.name}-v1-rollout", f"{scene.name}-theirs", f"{scene.name}-other"}


def test_idle_makes_no_writes(scene: Rollout) -> None:
    controller = scene.start("--resync", "1")
    scene.until_split("v1=100")
    scene.shift("v2", 25)
    scene.until_split("v1=75,v2=25")
    until(lambda: _settled(scene), "written and taken up", within_s=30)
    last: list[float | None] = []

    def quiet() -> bool:
        """What the last answers of Gateway and autoscalers led to has been written, too."""
        last.append(controller.metric("lead_rollout_writes_total"))
        return len(last) > 1 and last[-1] == last[-2]

    until(quiet, "no more writes", within_s=60, every_s=5)
    written, writes = scene.written(), last[-1]
    turns = controller.metric("lead_rollout_reconciles_total", result="success") or 0
    until(
        lambda: (controller.metric("lead_rollout_reconciles_total", result="success") or 0) >= turns + 5,
        "five more turns",
        within_s=30,
    )
    assert all(written.values())
    assert scene.written() == written
    assert controller.metric("lead_rollout_writes_total") == writes
    assert controller.metric("lead_rollout_reconciles_total", result="error") == 0


def _settled(scene: Rollout) -> bool:
    return scene.status().get("split") == "v1=75,v2=25" and scene.condition("Ready").get("status") == "True"


def test_a_refused_policy_holds_the_split_back_and_is_told(scene: Rollout) -> None:
    document = json.loads(scene.config.read_text())
    refused = {**document, "trafficPolicy": {"retry": {"numRetries": -1}}}  # the CRD's schema won't have it
    scene.config.write_text(json.dumps(refused))
    scene.shift("v2", 25)
    controller = scene.start("--lease-duration", "3")
    until(lambda: any(event["reason"] == "WriteRefused" for event in scene.events()), "told", within_s=10)
    assert {kind for kind, _ in scene.own()} == {"HorizontalPodAutoscaler"}  # no split without its sticky hash
    assert controller.metric("lead_rollout_routed_share") is None
    until(lambda: scene.condition("Degraded").get("reason") == "WriteRefused", "the status says so", within_s=15)
    assert scene.condition("Ready")["status"] == "False"
    assert "numRetries" in scene.condition("Degraded")["message"]
    errors = controller.metric("lead_rollout_reconciles_total", result="error") or 0
    until(
        lambda: (controller.metric("lead_rollout_reconciles_total", result="error") or 0) > errors,
        "it tries again",
        within_s=10,
    )
    assert (controller.metric("lead_rollout_reconciles_total") or 0) < 20, "but not without a pause"
    assert controller.stop() == 0
    scene.config.write_text(json.dumps(document))
    scene.start("--lease-duration", "3")
    scene.until_split("v1=75,v2=25")
    until(lambda: scene.condition("Degraded")["status"] == "False", "all is well again", within_s=15)


def _autoscaler(name: str, labels: dict[str, str]) -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "labels": labels},
        "spec": {"scaleTargetRef": target, "maxReplicas": 2},
    }
