"""A namespace of one's own on the cluster that KUBECONFIG names, with an InferenceService whose pods are on paper."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from lead_controller.apiserver import connect

from api.account import Account
from api.objects import config, inference_service, rollout, variant
from api.process import Controller
from api.rollout import Rollout
from api.wire import Wire
from tests.cluster.kubectl import Kubectl, Refused
from tests.support.stack import until

_ROOT = Path(__file__).parents[3]
_CRD = _ROOT / "charts/lead-scoring/crds/modelrollouts.yaml"


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """Whom the tests act as: somebody who may do everything."""
    assert "KUBECONFIG" in os.environ, "KUBECONFIG must name a cluster that has KServe and Envoy Gateway"
    return Path(os.environ["KUBECONFIG"])


@pytest.fixture(scope="session")
def cluster(kubeconfig: Path) -> Kubectl:  # noqa: ARG001 - kubectl reads it
    """kubectl, with the ModelRollout's CRD installed as the chart has it."""
    kubectl = Kubectl("default")
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(_CRD))
    kubectl("wait", "--for=condition=Established", "crd/modelrollouts.lead-scoring.io", "--timeout=30s")
    return kubectl


@pytest.fixture
def namespace(cluster: Kubectl) -> Iterator[Kubectl]:
    """kubectl in an empty namespace that is gone at the end."""
    name = f"controller-{secrets.token_hex(4)}"
    cluster("create", "namespace", name)
    yield Kubectl(name)
    cluster("delete", "namespace", name, "--wait=false")


@pytest.fixture
def scene(namespace: Kubectl, kubeconfig: Path, tmp_path: Path) -> Iterator[Rollout]:
    """v1 stable and v2 canary at 0 %, two ready pods each, no controller yet; every controller is ended at the end."""
    name = f"leads-{secrets.token_hex(2)}"
    scene = Rollout(name, namespace, connect(namespace.namespace, kubeconfig=kubeconfig), kubeconfig, tmp_path)
    scene.config.write_text(json.dumps(config(name, namespace.namespace)))
    first = inference_service(name, "v1", {"v2": 0})
    until(lambda: _accepted(namespace, first), "KServe's webhook answers: others stop KServe", within_s=60, every_s=1)
    namespace.apply(
        rollout(name),
        *variant(name, "v1"),
        *variant(name, "v2"),
    )
    yield scene
    for controller in scene.controllers:
        controller.kill()


def _accepted(kubectl: Kubectl, item: dict[str, Any]) -> bool:
    try:
        kubectl.apply(item)
    except Refused as refused:
        if "failed calling webhook" not in str(refused):
            raise
        return False
    return True


@pytest.fixture
def controller(scene: Rollout) -> Controller:
    """The one controller, leading, with everything on stable."""
    controller = scene.start()
    scene.until_split("v1=100")
    return controller


@pytest.fixture
def wire(kubeconfig: Path, scene: Rollout, tmp_path: Path) -> Iterator[Wire]:
    """A wire between controllers started from now on and the API server."""
    document = yaml.safe_load(kubeconfig.read_text())
    chosen = next(each for each in document["contexts"] if each["name"] == document["current-context"])
    cluster = next(each for each in document["clusters"] if each["name"] == chosen["context"]["cluster"])["cluster"]
    address = urlsplit(cluster["server"])
    assert address.hostname
    wire = Wire((address.hostname, address.port or 443))
    cluster |= {"server": f"https://127.0.0.1:{wire.port}", "tls-server-name": address.hostname}
    scene.kubeconfig = tmp_path / "kubeconfig"
    scene.kubeconfig.write_text(json.dumps(document))
    yield wire
    wire.close()


@pytest.fixture
def account(scene: Rollout, namespace: Kubectl, kubeconfig: Path, tmp_path: Path) -> Account:
    """The account of the chart's Role, which controllers started from now on run as."""
    account = Account.of_chart(scene.name, namespace, kubeconfig)
    scene.kubeconfig = account.kubeconfig(tmp_path / "account")
    return account
