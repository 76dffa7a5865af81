"""The chart as people use it: its notes as printed, upgrades after a promotion, releases side by side, drains."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.edge.tokens import AUDIENCE, ISSUER, SCOPE, Issuer
from tests.cluster.gateway import Gateway
from tests.cluster.kubectl import Kubectl, Refused, run
from tests.cluster.release import Release
from tests.cluster.settings import Settings

pytestmark = pytest.mark.timeout(400)


def commands(notes: str) -> str:
    """Return what the notes tell people to type: their indented lines."""
    return "\n".join(re.findall(r"^ {4}(.*)$", notes, re.MULTILINE))


def type_in(script: str) -> str:
    """Run commands as somebody at a terminal does, with job control; the first that fails ends it."""
    return run(["bash", "-emc", script], timeout_s=300)


def live(release: Release) -> list[Any]:
    """Return what of the InferenceService an upgrade must not touch once people have moved it."""
    found = release.service
    return [found["metadata"]["generation"], found["spec"]]


def promote(release: Release) -> None:
    """Swap stable and canary by the patch of the notes."""
    operations: list[dict[str, Any]] = [
        {"op": "test", "path": "/spec/canary/0/predictor/name", "value": "v2"},
        {"op": "add", "path": "/spec/canary/1", "value": {"trafficPercent": 0}},
        {"op": "move", "from": "/spec/predictor", "path": "/spec/canary/1/predictor"},
        {"op": "move", "from": "/spec/canary/0/predictor", "path": "/spec/predictor"},
        {"op": "remove", "path": "/spec/canary/0"},
    ]
    release.kubectl.patch("inferenceservice", release.name, *operations)
    release.until_routed({"v2": 100})


def with_values(release: Release, **changes: Any) -> Release:
    """Return the release with some top-level values replaced."""
    return dataclasses.replace(release, values={**release.values, **changes})


@pytest.fixture
def beside(release: Release) -> Iterator[Release]:
    """A second release in the same namespace: v1 alone, one pod, made by its controller."""
    values = json.loads(json.dumps(release.values))
    values["inferenceService"] |= {"ownership": "bootstrap", "canaries": []}
    values["autoscaling"] |= {"minReplicas": 1, "maxReplicas": 1, "canaryMinReplicas": 1}
    values["controller"]["replicas"] = 1
    hosts = Gateway(release.gateway.url, f"beside.{release.gateway.rest_host}", f"beside.{release.gateway.grpc_host}")
    values["edge"] |= {"rest": {"hostnames": [hosts.rest_host]}, "grpc": {"hostnames": [hosts.grpc_host]}}
    second = Release(release.kubectl, "beside-lead-scoring", values, hosts)
    try:
        second.upgrade()
        second.until_ready("v1")
        second.until_routed({"v1": 100})
        yield second
    finally:
        second.uninstall()
        release.kubectl("delete", "inferenceservice", second.name, "--ignore-not-found")  # left behind, as documented


def test_the_commands_of_the_notes_work_as_printed(calm: Release) -> None:
    """Wait, look, helm test, ask, shift, take back, abort, promote: in that order."""
    printed = type_in(commands(calm.upgrade()))
    assert '"platform":"lead-scoring-xgboost"' in printed
    assert calm.service["spec"]["predictor"]["name"] == "v2"
    calm.until_routed({"v2": 100})


def test_upgrades_after_a_promotion_move_nothing_and_restart_no_pod(calm: Release) -> None:
    promote(calm)
    before = live(calm)
    calm.upgrade()
    assert live(calm) == before
    other = calm.values["autoscaling"] | {"targetCPUUtilizationPercentage": 65}
    with_values(calm, autoscaling=other).upgrade()
    assert live(calm) == before
    service = calm.values["inferenceService"]
    (canary,) = service["canaries"]
    stable = {key: value for key, value in canary.items() if key != "trafficPercent"}
    written = {"stable": stable, "canaries": [service["stable"] | {"trafficPercent": 0}]}
    with_values(calm, inferenceService=written).upgrade()
    assert live(calm) == before
    calm.until_routed({"v2": 100})
    calm.upgrade()  # now the values changed: back, by Helm, and still no pod restarts
    calm.until_routed({"v1": 100})


@pytest.fixture
def guarded(calm: Release, settings: Settings) -> Iterator[Release]:
    """The release with tokens asked for at the gateway, and one for its own tests."""
    issuer = Issuer()
    secret = {"kind": "Secret", "metadata": {"name": "test-token"}, "stringData": {"token": issuer.token()}}
    keys = {"kind": "ConfigMap", "metadata": {"name": "keys"}, "data": {"jwks": issuer.key_set}}
    calm.kubectl.apply({"apiVersion": "v1", **secret}, {"apiVersion": "v1", **keys})
    accepted = {"issuer": ISSUER, "audiences": [AUDIENCE], "scopes": [SCOPE], "jwks": {"configMapName": "keys"}}
    edge = calm.values["edge"] | {"auth": {"mode": "jwt", "jwt": accepted}}
    url = settings.gateway_url_inside or calm.gateway.url
    with_values(calm, edge=edge, tests={"gatewayUrl": url, "tokenSecretName": "test-token"}).upgrade()
    try:
        yield calm
    finally:
        calm.upgrade()


def test_a_release_that_asks_for_tokens_keeps_its_promises(guarded: Release) -> None:
    """Of `helm test`: ready, golden leads through the gateway, bad input refused, nobody in without a token."""
    told = guarded.test()
    for promise in ("ready", "golden", "bad-input", "no-token"):
        assert f"{guarded.name}-test-{promise}" in told


def test_old_values_that_contradict_a_promotion_are_refused(calm: Release) -> None:
    promote(calm)
    before = live(calm)
    with pytest.raises(Refused, match=r'canary predictor\.name "v2" conflicts with stable predictor name'):
        with_values(calm, predictor={"nodeSelector": {"kubernetes.io/os": "linux"}}).upgrade()
    assert live(calm) == before
    calm.upgrade()
    assert live(calm) == before


def test_a_runtime_that_is_dropped_too_early_costs_no_pod(calm: Release) -> None:
    (runtime,) = (item["metadata"]["name"] for item in runtimes(calm))
    calm.kubectl("delete", "servingruntime", runtime)
    calm.shift(25)
    calm.until_routed({"v1": 75, "v2": 25})
    calm.upgrade()
    assert [item["metadata"]["name"] for item in runtimes(calm)] == [runtime]


def runtimes(release: Release) -> list[dict[str, Any]]:
    """Return the runtimes of a release."""
    return release.kubectl.items("servingruntime", f"app.kubernetes.io/instance={release.name}")


def test_two_releases_share_a_namespace_and_one_leaves(calm: Release, beside: Release) -> None:
    """The second is made by its controller, gets a canary by its notes, and takes nothing of the first with it."""
    service = beside.service
    assert "meta.helm.sh/release-name" not in service["metadata"].get("annotations", {})
    type_in(commands(beside.upgrade()))
    assert beside.service["spec"]["predictor"]["name"] == "v2"
    before = live(beside)
    beside.until_routed({"v2": 100}, within_s=180)
    beside.upgrade()
    assert live(beside) == before
    seen = beside.gateway.asked(["a", "b", "c"])
    assert set(seen.values()) == {"v2"}
    beside.uninstall()
    calm.until_routed({"v1": 100})
    assert set(calm.gateway.asked(["a", "b", "c"]).values()) == {"v1"}


def test_every_container_is_bounded_and_restricted_the_injected_one_too(release: Release) -> None:
    for pod in release.kubectl.items("pod", f"serving.kserve.io/inferenceservice={release.name}"):
        containers = [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
        assert [item["name"] for item in containers] == [
            "storage-initializer",
            "kserve-container",
            "transformer-container",
        ]
        for item in containers:
            assert {"cpu", "memory"} <= item["resources"]["requests"].keys(), item["name"]
            assert {"cpu", "memory"} <= item["resources"]["limits"].keys(), item["name"]
            assert item["securityContext"]["allowPrivilegeEscalation"] is False, item["name"]
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["automountServiceAccountToken"] is False


def evict(kubectl: Kubectl, pod: str) -> None:
    """Ask for a pod as `kubectl drain` does."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{pod}/eviction"
    kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


def test_a_drain_gets_one_pod_of_all_variants_at_a_time(installed: Release) -> None:
    first, second = installed.pods("v1")[0], installed.pods("v2")[0]
    evict(installed.kubectl, first.name)
    with pytest.raises(Refused, match="violate the pod's disruption budget"):
        evict(installed.kubectl, second.name)
    installed.until_ready("v1", count=2)
