"""What things are called: one place for the names that the chart, the pods and the routes agree on."""

from __future__ import annotations

__all__ = [
    "COMPONENT",
    "FIELD_MANAGER",
    "HASH_HEADER",
    "MANAGED_BY",
    "PART_OF",
    "ROLLOUT_API_VERSION",
    "ROLLOUT_KIND",
    "SPLIT_HEADER",
    "VARIANT_HEADER",
    "VARIANT_LABEL",
    "autoscaler_name",
    "labels",
    "route_name",
    "service_name",
    "sticky_name",
]

FIELD_MANAGER = "lead-scoring-controller"
"""Owner of the fields we apply, and the value of `app.kubernetes.io/managed-by`."""

MANAGED_BY = "app.kubernetes.io/managed-by"
PART_OF = "app.kubernetes.io/part-of"
COMPONENT = "app.kubernetes.io/component"
VARIANT_LABEL = "lead-scoring.io/variant"

ROLLOUT_API_VERSION = "lead-scoring.io/v1alpha1"
ROLLOUT_KIND = "ModelRollout"

HASH_HEADER = "x-lead-key"
VARIANT_HEADER = "x-lead-variant"
SPLIT_HEADER = "x-lead-split"


def route_name(inference_service: str) -> str:
    """Return the name of the HTTPRoute, the GRPCRoute and their BackendTrafficPolicy."""
    return f"{inference_service}-rollout"


def sticky_name(inference_service: str) -> str:
    """Return the name of the BackendTrafficPolicy of the routes' split lanes."""
    return f"{inference_service}-rollout-split"


def autoscaler_name(inference_service: str, variant: str) -> str:
    """Return the name of a variant's HorizontalPodAutoscaler."""
    return f"{inference_service}-{variant}-rollout"


def service_name(inference_service: str, variant: str) -> str:
    """Return the name that KServe gives a variant's Deployment and Service."""
    return f"{inference_service}-{variant}-predictor"


def labels(inference_service: str) -> dict[str, str]:
    """Return the labels of everything we write; they select it too."""
    return {MANAGED_BY: FIELD_MANAGER, PART_OF: inference_service, COMPONENT: "rollout"}
