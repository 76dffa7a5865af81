"""The values that the suite installs the chart with: as few and as small pods as show everything."""

from __future__ import annotations

from typing import Any

from tests.cluster.gateway import Gateway
from tests.cluster.settings import Settings
from tests.cluster.storage import Bucket

__all__ = ["STORAGE_SECRET", "runtime_of", "storage_secret", "values_of"]

RUNTIME = "e2e"
STORAGE_SECRET = "model-storage"  # noqa: S105 - a name
_SMALL = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}


def values_of(settings: Settings, bucket: Bucket, gateway: Gateway) -> dict[str, Any]:
    """Return values: v1 stable with two pods, v2 a silent canary with one, nobody asked who they are.

    That only holders of tokens get in is shown by test_edge.py, on a release of its own.
    """
    return {
        "inferenceService": {
            "stable": {"name": "v1", "runtime": RUNTIME, "storageUri": bucket.uri("lead-scoring/1")},
            "canaries": [
                {"name": "v2", "runtime": RUNTIME, "trafficPercent": 0, "storageUri": bucket.uri("lead-scoring/2")}
            ],
        },
        "runtimes": {RUNTIME: runtime_of(settings), "1-0-0": None},
        "runtimeDefaults": {"transformer": {"resources": _SMALL}, "predictor": {"resources": _SMALL}},
        "storage": {"secretName": STORAGE_SECRET},
        # no more pods than this, however busy the machine is, and none fewer once they are there: the tests count pods
        "autoscaling": {
            "minReplicas": 2,
            "maxReplicas": 2,
            "canaryMinReplicas": 1,
            "behavior": {
                "scaleDown": {"selectPolicy": "Disabled", "policies": None, "stabilizationWindowSeconds": None}
            },
        },
        "controller": {"image": image_of(settings, "controller"), "resources": {"requests": {"cpu": "20m"}}},
        "edge": {
            "gateway": {"name": settings.gateway_name, "namespace": settings.gateway_namespace},
            "rest": {"hostnames": [gateway.rest_host]},
            "grpc": {"hostnames": [gateway.grpc_host]},
            "auth": {"mode": "none", "acknowledgeUnauthenticated": True},
            "limits": {"requestsPerSecond": 20000},  # the suite asks faster than one client would
        },
        "tests": {"gatewayUrl": settings.gateway_url_inside or ""},
    }


def runtime_of(settings: Settings) -> dict[str, Any]:
    """Return a runtime of the images under test."""
    return {name: {"image": image_of(settings, name)} for name in ("transformer", "predictor")}


def image_of(settings: Settings, name: str) -> dict[str, str]:
    """Split an image's name as the chart wants it."""
    image, _, digest = settings.images[name].partition("@")
    repository, _, tag = image.rpartition(":")
    if not repository or "/" in tag:
        repository, tag = image, ""
    return {"repository": repository, "tag": tag, "digest": digest}


def storage_secret(settings: Settings) -> dict[str, Any]:
    """Return the Secret with the storage's credentials, in KServe's words."""
    notes = {
        "s3-endpoint": settings.s3_endpoint_inside,
        "s3-usehttps": "1" if settings.s3_https_inside else "0",
        "s3-region": settings.s3_region,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": STORAGE_SECRET,
            "annotations": {f"serving.kserve.io/{name}": value for name, value in notes.items()},
        },
        "stringData": {"AWS_ACCESS_KEY_ID": settings.s3_key, "AWS_SECRET_ACCESS_KEY": settings.s3_secret},
    }
