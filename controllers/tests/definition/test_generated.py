"""What the planner generates, on a real API server: taken as it stands, and standing as it was written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from lead_controller import drift
from lead_controller.config import parse_config
from lead_controller.model import Json, Observed
from lead_controller.planner import plan

from tests.cluster.kubectl import Kubectl

_NAMES = [f"v{number}" for number in range(1, 14)]


def _observed(namespace: str, names: list[str], **spec: Any) -> Observed:
    canaries = [{"predictor": {"name": name}, "trafficPercent": 5} for name in names[1:]]
    service = [{"metadata": {"name": "leads"}, "spec": {"predictor": {"name": names[0]}, "canary": canaries}}]
    metadata = {"name": "leads", "namespace": namespace, "uid": "00000000-0000-0000-0000-000000000000"}
    slices = [
        {
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": f"leads-{name}-predictor"}},
            "endpoints": [{"addresses": ["10.0.0.1"]}],
        }
        for name in names
    ]
    rollout = {"metadata": metadata, "spec": {"inferenceService": "leads", **spec}}
    return Observed(inference_service=service[0], rollout=rollout, endpoint_slices=slices)


@pytest.mark.parametrize("count", [1, 2, 13])
def test_generated_objects_are_taken_and_stand(namespace: Kubectl, count: int) -> None:
    """All kinds, with one variant and with as many as fit: applied they show no drift, whatever is defaulted."""
    text = {
        "inferenceService": "leads",
        "model": "lead-scoring",
        "gateway": {"name": "none", "namespace": namespace.namespace},
        "rest": {"hostnames": ["leads.example.com"]},
        "grpc": {"hostnames": ["grpc.leads.example.com"]},
        "trafficPolicy": {
            "retry": {"numRetries": 1, "retryOn": {"triggers": ["connect-failure"]}},
            "circuitBreaker": {"maxConnections": 1024},
            "healthCheck": {"panicThreshold": 0, "passive": {"baseEjectionTime": "10s", "interval": "1s"}},
            "timeout": {"tcp": {"connectTimeout": "250ms"}},
        },
    }
    wishes: Json = {"forcedVariantHeader": "x-lead-force-variant"}
    observed = _observed(namespace.namespace, _NAMES[:count], **wishes)
    made = plan(observed, parse_config(json.dumps(text)), now=datetime.now(UTC))
    assert len(made.apply) == 4 + count
    for item in made.apply:
        command = ["apply", "--server-side", "--field-manager=lead-scoring-controller", "--show-managed-fields"]
        answer = namespace(*command, "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(item))
        live = json.loads(answer)
        assert drift.standing(item, live)
        assert drift.foreign(item, live) == {}
