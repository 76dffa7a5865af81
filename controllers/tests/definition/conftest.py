"""A namespace of one's own on the cluster that KUBECONFIG names, with the ModelRollout's CRD as the chart has it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.kubectl import Kubectl

CRD = Path(__file__).parents[3] / "charts/lead-scoring/crds/modelrollouts.yaml"


@pytest.fixture(scope="module")
def namespace() -> Iterator[Kubectl]:
    """kubectl in an empty namespace that is gone at the end."""
    kubectl = Kubectl(f"definition-{secrets.token_hex(4)}")
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    kubectl("wait", "--for=condition=Established", "crd/modelrollouts.lead-scoring.io", "--timeout=30s")
    kubectl("create", "namespace", kubectl.namespace)
    yield kubectl
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false")
