"""Start, end and what is said of it: exit codes, a bootstrap that happens once, probes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from lead_controller.apiserver import INFERENCE_SERVICE, LEASE
from lead_controller.apply import Writer
from lead_controller.election import Election
from lead_controller.loop import Loop
from lead_controller.metrics import Metrics
from lead_controller.model import Plan
from lead_controller.recorder import Recorder
from lead_controller.watches import Watches, scopes

from api.objects import config, inference_service
from api.process import Controller
from api.rollout import Rollout
from tests.cluster.kubectl import Kubectl
from tests.support.stack import until

_SOURCES = Path(__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_within_two_seconds_and_gives_the_lease_back(
    scene: Rollout, controller: Controller, number: signal.Signals
) -> None:
    started = time.monotonic()
    controller.signal(number)
    assert controller.process.wait(5) == 0
    assert time.monotonic() - started < 2
    assert not scene.server.get(LEASE, f"{scene.name}-controller")["spec"].get("holderIdentity")


def test_its_death_changes_nothing(scene: Rollout, controller: Controller) -> None:
    scene.shift("v2", 25)
    scene.until_split("v1=75,v2=25")
    until(lambda: scene.status().get("split") == "v1=75,v2=25", "the status follows", within_s=15)
    before = {key: each["spec"] for key, each in scene.own().items()}
    controller.kill()
    assert {key: each["spec"] for key, each in scene.own().items()} == before
    writes = scene.start("--lease-duration", "3")
    until(lambda: writes.leads, "another leads", within_s=20)
    until(lambda: bool(writes.metric("lead_rollout_reconciles_total", result="success")), "and looked", within_s=15)
    assert {key: each["spec"] for key, each in scene.own().items()} == before
    assert writes.metric("lead_rollout_writes_total", kind="HTTPRoute") is None


def test_bootstrap_creates_the_inference_service_once(namespace: Kubectl, scene: Rollout) -> None:
    namespace("delete", "inferenceservice", scene.name)
    (scene.folder / "inferenceservice.json").write_text(json.dumps(inference_service(scene.name, "v1", {"v2": 0})))
    first = scene.start("--lease-duration", "3")
    scene.until_split("v1=100")
    scene.kubectl.apply(inference_service(scene.name, "v2", {"v1": 0}))  # a promotion
    scene.until_split("v2=100")
    assert first.stop() == 0
    generation = scene.server.get(INFERENCE_SERVICE, scene.name)["metadata"]["generation"]
    again = scene.start("--lease-duration", "3")  # as after applying the same manifests again
    until(lambda: bool(again.metric("lead_rollout_reconciles_total", result="success")), "it looked", within_s=10)
    found = scene.server.get(INFERENCE_SERVICE, scene.name)
    assert found["metadata"]["generation"] == generation
    assert found["spec"]["predictor"]["name"] == "v2"
    assert again.metric("lead_rollout_writes_total", kind="InferenceService") is None


def test_bootstrap_waits_for_a_webhook_that_is_down(cluster: Kubectl, namespace: Kubectl, scene: Rollout) -> None:
    namespace("delete", "inferenceservice", scene.name)
    (scene.folder / "inferenceservice.json").write_text(json.dumps(inference_service(scene.name, "v1", {"v2": 0})))
    webhook = _closed_webhook(namespace.namespace)
    cluster.apply(webhook)
    try:
        controller = scene.start()
        until(lambda: bool(controller.logged("create refused")), "it is refused", within_s=15)
        until(lambda: len(controller.logged("create refused")) >= 2, "it tries again", within_s=15)
        until(lambda: any(event["reason"] == "WriteRefused" for event in scene.events()), "and says so", within_s=15)
    finally:
        cluster("delete", "validatingwebhookconfiguration", namespace.namespace)
    scene.until_split("v1=100", within_s=30)


def _closed_webhook(namespace: str) -> dict[str, object]:
    """Return a webhook that nobody answers and that must be asked, as KServe's is while KServe is down."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [
            {
                "name": "down.example.com",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "timeoutSeconds": 1,
                "failurePolicy": "Fail",
                "clientConfig": {"service": {"name": "nobody", "namespace": namespace}},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "rules": [
                    {
                        "apiGroups": ["serving.kserve.io"],
                        "apiVersions": ["*"],
                        "operations": ["CREATE"],
                        "resources": ["inferenceservices"],
                    }
                ],
            }
        ],
    }


