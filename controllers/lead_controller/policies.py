"""The BackendTrafficPolicy: what the configuration says about timeouts, retries and breakers, and the sticky hash."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

from lead_controller.config import Config
from lead_controller.model import Json
from lead_controller.names import HASH_HEADER, route_name

__all__ = ["traffic_policy"]


def traffic_policy(config: Config, *, split: bool, metadata: Json) -> Json:
    """Return the policy on both routes.

    Keys stick to a variant while there is a split, and only then: the hash also picks the pod within a variant, and a
    hot key would sit on one. The route's deadline is the default of `timeout.http.requestTimeout`, for gRPC's sake.
    """
    name = route_name(config.inference_service)
    spec = deepcopy(config.traffic_policy)
    timeout = spec.setdefault("timeout", {}).setdefault("http", {})
    timeout.setdefault("requestTimeout", config.route_timeout)
    if split:
        balancer: Mapping[str, object] = spec.get("loadBalancer", {})
        hashing = {"type": "Header", "header": {"name": HASH_HEADER}}
        kept = {key: value for key, value in balancer.items() if key not in ("type", "slowStart")}
        spec["loadBalancer"] = {**kept, "type": "ConsistentHash", "consistentHash": hashing}
    spec["targetRefs"] = [
        {"group": "gateway.networking.k8s.io", "kind": kind, "name": name} for kind in ("HTTPRoute", "GRPCRoute")
    ]
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "BackendTrafficPolicy",
        "metadata": {**metadata, "name": name},
        "spec": spec,
    }
