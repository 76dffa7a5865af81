"""The API server goes away, forgets what was, forbids: nothing changes for the traffic, and it goes on afterwards."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from lead_controller.apiserver import DEPLOYMENT, HTTP_ROUTE, ApiServer, Expired, Kind, connect
from lead_controller.watches import Scope, Watches

from api.account import Account
from api.rollout import Rollout
from api.wire import Wire
from tests.support.stack import until


@pytest.mark.parametrize("fault", ["cut", "freeze"])
def test_an_api_server_that_is_away_and_comes_back(scene: Rollout, wire: Wire, fault: str) -> None:
    controller = scene.start("--lease-duration", "3", "--resync", "5")  # through the wire
    scene.until_split("v1=100")
    until(lambda: scene.condition("Ready").get("status") == "True", "all is written and taken up", within_s=10)
    before = scene.generations()
    (wire.cut if fault == "cut" else wire.freeze)()
    scene.shift("v2", 25)  # not through the wire
    until(lambda: not controller.leads, "it stands down", within_s=10)
    assert scene.split(HTTP_ROUTE) == "v1=100"
    assert scene.generations() == before
    assert controller.get("/healthz") == (200, "ok\n")
    assert controller.get("/readyz") == (200, "ok\n")
    wire.mend()
    scene.until_split("v1=75,v2=25", within_s=20)
    assert controller.process.poll() is None


def test_reconnecting_is_not_a_hot_loop(scene: Rollout, wire: Wire) -> None:
    controller = scene.start()
    scene.until_split("v1=100")
    wire.cut()
    until(lambda: (controller.metric("lead_rollout_watch_failures_total") or 0) >= 8, "every watch broke", within_s=10)
    threading.Event().wait(3)  # the time that is measured
    failures = controller.metric("lead_rollout_watch_failures_total") or 0
    assert failures <= 8 * 8, f"{failures} attempts of 8 watches in 3 s"
    cpu = controller.metric("process_cpu_seconds_total")
    assert cpu is not None
    assert len(controller.log) < 60, "a line an attempt would fill the log"


class _Forgetful(ApiServer):
    """The real API server, asked once for changes since the beginning of time."""

    asked_for_ever = 0

    def list(self, kind: Kind, selectors: Any) -> tuple[list[dict[str, Any]], str]:
        objects, version = super().list(kind, selectors)
        self.asked_for_ever += 1
        return objects, "1" if self.asked_for_ever == 1 else version


def test_an_expired_resource_version_is_listed_again(scene: Rollout) -> None:
    selectors = {"labelSelector": f"serving.kserve.io/inferenceservice={scene.name}"}
    with pytest.raises(Expired):
        list(scene.server.watch(DEPLOYMENT, selectors, "1", timeout_s=5))
    server = _Forgetful(scene.server._client, scene.server.namespace)
    scope = Scope(DEPLOYMENT, "labelSelector", selectors["labelSelector"])
    failed: list[Kind] = []
    watches = Watches(server, [scope], watch_s=30, failed=failed.append)
    watches.start()
    until(lambda: server.asked_for_ever >= 2, "listed again", within_s=10)
    scene.kubectl("scale", "deployment", f"{scene.name}-v1-predictor", "--replicas=3")
    cache = watches.caches[DEPLOYMENT]
    until(
        lambda: (cache.get(f"{scene.name}-v1-predictor") or {"spec": {}})["spec"].get("replicas") == 3,
        "the watch goes on",
        within_s=5,
    )
    assert not failed


def test_a_missing_crd_is_named(scene: Rollout) -> None:
    unknown = Kind("lead-scoring.io/v1alpha1", "ModelRollback", "modelrollbacks")
    failed: list[Kind] = []
    watches = Watches(scene.server, [Scope(unknown, "labelSelector", "")], watch_s=30, failed=failed.append)
    watches.start()
    until(lambda: bool(failed), "it failed", within_s=5)
    until(lambda: "CRD" in watches.missing(), "and says why", within_s=5)
    assert not watches.synced


def test_a_forbidden_kind_is_named_and_seen_when_it_is_allowed(scene: Rollout, account: Account) -> None:
    account.forbid("grpcroutes")
    controller = scene.start()
    until(lambda: "GRPCRoute" in controller.get("/readyz")[1], "it says what it may not see", within_s=10)
    until(lambda: "HTTPRoute" not in controller.get("/readyz")[1], "and nothing else", within_s=10)
    assert controller.get("/readyz")[0] == 503
    assert controller.get("/healthz")[0] == 200
    assert scene.own() == {}  # what is not seen may not be taken for missing
    account.restore()
    scene.until_split("v1=100", within_s=20)
    assert controller.get("/readyz")[0] == 200


def test_connect_refuses_a_kubeconfig_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="Invalid kube-config"):
        connect("default", kubeconfig=tmp_path / "none")
