"""The Role that the chart renders is enough for all that the controller ever does."""

from __future__ import annotations

import json
from typing import Any

from lead_controller.apiserver import HTTP_ROUTE, INFERENCE_SERVICE

from api.account import Account
from api.objects import inference_service
from api.process import Controller
from api.rollout import Rollout
from tests.support.stack import until


def _forbidden(controller: Controller) -> list[dict[str, Any]]:
    return [line for line in controller.log if "forbidden" in json.dumps(line).lower()]


def test_nothing_is_forbidden(scene: Rollout, account: Account) -> None:
    del account
    scene.kubectl("delete", "inferenceservice", scene.name)
    bootstrap = inference_service(scene.name, "v1", {"v2": 0})
    (scene.folder / "inferenceservice.json").write_text(json.dumps(bootstrap))
    controller = scene.start("--lease-duration", "3")
    scene.until_split("v1=100")
    assert scene.server.get(INFERENCE_SERVICE, scene.name)["spec"]["predictor"]["name"] == "v1"
    scene.shift("v2", 25)
    scene.until_split("v1=75,v2=25")

    # Repairs of every sort: changed, added to, deleted; twice, so that an Event is counted on.
    route = f"{scene.name}-rollout"
    for attempt in (1, 2):
        at = f"/spec/rules/{scene.rule(HTTP_ROUTE)[0]}/backendRefs/0/weight"
        scene.kubectl.patch("httproute", route, {"op": "replace", "path": at, "value": attempt})
        scene.until_split("v1=75,v2=25")
    scene.kubectl.patch(
        "httproute", route, {"op": "add", "path": "/spec/rules/0/timeouts/backendRequest", "value": "1s"}
    )
    until(
        lambda: "backendRequest" not in scene.server.get(HTTP_ROUTE, route)["spec"]["rules"][0].get("timeouts", {}),
        "what was added is gone",
        within_s=5,
    )
    for kind in ("grpcroute", "backendtrafficpolicy"):
        scene.kubectl("delete", kind, route)
    scene.kubectl.apply(inference_service(scene.name, "v1", {}))  # an orphan
    until(lambda: ("HorizontalPodAutoscaler", f"{scene.name}-v2-rollout") not in scene.own(), "gone", within_s=15)
    until(lambda: scene.status().get("split") == "v1=100", "status written", within_s=15)
    until(lambda: any(event.get("series") for event in scene.events()), "an Event was counted on", within_s=15)
    assert controller.stop() == 0
    assert controller.logged("lease released")
    assert _forbidden(controller) == []
    assert not [line for line in controller.log if line.get("level") == "ERROR"]


def test_a_role_without_events_is_noticed_and_stops_nothing(scene: Rollout, account: Account) -> None:
    account.forbid("events")
    controller = scene.start()
    scene.until_split("v1=100")
    scene.shift("v2", 25)
    scene.until_split("v1=75,v2=25")
    until(lambda: bool(_forbidden(controller)), "the log says so", within_s=15)
