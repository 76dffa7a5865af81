"""How many pods it takes to carry all of the traffic, and a share of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from lead_controller.config import Autoscaling
from lead_controller.model import Json
from lead_controller.names import autoscaler_name, service_name
from lead_controller.observation import named, replicas

__all__ = ["pods_for", "pods_for_all"]


def pods_for(share: int, *, of_all: int) -> int:
    """Return the pods that carry a share (whole percent) where `of_all` carry 100 %: none for 0 %, else 1 or more."""
    return -(-share * of_all // 100)


def pods_for_all(
    *,
    inference_service: str,
    shares: Mapping[str, int],
    copies: str | None,
    autoscalers: Sequence[Json],
    deployments: Sequence[Json],
    bounds: Autoscaling,
) -> int:
    """Return how many pods carry 100 %, between minReplicas and maxReplicas.

    The load that the autoscalers measure, in pods at their target, summed over `shares` (variants by live share) but
    for the one that only gets `copies`. A variant at 0 % counts: its autoscaler may still measure what it had a moment
    ago, and leaving it out would halve the answer right after a shift. No autoscaler's floor is part of it, so floors
    derived from it can't drive each other up. As long as a variant with traffic has no measurement, it is at least the
    largest number of replicas among those with traffic; before there is a route, those of the first.
    """
    measured: dict[str, float] = {}
    for variant in shares:
        autoscaler = named(autoscalers, autoscaler_name(inference_service, variant))
        load = _load(autoscaler, bounds.target_cpu_utilization_percentage) if autoscaler else None
        if load is not None and (variant != copies or shares[variant]):
            measured[variant] = load
    pods = ceil(round(sum(measured.values()), 3))
    with_traffic = [variant for variant, share in shares.items() if share] or list(shares)[:1]
    if not all(variant in measured for variant in with_traffic):
        pods = max(pods, *(replicas(deployments, service_name(inference_service, each)) for each in with_traffic))
    return min(max(pods, bounds.min_replicas), bounds.max_replicas)


def _load(autoscaler: Json, target: int) -> float | None:
    """Return the pods that would run at the target utilisation; None without a measurement."""
    status: Mapping[str, Any] = autoscaler.get("status") or {}
    for metric in status.get("currentMetrics") or ():
        resource = metric.get("resource") or {}
        utilisation = (resource.get("current") or {}).get("averageUtilization")
        if resource.get("name") == "cpu" and utilisation is not None:
            return float((status.get("currentReplicas") or 0) * utilisation / target)
    return None
