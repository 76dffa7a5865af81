"""The configuration: strict, with errors that say where."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lead_controller.config import parse_config

GOOD: dict[str, Any] = {
    "inferenceService": "leads",
    "model": "lead-scoring",
    "gateway": {"name": "gate", "namespace": "kserve", "sectionName": None},
    "rest": {"hostnames": ["leads.example.com"]},
    "grpc": {"hostnames": ["grpc.leads.example.com"]},
    "routeTimeout": "1s",
    "trafficPolicy": {"healthCheck": {"panicThreshold": 0}},
    "autoscaling": {
        "minReplicas": 3,
        "maxReplicas": 9,
        "canaryMinReplicas": 1,
        "targetCPUUtilizationPercentage": 70,
        "behavior": {"scaleUp": {"stabilizationWindowSeconds": 5}},
    },
    "metricsPort": 9100,
}


def test_the_documented_example() -> None:
    """Everything arrives; what is left out has a default."""
    config = parse_config(json.dumps(GOOD))
    assert (config.inference_service, config.route_timeout, config.metrics_port) == ("leads", "1s", 9100)
    assert config.autoscaling.target_cpu_utilization_percentage == 70
    few = {key: GOOD[key] for key in ("inferenceService", "model", "gateway", "rest", "grpc")}
    assert parse_config(json.dumps(few)).autoscaling.max_replicas == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inferenceService": "Leads"}, r"matching regex.* - at `\$.inferenceService`"),
        ({"inferenceService": None}, r"Expected `str`, got `null` - at `\$.inferenceService`"),
        ({"gatway": {}}, "unknown field `gatway`"),
        ({"gateway": {"name": "gate"}}, r"missing required field `namespace` - at `\$.gateway`"),
        ({"rest": {"hostnames": []}}, r"length >= 1 - at `\$.rest.hostnames`"),
        ({"rest": {"hostnames": ["a_b"]}}, r"at `\$.rest.hostnames\[0\]`"),
        ({"grpc": {"hostnames": ["leads.example.com"]}}, r"can't share hostnames, both have \['leads.example.com'\]"),
        ({"routeTimeout": "1.5s"}, r"at `\$.routeTimeout`"),
        ({"autoscaling": {"minReplicas": 0}}, r">= 1 - at `\$.autoscaling.minReplicas`"),
        ({"autoscaling": {"minReplicas": 11}}, r"must not exceed maxReplicas - at `\$.autoscaling`"),
        ({"autoscaling": {"canaryMinReplicas": 5, "maxReplicas": 4}}, "must not exceed maxReplicas"),
        ({"autoscaling": {"behavior": {"up": {}}}}, r"scaleUp and scaleDown only, got \['up'\]"),
        ({"autoscaling": {"behaviour": {}}}, "unknown field `behaviour`"),
        ({"trafficPolicy": {"targetRefs": []}}, r"what the controller sets: \['targetRefs'\]"),
        ({"trafficPolicy": {"loadBalancer": {"type": "ConsistentHash"}}}, "must not hash"),
        ({"trafficPolicy": {"loadBalancer": 1}}, "must not hash"),
        ({"metricsPort": 0}, r"at `\$.metricsPort`"),
    ],
)
def test_refused(change: dict[str, Any], message: str) -> None:
    """A typing error stops the start instead of being a default."""
    with pytest.raises(ValueError, match=message):
        parse_config(json.dumps(GOOD | change))


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_not_a_document(text: str) -> None:
    """No JSON object at all."""
    with pytest.raises(ValueError, match=r".+"):
        parse_config(text)
