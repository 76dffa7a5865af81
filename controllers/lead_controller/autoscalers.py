"""One HorizontalPodAutoscaler per variant: capacity is there before the share rises."""

from __future__ import annotations

from lead_controller.config import Autoscaling
from lead_controller.model import Json
from lead_controller.names import VARIANT_LABEL, autoscaler_name, service_name

__all__ = ["autoscaler", "floor"]

_UP_FAST = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Percent", "value": 100, "periodSeconds": 15},
        {"type": "Pods", "value": 4, "periodSeconds": 15},
    ],
}
_DOWN_SLOW = {
    "stabilizationWindowSeconds": 300,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Percent", "value": 10, "periodSeconds": 60},
        {"type": "Pods", "value": 1, "periodSeconds": 60},
    ],
}


def floor(*, needed: int, least: int, live: int | None, bounds: Autoscaling) -> int:
    """Return minReplicas: up at once to what is needed, down only when that is a quarter less than what stands.

    Args:
        needed: pods that carry the share which the variant may have to carry at any moment.
        least: pods it keeps at any share.
        live: minReplicas as it stands; None without an autoscaler.
        bounds: the configuration.
    """
    want = min(max(needed, least), bounds.max_replicas)
    if live is not None and want < live <= min(max(needed * 5 // 4, least), bounds.max_replicas):
        return live
    return want


def autoscaler(*, inference_service: str, variant: str, least: int, bounds: Autoscaling, metadata: Json) -> Json:
    """Return the autoscaler of a variant's Deployment, on CPU as a percentage of all its containers' requests.

    The pod's CPU, not one container's: transformer and predictor work in step, and both must fit.
    """
    cpu = {"type": "Utilization", "averageUtilization": bounds.target_cpu_utilization_percentage}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            **metadata,
            "name": autoscaler_name(inference_service, variant),
            "labels": {**metadata["labels"], VARIANT_LABEL: variant},
        },
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": service_name(inference_service, variant),
            },
            "minReplicas": least,
            "maxReplicas": bounds.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": cpu}}],
            "behavior": {"scaleUp": _UP_FAST, "scaleDown": _DOWN_SLOW} | bounds.behavior,
        },
    }
