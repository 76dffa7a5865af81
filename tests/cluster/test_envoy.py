"""What no fault is injected for: the limits of the values, as the running Envoy has them."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
import yaml

from tests.cluster.edge.site import forwarded
from tests.cluster.kubectl import Kubectl
from tests.cluster.release import CHART, Release
from tests.cluster.settings import Settings

ADMIN_PORT = 19000
"""Envoy Gateway's choice, on the pod's loopback."""
ASKED = yaml.safe_load((CHART / "values.yaml").read_text())["edge"]
"""What the suite's release doesn't change."""


def dumped(url: str, resource: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{url}/config_dump?resource={resource}", timeout=10) as answer:  # noqa: S310 - HTTP
        found: list[dict[str, Any]] = json.load(answer)["configs"]
    return found


@pytest.fixture(scope="module")
def clusters(release: Release, settings: Settings) -> list[dict[str, Any]]:
    """Envoy's clusters for the release's routes."""
    kubectl = Kubectl(settings.gateway_namespace)
    with forwarded(kubectl, settings.gateway_name, port=ADMIN_PORT) as port:
        found = [each["cluster"] for each in dumped(f"http://127.0.0.1:{port}", "dynamic_active_clusters")]
    ours = f"/{release.kubectl.namespace}/{release.name}-rollout/"
    return [cluster for cluster in found if ours in cluster["name"]]


@pytest.fixture(scope="module")
def routes(release: Release, settings: Settings) -> list[dict[str, Any]]:
    """Envoy's routes for the release's hostnames."""
    kubectl = Kubectl(settings.gateway_namespace)
    with forwarded(kubectl, settings.gateway_name, port=ADMIN_PORT) as port:
        found = dumped(f"http://127.0.0.1:{port}", "dynamic_route_configs")
    hosts = [host for each in found for host in each["route_config"].get("virtual_hosts", [])]
    names = {release.gateway.rest_host, release.gateway.grpc_host}
    return [route for host in hosts if names & set(host["domains"]) for route in host["routes"]]


def test_both_protocols_of_both_variants_have_clusters(clusters: list[dict[str, Any]]) -> None:
    assert {cluster["name"].split("/")[0] for cluster in clusters} == {"httproute", "grpcroute"}
    assert len(clusters) >= 4


def test_no_traffic_goes_to_pods_that_are_ill_together(clusters: list[dict[str, Any]]) -> None:
    """By default Envoy would panic below half of them, and send to all."""
    panics = [cluster["common_lb_config"]["healthy_panic_threshold"] for cluster in clusters]
    assert panics == [{}] * len(clusters)  # a Percent of 0


def test_a_bad_pod_of_two_is_taken_out(clusters: list[dict[str, Any]]) -> None:
    wanted = ASKED["outlier"]
    for cluster in clusters:
        found = cluster["outlier_detection"]
        assert found["max_ejection_percent"] == wanted["maxEjectionPercent"] >= 50
        assert found["consecutive_5xx"] == wanted["consecutiveErrors"]


def test_circuits_break_and_retries_have_a_budget(clusters: list[dict[str, Any]]) -> None:
    wanted, retry = ASKED["circuitBreaker"], ASKED["retry"]
    for cluster in clusters:
        [found] = cluster["circuit_breakers"]["thresholds"]
        assert found["max_connections"] == wanted["maxConnections"]
        assert found["max_pending_requests"] == wanted["maxPendingRequests"]
        assert found["max_requests"] == wanted["maxParallelRequests"]
        assert found["retry_budget"]["budget_percent"] == {"value": retry["budgetPercent"]}
        assert found["retry_budget"].get("min_retry_concurrency", 3) == retry["minConcurrency"]  # left out: Envoy's 3


def test_only_what_no_pod_has_seen_is_sent_again(routes: list[dict[str, Any]]) -> None:
    policies = [route["route"]["retry_policy"] for route in routes if "weighted_clusters" in route.get("route", {})]
    assert policies
    for policy in policies:
        assert set(policy["retry_on"].split(",")) == {"connect-failure", "refused-stream", "reset-before-request"}
        assert policy.get("num_retries", 1) == 1
