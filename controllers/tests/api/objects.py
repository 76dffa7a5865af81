"""What people, KServe and Kubernetes would have made: an InferenceService whose pods exist on paper only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

__all__ = ["config", "inference_service", "rollout", "slice_of", "variant"]

Json = dict[str, Any]


def config(name: str, namespace: str) -> Json:
    """Return a configuration for the cluster's Gateway."""
    return {
        "inferenceService": name,
        "model": "lead-scoring",
        "gateway": {
            "name": os.environ.get("E2E_GATEWAY_NAME", "kserve-ingress-gateway"),
            "namespace": os.environ.get("E2E_GATEWAY_NAMESPACE", "kserve"),
        },
        "rest": {"hostnames": [f"{name}.{namespace}.example.com"]},
        "grpc": {"hostnames": [f"grpc.{name}.{namespace}.example.com"]},
        "trafficPolicy": {"retry": {"numRetries": 1, "retryOn": {"triggers": ["connect-failure"]}}},
        "autoscaling": {"minReplicas": 2, "maxReplicas": 4, "canaryMinReplicas": 2},
    }


def _predictor(variant: str) -> Json:
    # No runtime of this name exists: KServe accepts the InferenceService and makes no pods.
    model = {"modelFormat": {"name": "lead"}, "runtime": "no-runtime", "storageUri": f"s3://models/{variant}/"}
    return {"name": variant, "model": {"name": "", **model}}  # the schema wants the container's name


def inference_service(name: str, stable: str, canaries: dict[str, int]) -> Json:
    """Return an InferenceService; `canaries` are percentages by variant."""
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "labels": {"networking.kserve.io/visibility": "cluster-local"},
            "annotations": {
                "serving.kserve.io/deploymentMode": "Standard",
                "serving.kserve.io/autoscalerClass": "external",
            },
        },
        "spec": {
            "predictor": _predictor(stable),
            "canary": [
                {"predictor": _predictor(variant), "trafficPercent": percent} for variant, percent in canaries.items()
            ],
        },
    }


def rollout(name: str) -> Json:
    """Return the ModelRollout of an InferenceService."""
    return {
        "apiVersion": "lead-scoring.io/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": name},
        "spec": {"inferenceService": name},
    }


def deployment(name: str, variant: str, replicas: int) -> Json:
    """Return the Deployment that KServe makes for a variant; paused before it made a pod."""
    labels = {"app": f"isvc.{name}-{variant}-predictor", "serving.kserve.io/inferenceservice": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"{name}-{variant}-predictor", "labels": labels},
        "spec": {
            "paused": True,
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "kserve-container", "image": "none"}]},
            },
        },
    }


def service(name: str, variant: str) -> Json:
    """Return the Service that KServe makes for a variant, without a selector: its slices are made by hand."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"{name}-{variant}-predictor", "labels": {"serving.kserve.io/inferenceservice": name}},
        "spec": {
            "ports": [
                {"name": "http1", "port": 80, "targetPort": 8080},
                {"name": "h2c", "port": 8081, "targetPort": 8081, "appProtocol": "kubernetes.io/h2c"},
            ]
        },
    }


def variant(name: str, variant: str) -> list[Json]:
    """Return all that KServe and Kubernetes make for a variant: two ready pods."""
    return [service(name, variant), deployment(name, variant, 2), slice_of(name, variant, [True, True])]


def slice_of(name: str, variant: str, ready: Sequence[bool]) -> Json:
    """Return the EndpointSlice of a variant's Service: one pod for each of `ready`."""
    service = f"{name}-{variant}-predictor"
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{service}-1",
            "labels": {"kubernetes.io/service-name": service, "serving.kserve.io/inferenceservice": name},
        },
        "addressType": "IPv4",
        "ports": [
            {"name": "http1", "port": 8080, "protocol": "TCP"},
            {"name": "h2c", "port": 8081, "protocol": "TCP", "appProtocol": "kubernetes.io/h2c"},
        ],
        "endpoints": [
            {
                "addresses": [f"192.0.2.{number + 1}"],
                "conditions": {"ready": is_ready, "serving": is_ready, "terminating": False},
                "targetRef": {"kind": "Pod", "name": f"{service}-{number}", "uid": f"{variant}-{number}"},
            }
            for number, is_ready in enumerate(ready)
        ],
    }
