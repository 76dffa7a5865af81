"""Which requests Envoy lets through, to which variant, in which shares: the part that changes while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lead_scoring.local.split import Split

__all__ = ["GRPC_METHODS", "ROUTES", "ROUTE_TIMEOUT_S", "cluster_name", "routes"]

ROUTE_TIMEOUT_S = 1.0
ROUTES = "lead-scoring"
"""Name of the route configuration, in Envoy's statistics too."""

GRPC_METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
"""Everything of the V2 service but Repository*, which would load and unload models."""

_GRPC_SERVICE = "inference.GRPCInferenceService"
_TYPE = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
_HASH_KEY = "x-lead-key"


def cluster_name(variant: str, *, grpc: bool) -> str:
    """Return what Envoy calls a variant's endpoints of one protocol."""
    return f"{variant}-{'grpc' if grpc else 'rest'}"


def routes(*, model: str, split: Split, version: str) -> dict[str, Any]:
    """Return the routes of a split as the discovery response that Envoy reads from `routes_file`.

    Only these paths exist: V2 inference, metadata and health, V1 prediction and list. Envoy answers the rest with 404.
    """
    rest = [
        _route("infer", {"path": f"/v2/models/{model}/infer"}, "POST", split),
        _route("model-metadata", {"path": f"/v2/models/{model}"}, "GET", split),
        _route("model-ready", {"path": f"/v2/models/{model}/ready"}, "GET", split),
        _route("server-metadata", {"path": "/v2"}, "GET", split),
        _route("server-live", {"path": "/v2/health/live"}, "GET", split),
        _route("server-ready", {"path": "/v2/health/ready"}, "GET", split),
        _route("predict", {"path": f"/v1/models/{model}:predict"}, "POST", split),
        _route("model-list", {"path": "/v1/models"}, "GET", split),
        _route("model-status", {"path": f"/v1/models/{model}"}, "GET", split),
    ]
    grpc = [
        _route(method, {"path": f"/{_GRPC_SERVICE}/{method}", "grpc": {}}, "POST", split, grpc=True)
        for method in GRPC_METHODS
    ]
    return {
        "version_info": version,
        "resources": [
            {
                "@type": _TYPE,
                "name": ROUTES,
                "virtual_hosts": [{"name": ROUTES, "domains": ["*"], "routes": [*rest, *grpc]}],
                "response_headers_to_remove": ["server", "x-envoy-upstream-service-time"],
            }
        ],
    }


def _route(name: str, match: Mapping[str, Any], method: str, split: Split, *, grpc: bool = False) -> dict[str, Any]:
    clusters = [
        {
            "name": cluster_name(variant, grpc=grpc),
            "weight": share,
            "request_headers_to_add": [_overwrite("x-lead-variant", variant), _overwrite("x-lead-split", split.words)],
            "response_headers_to_add": [_overwrite("x-lead-variant", variant)],
        }
        for variant, share in split.shares.items()
    ]
    action: dict[str, Any] = {
        "weighted_clusters": {"clusters": clusters},
        "timeout": _seconds(ROUTE_TIMEOUT_S),
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream,reset-before-request",
            "num_retries": 1,
            "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.050s"},
        },
    }
    if len(clusters) > 1:
        # Only while there is a split: the hash also picks the pod within a variant, and a hot key would sit on one.
        action["weighted_clusters"]["use_hash_policy"] = True
        action["hash_policy"] = [{"header": {"header_name": _HASH_KEY}}]
    if split.shadow_percent:
        action["request_mirror_policies"] = [
            {
                "cluster": cluster_name(split.canary, grpc=grpc),
                "runtime_fraction": {"default_value": {"numerator": split.shadow_percent, "denominator": "HUNDRED"}},
                "disable_shadow_host_suffix_append": True,
            }
        ]
    by_method = {"name": ":method", "string_match": {"exact": method}}
    return {"name": name, "match": {**match, "headers": [by_method]}, "route": action}


def _overwrite(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _seconds(value_s: float) -> str:
    return f"{value_s:.3f}s"
