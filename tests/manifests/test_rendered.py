"""What `kubectl apply -k` would apply: up to date, valid, restricted, and nothing that belongs to the controller."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
RENDERED = ROOT / "manifests" / "rendered"
OVERLAYS = sorted(path.name for path in (ROOT / "manifests" / "overlays").iterdir())
KUBERNETES = "1.34.4"

OF_THE_CONTROLLER = {"HTTPRoute", "GRPCRoute", "BackendTrafficPolicy", "HorizontalPodAutoscaler"}


def run(*command: str | Path) -> str:
    """Run a command; what it prints is the message of the assertion if it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def objects(overlay: str) -> list[dict[str, Any]]:
    """Return what the folder of an overlay lists."""
    folder = RENDERED / overlay
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    return [item for name in listed for item in yaml.safe_load_all((folder / name).read_text())]


def only(overlay: str, kind: str) -> dict[str, Any]:
    """Return the one object of a kind."""
    [found] = [item for item in objects(overlay) if item["kind"] == kind]
    return found


def config_of(overlay: str) -> dict[str, str]:
    """Return the files that the controller is given."""
    [found] = [
        item["data"]
        for item in objects(overlay)
        if item["kind"] == "ConfigMap" and item["metadata"]["name"] == "lead-scoring-controller"
    ]
    return dict(found)


def test_the_rendered_tree_is_what_overlays_and_chart_make() -> None:
    run(ROOT / "manifests" / "render", "--check")


def test_a_tree_that_is_out_of_date_is_found(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for folder in ("manifests", "charts"):
        shutil.copytree(ROOT / folder, copy / folder)
    for folder in ("chart",):
        shutil.copytree(ROOT / "tests" / folder, copy / "tests" / folder)
    role = copy / "manifests" / "rendered" / "local" / "rbac.authorization.k8s.io_v1_role_lead-scoring-controller.yaml"
    role.write_text(role.read_text() + "# edited\n")
    done = subprocess.run([copy / "manifests" / "render", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "out of date: run manifests/render" in done.stderr


def test_alerts_are_raised_by_what_is_wrong_and_by_nothing_else() -> None:
    run(ROOT / "tests" / "manifests" / "alerts" / "run")


def test_every_object_fits_its_schema() -> None:
    schemas = ROOT / ".tools" / "schemas"
    chart = ROOT / "tests" / "chart"
    tools = run(chart / "tools").strip()
    kubeconform = shutil.which("kubeconform") or f"{tools}/kubeconform"
    crds = ROOT / "charts" / "lead-scoring" / "crds"
    run(sys.executable, chart / "schemas.py", "--kubernetes", KUBERNETES, "--crds", crds, "--out", schemas)
    location = f"{schemas}/{{{{.Group}}}}/{{{{.ResourceKind}}}}_{{{{.ResourceAPIVersion}}}}.json"
    files = [path for path in sorted(RENDERED.rglob("*.yaml")) if path.name != "kustomization.yaml"]
    run(kubeconform, "-strict", "-summary", "-schema-location", location, *files)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_is_applied_that_the_controller_writes(overlay: str) -> None:
    assert OF_THE_CONTROLLER.isdisjoint(item["kind"] for item in objects(overlay))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_inference_service_is_the_controllers_to_make_once(overlay: str) -> None:
    """So that applying again, after a promotion too, moves nothing."""
    assert "InferenceService" not in {item["kind"] for item in objects(overlay)}
    made = json.loads(config_of(overlay)["inferenceservice.json"])
    assert made["kind"] == "InferenceService"
    assert made["metadata"]["labels"]["networking.kserve.io/visibility"] == "cluster-local"
    assert made["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "external"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_replicas_that_an_autoscaler_owns_are_not_applied(overlay: str) -> None:
    deployments = [item["metadata"]["name"] for item in objects(overlay) if item["kind"] == "Deployment"]
    assert deployments == ["lead-scoring-controller"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_is_in_the_namespace_which_enforces_restricted(overlay: str) -> None:
    namespace = only(overlay, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    outside = {"Namespace", "CustomResourceDefinition"}
    assert {item["metadata"].get("namespace") for item in objects(overlay) if item["kind"] not in outside} == {
        namespace["metadata"]["name"]
    }


def test_production_is_for_eks() -> None:
    service = only("production", "EnvoyProxy")["spec"]["provider"]["kubernetes"]["envoyService"]
    assert service["loadBalancerClass"] == "service.k8s.aws/nlb"
    accounts = [item for item in objects("production") if item["kind"] == "ServiceAccount"]
    roles = [account["metadata"].get("annotations", {}).get("eks.amazonaws.com/role-arn") for account in accounts]
    assert [bool(role) for role in sorted(roles, key=str)] == [False, True]
    made = json.loads(config_of("production")["inferenceservice.json"])
    assert made["spec"]["predictor"]["model"]["storageUri"].startswith("s3://")
    assert only("production", "Gateway")["spec"]["listeners"][0]["protocol"] == "HTTPS"


def test_production_runs_images_by_digest_alone() -> None:
    texts = [path.read_text() for path in (RENDERED / "production").glob("*.yaml")]
    images = [line.split("image:")[1].strip() for text in texts for line in text.splitlines() if " image: " in line]
    assert len(images) == 3
    assert all("@sha256:" in image for image in images), images


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_nobody_comes_in_without_a_token_where_it_matters(overlay: str) -> None:
    policy = only(overlay, "SecurityPolicy")["spec"]
    assert policy["jwt"]["providers"][0]["audiences"] == ["lead-scoring"]
    assert policy["authorization"]["defaultAction"] == "Deny"
