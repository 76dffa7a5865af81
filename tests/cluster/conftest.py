"""A throwaway namespace that enforces PodSecurity `restricted`, models in S3, and the chart installed on both."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import questions
from tests.cluster.gateway import Gateway
from tests.cluster.kubectl import Kubectl
from tests.cluster.load import Plan
from tests.cluster.release import Release
from tests.cluster.settings import Settings
from tests.cluster.storage import Bucket
from tests.cluster.values import storage_secret, values_of
from tests.end_to_end.doors import Doors
from tests.end_to_end.payloads import generated

VERSIONS = {"v1": "1", "v2": "2"}
"""The variants that are installed and the versions that they run."""


UNASKED = dict.fromkeys(("abort", "abortTo", "shadow", "forcedVariantHeader"))
INSTALL_S = 600
"""The first test of a run waits for all of the pods."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "cluster" in item.path.parts and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(INSTALL_S))


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings.from_environment()


@pytest.fixture(scope="session")
def cluster(settings: Settings) -> Kubectl:  # noqa: ARG001 - which say that there is a cluster
    """kubectl, outside any namespace of ours; the cluster has what the chart needs."""
    kubectl = Kubectl("default")
    for crd in ("inferenceservices.serving.kserve.io", "httproutes.gateway.networking.k8s.io"):
        kubectl.get("crd", crd)
    kubectl.get("crd", "backendtrafficpolicies.gateway.envoyproxy.io")
    return kubectl


@pytest.fixture(scope="session")
def namespace(cluster: Kubectl, settings: Settings) -> Iterator[Kubectl]:
    """kubectl in a namespace that is gone at the end."""
    name = settings.namespace or f"lead-e2e-{secrets.token_hex(3)}"
    kubectl = Kubectl(name)
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    yield kubectl
    if not settings.keep:
        cluster("delete", "namespace", name, "--wait=true", "--timeout=180s", timeout_s=200)


@pytest.fixture(scope="session")
def models_bucket(settings: Settings, namespace: Kubectl) -> Iterator[Bucket]:
    """The shipped versions at `lead-scoring/1/` and `lead-scoring/2/`, and room for more."""
    bucket = Bucket(settings, namespace.namespace)
    for version in VERSIONS.values():
        bucket.publish(questions.folder_of(version), f"lead-scoring/{version}")
    yield bucket
    if not settings.keep:
        bucket.clear()


@pytest.fixture(scope="session")
def gateway(settings: Settings, namespace: Kubectl) -> Gateway:
    """The cluster's gateway, by the host names of this run."""
    url = settings.gateway_url
    if url is None:
        found = Kubectl(settings.gateway_namespace).get("gateway", settings.gateway_name)
        address = found["status"]["addresses"][0]["value"]
        url = f"http://{address}:{found['spec']['listeners'][0]['port']}"
    name = namespace.namespace
    return Gateway(url, rest_host=f"{name}.example.com", grpc_host=f"grpc.{name}.example.com")


@pytest.fixture(scope="session")
def release(settings: Settings, namespace: Kubectl, models_bucket: Bucket, gateway: Gateway) -> Iterator[Release]:
    """The chart with v1 stable and v2 a canary at 0 %, ready and routed."""
    namespace.apply(storage_secret(settings))
    release = Release(namespace, "lead-scoring", values_of(settings, models_bucket, gateway), gateway)
    release.upgrade()
    try:
        release.roll(**UNASKED)  # in a namespace that an earlier run left
        release.shift(0)
        release.until_ready("v1", count=2, within_s=300)
        release.until_routed({"v1": 100})
        release.gateway.until_asked(["a", "b"], lambda seen: set(seen.values()) == {"v1"}, "v1 answers")
        release.shift(100)  # for which v2 needs as many pods as v1; they stay
        release.until_routed({"v2": 100})
        release.shift(0)
        release.until_routed({"v1": 100})
        assert [len(release.pods(variant)) for variant in VERSIONS] == [2, 2]
        yield release
    finally:
        if not settings.keep:
            release.uninstall()


@pytest.fixture(scope="session")
def leads() -> list[dict[str, Any]]:
    return generated(200, seed=20261121)


@pytest.fixture(scope="session")
def doors(release: Release) -> Iterator[Doors]:
    found = release.gateway.doors(questions.contract())
    yield found
    found.close()


@pytest.fixture
def plan(release: Release) -> Plan:
    """Load that any test may run beside what it does."""
    found = release.gateway
    return Plan(found.url, found.rest_host, found.grpc_host, dict(VERSIONS))


@pytest.fixture
def installed(release: Release) -> Iterator[Release]:
    """The release as it was installed, and again so afterwards."""
    as_installed(release)
    yield release
    as_installed(release)


@pytest.fixture
def calm(installed: Release) -> Iterator[Release]:
    """The release as it was installed; whatever a test asks of the controller, no pod may be restarted or replaced."""
    before = installed.lives(*VERSIONS)  # a canary that another test added may still be on its way out
    yield installed
    after = installed.lives()
    assert {uid: after.get(uid) for uid in before} == before


def as_installed(release: Release) -> None:
    """Put v1 to 100 % and v2 to a canary at 0 %, whatever a test has left."""
    spec = release.service["spec"]
    predictors = {
        found["name"]: found for found in [spec["predictor"], *(c["predictor"] for c in spec.get("canary", []))]
    }
    release.roll(**UNASKED)
    canaries = [{"trafficPercent": 0, "predictor": predictors["v2"]}]
    if spec["predictor"] != predictors["v1"] or spec.get("canary") != canaries:
        release.edit(predictors["v1"], canaries)
    release.until_routed({"v1": 100})
    release.gateway.until_asked(
        [str(number) for number in range(50)], lambda seen: set(seen.values()) == {"v1"}, "v1 answers everything"
    )
