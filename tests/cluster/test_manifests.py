"""What kustomize applies: once and again, also after a promotion, beside KServe, autoscalers and the controller."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.gateway import Gateway
from tests.cluster.kubectl import Kubectl, run
from tests.cluster.release import CHART, Release
from tests.cluster.settings import Settings
from tests.cluster.storage import Bucket
from tests.cluster.values import storage_secret, values_of
from tests.support.stack import ROOT, until

pytestmark = pytest.mark.timeout(420)

BASE = ROOT / "manifests" / "base"


@dataclass(frozen=True)
class Overlay:
    """An overlay as those in `manifests/overlays`, with values and a namespace of the test's own."""

    folder: Path
    release: Release

    def write(self) -> None:
        """Write the overlay."""
        namespace = self.release.kubectl.namespace
        (self.folder / "values.json").write_text(json.dumps(self.release.values))
        (self.folder / "namespace.yaml").write_text(
            (BASE / "namespace.yaml").read_text().replace("name: lead-scoring", f"name: {namespace}", 1)
        )
        chart = {
            "name": CHART.name,
            "releaseName": self.release.name,
            "namespace": namespace,
            "kubeVersion": "1.34.0",
            "includeCRDs": True,
            "skipTests": True,
            "valuesFile": "values.json",
            "additionalValuesFiles": [os.path.relpath(BASE / "values.yaml", self.folder)],
        }
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": ["namespace.yaml"],
            "helmGlobals": {"chartHome": str(CHART.parent)},
            "helmCharts": [chart],
        }
        (self.folder / "kustomization.yaml").write_text(json.dumps(kustomization))

    def built(self) -> str:
        """Return what it makes."""
        return run(["kustomize", "build", "--enable-helm", "--load-restrictor=LoadRestrictionsNone", str(self.folder)])

    def apply(self) -> dict[str, str]:
        """Apply it; return what tells whether an object has been changed, by kind and name.

        Not kubectl's words: a disruption budget is `configured` each time, though nothing of it changes.
        """
        applied = json.loads(self.release.kubectl("apply", "-f", "-", "-o", "json", stdin=self.built()))["items"]
        assert applied
        found = {f"{item['kind']}/{item['metadata']['name']}": item["metadata"] for item in applied}
        # Where there is a status, others write it all the time; what is asked for has a generation of its own.
        return {name: str(each.get("generation", each["resourceVersion"])) for name, each in found.items()}

    def diff(self) -> str:
        """Return what applying it would change, as kubectl says it."""
        command = ["kubectl", "--namespace", self.release.kubectl.namespace, "diff", "-f", "-"]
        done = subprocess.run(command, input=self.built(), capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode in (0, 1), done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def overlay(
    cluster: Kubectl,
    settings: Settings,
    models_bucket: Bucket,
    gateway: Gateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Overlay]:
    """Applied: v1 stable with a silent canary v2, one pod each."""
    name = f"lead-kustomize-{secrets.token_hex(3)}"
    kubectl = Kubectl(name)
    doors = replace(gateway, rest_host=f"{name}.example.com", grpc_host=f"grpc.{name}.example.com")
    values: dict[str, Any] = values_of(settings, models_bucket, doors)
    values["autoscaling"] |= {"minReplicas": 1, "maxReplicas": 1}
    values["controller"]["replicas"] = 1
    for container in values["runtimeDefaults"].values():
        container["resources"] = {**container["resources"], "requests": {"cpu": "10m", "memory": "128Mi"}}
    del values["tests"]
    made = Overlay(tmp_path_factory.mktemp("overlay"), Release(kubectl, "lead-scoring", values, doors))
    made.write()
    try:
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        kubectl.apply(storage_secret(settings))
        first = made.apply()
        for variant in ("v1", "v2"):
            made.release.until_ready(variant, within_s=240)
        made.release.until_routed({"v1": 100})
        assert made.apply() == first
        yield made
    finally:
        if not settings.keep:
            cluster("delete", "namespace", name, "--wait=false")


def moving(release: Release) -> dict[str, Any]:
    """Return what KServe, the autoscalers and the controller decide, and an apply could undo."""
    kubectl = release.kubectl
    kinds = ("inferenceservice", "httproute", "grpcroute", "backendtrafficpolicy", "hpa", "modelrollout")
    generations = {
        f"{kind}/{item['metadata']['name']}": item["metadata"].get("generation", 0)
        for kind in kinds
        for item in kubectl.items(kind)
    }
    specs = {f"hpa/{item['metadata']['name']}": item["spec"] for item in kubectl.items("hpa")}
    replicas = {item["metadata"]["name"]: item["spec"]["replicas"] for item in kubectl.items("deployment")}
    return {"generations": generations, "specs": specs, "replicas": replicas, "pods": release.lives()}


def settled(release: Release) -> dict[str, Any]:
    """Return what moves once it no longer does."""
    last: dict[str, Any] = {}

    def still() -> bool:
        nonlocal last
        before, last = last, moving(release)
        return before == last

    until(still, "nothing moves", within_s=90, every_s=3)
    return last


def test_applying_again_changes_nothing(overlay: Overlay) -> None:
    before = settled(overlay.release)
    once = overlay.apply()
    assert overlay.apply() == once
    assert overlay.diff() == ""
    assert settled(overlay.release) == before


def test_the_controller_made_the_inference_service(overlay: Overlay) -> None:
    assert "\nkind: InferenceService\n" not in overlay.built()
    text = overlay.release.kubectl("get", "isvc", overlay.release.name, "-o", "json", "--show-managed-fields")
    managers = {each["manager"] for each in json.loads(text)["metadata"]["managedFields"]}
    assert not [each for each in managers if each.startswith("kubectl")], managers


def test_applying_again_after_a_promotion_moves_nothing_back(overlay: Overlay) -> None:
    release = overlay.release
    release.shift(100)
    release.until_routed({"v2": 100})
    release.kubectl.patch(
        "inferenceservice",
        release.name,
        {"op": "test", "path": "/spec/canary/0/predictor/name", "value": "v2"},
        {"op": "add", "path": "/spec/canary/1", "value": {"trafficPercent": 0}},
        {"op": "move", "from": "/spec/predictor", "path": "/spec/canary/1/predictor"},
        {"op": "move", "from": "/spec/canary/0/predictor", "path": "/spec/predictor"},
        {"op": "remove", "path": "/spec/canary/0"},
    )
    release.until_routed({"v2": 100})
    before = settled(release)
    once = overlay.apply()
    assert overlay.apply() == once
    assert overlay.diff() == ""
    assert settled(release) == before
    assert release.service["spec"]["predictor"]["name"] == "v2"
    assert release.routed() == {"v2": 100}
