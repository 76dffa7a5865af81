"""Observation: who is ready, by EndpointSlices; what the last route carries."""

from __future__ import annotations

from typing import Any

import pytest
from lead_controller.observation import ready_pods, routed_backends

SERVICE = "leads-v1-predictor"


def slice_of(*endpoints: tuple[str, dict[str, Any]], service: str = SERVICE, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"kubernetes.io/service-name": service}, **metadata},
        "endpoints": [
            {"addresses": [f"10.0.0.{number}"], "conditions": conditions, "targetRef": {"uid": uid} if uid else None}
            for number, (uid, conditions) in enumerate(endpoints)
        ],
    }


READY: dict[str, Any] = {"ready": True, "serving": True, "terminating": False}


@pytest.mark.parametrize(
    ("slices", "ready"),
    [
        pytest.param([], None, id="no Service"),
        pytest.param([slice_of(service="leads-v2-predictor")], None, id="another Service's"),
        pytest.param([slice_of()], 0, id="no endpoint"),
        pytest.param([{**slice_of(), "endpoints": None}], 0, id="null instead of a list"),
        pytest.param([slice_of(("a", READY), ("b", READY))], 2, id="two"),
        pytest.param([slice_of(("a", {}), ("b", {"ready": None}))], 2, id="unknown means ready"),
        pytest.param([slice_of(("a", READY), ("b", {"ready": False, "serving": True}))], 1, id="unready"),
        pytest.param([slice_of(("a", {"ready": True, "terminating": True}))], 0, id="terminating, published anyway"),
        pytest.param([slice_of(("a", READY)), slice_of(("a", READY), ("b", READY))], 2, id="both address families"),
        pytest.param([slice_of(("", READY)), slice_of(("", READY))], 1, id="by address without a pod"),
        pytest.param([slice_of(("a", READY), deletionTimestamp="2026-11-21T12:00:00Z")], None, id="a slice going away"),
        pytest.param([slice_of(("a", READY)), slice_of(("b", {"ready": False}))], 1, id="several slices"),
    ],
)
def test_ready_pods(slices: list[dict[str, Any]], ready: int | None) -> None:
    """Ready and not terminating, every pod once; None without a Service."""
    assert ready_pods(slices, SERVICE) == ready


def route_of(*weights: tuple[str, int | None]) -> dict[str, Any]:
    backends = [{"name": name} | ({} if weight is None else {"weight": weight}) for name, weight in weights]
    return {"spec": {"rules": [{"name": "other"}, {"name": "split-a", "backendRefs": backends}]}}


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (None, []),
        ({}, []),
        ({"spec": {"rules": [{"name": "split-b"}]}}, []),
        (route_of(("leads-v1-predictor", 75), ("leads-v2-predictor", 25)), [("v1", 75), ("v2", 25)]),
        (route_of(("leads-v1-predictor", None), ("leads-v2-predictor", None)), [("v1", 50), ("v2", 50)]),
        (route_of(("leads-v1-predictor", 0), ("leads-v2-predictor", 3)), [("v2", 100)]),
        (route_of(("leads-a-b-predictor", 1), ("elsewhere", 9)), [("a-b", 100)]),
    ],
)
def test_routed_backends(route: dict[str, Any] | None, expected: list[tuple[str, int]]) -> None:
    """Percents, whatever somebody's hand made of the weights."""
    assert routed_backends(route, "split-a", inference_service="leads") == expected