def test_a_loop_that_hangs_is_not_alive(scene: Rollout) -> None:
    watches = Watches(scene.server, scopes(scene.name), watch_s=30, failed=lambda _: None)
    election = Election(scene.server, f"{scene.name}-controller", "me", duration_s=5, changed=watches.changed.set)
    hang = threading.Event()

    def planner(*_: object) -> Plan:
        hang.wait()
        return Plan()

    loop = Loop(
        planner=planner,
        watches=watches,
        election=election,
        writer=Writer(scene.server, election, written=watches.put),
        recorder=Recorder(scene.server, "me"),
        metrics=Metrics(scene.name),
        resync_s=1,
        stuck_s=0.5,
    )
    assert "ended" in loop.stuck()
    loop.start()
    assert loop.stuck() == ""
    watches.start()
    election.start()
    until(lambda: "not come round" in loop.stuck(), "it is noticed", within_s=10)
    hang.set()
    until(lambda: loop.stuck() == "", "and goes on", within_s=15)
    assert loop.stop(timeout_s=5)
    election.release()


def test_pages(controller: Controller) -> None:
    assert controller.get("/healthz") == (200, "ok\n")
    assert controller.get("/readyz") == (200, "ok\n")
    assert controller.get("/else")[0] == 404
    assert "lead_rollout_leader 1.0" in controller.get("/metrics")[1]


@pytest.mark.parametrize(
    ("document", "code", "said"),
    [
        ("{", 2, "can't start"),
        ('{"inferenceService": "leads"}', 2, "missing required field"),
        (json.dumps({**config("leads", "none"), "modle": "lead-scoring"}), 2, "modle"),
    ],
)
def test_a_wrong_configuration_stops_the_start(tmp_path: Path, document: str, code: int, said: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(document)
    done = _run("--config", str(path), "--namespace", "none", "--kubeconfig", os.environ["KUBECONFIG"])
    assert done.returncode == code
    assert said in done.stdout


def test_a_bootstrap_for_somebody_else_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config("leads", "none")))
    (tmp_path / "inferenceservice.json").write_text(json.dumps(inference_service("others", "v1", {})))
    flags = ("--namespace", "none", "--kubeconfig", os.environ["KUBECONFIG"])
    done = _run("--config", str(tmp_path / "config.json"), *flags)
    assert done.returncode == 2
    assert "others" in done.stdout


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--namespace", ""), "POD_NAMESPACE"),
        (("--namespace", "x", "--lease-duration", "1"), "expected seconds in [2, 300]"),
        (("--namespace", "x", "--port", "http"), "expected a port"),
        (("--namespace", "x", "--inference-service", "/none"), "no such file"),
        (("--namespace", "x", "--conf", "x"), "unrecognized arguments"),
    ],
)
def test_wrong_flags_are_told(flags: tuple[str, ...], said: str) -> None:
    done = _run(*flags)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_port_that_is_taken_is_told(scene: Rollout, controller: Controller) -> None:
    flags = ("--namespace", scene.kubectl.namespace, "--kubeconfig", os.environ["KUBECONFIG"], "--host", "127.0.0.1")
    done = _run("--config", str(scene.config), *flags, "--port", str(controller.port))
    assert done.returncode == 5
    assert "can't listen" in done.stdout


def test_no_cluster_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config("leads", "none")))
    done = _run("--config", str(tmp_path / "config.json"), "--namespace", "x", kubernetes="")
    assert done.returncode == 2
    assert "can't start" in done.stdout


def _run(*flags: str, kubernetes: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(_SOURCES)}
    if kubernetes is not None:
        environment["KUBERNETES_SERVICE_HOST"] = kubernetes
    command = [sys.executable, "-m", "lead_controller", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env=environment)
