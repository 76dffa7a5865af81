"""BackendTrafficPolicies: what the configuration says about timeouts, retries and breakers, and the sticky hash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy

from lead_controller.config import Config
from lead_controller.lanes import SPLITS
from lead_controller.model import Json
from lead_controller.names import HASH_HEADER, route_name, sticky_name

__all__ = ["sticky_policy", "traffic_policy"]


def traffic_policy(config: Config, *, metadata: Json) -> Json:
    """Return the policy on both routes.

    The route's deadline is the default of `timeout.http.requestTimeout`, for gRPC's sake.
    """
    return _policy(config, route_name(config.inference_service), [None], {}, metadata)


def sticky_policy(config: Config, *, metadata: Json) -> Json:
    """Return the policy on the split lanes of both routes: the same, and keys stick to a variant.

    Only there: the hash also picks the pod within a variant, and without a split a hot key would sit on one pod. A
    policy that changed with the split would make Envoy load every cluster anew.
    """
    name = sticky_name(config.inference_service)
    balancer: Mapping[str, object] = config.traffic_policy.get("loadBalancer", {})
    kept = {key: value for key, value in balancer.items() if key not in ("type", "slowStart")}
    hashing = {"type": "Header", "header": {"name": HASH_HEADER}}
    sections = [lane.replace("_", "-") for lane in SPLITS]
    extra = {"loadBalancer": {**kept, "type": "ConsistentHash", "consistentHash": hashing}}
    return _policy(config, name, sections, extra, metadata)


def _policy(config: Config, name: str, sections: Sequence[str | None], extra: Json, metadata: Json) -> Json:
    spec = {**deepcopy(config.traffic_policy), **extra}
    timeout = spec.setdefault("timeout", {}).setdefault("http", {})
    timeout.setdefault("requestTimeout", config.route_timeout)
    target = {"group": "gateway.networking.k8s.io", "name": route_name(config.inference_service)}
    spec["targetRefs"] = [
        {**target, "kind": kind} | ({"sectionName": section} if section else {})
        for kind in ("HTTPRoute", "GRPCRoute")
        for section in sections
    ]
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "BackendTrafficPolicy",
        "metadata": {**metadata, "name": name},
        "spec": spec,
    }
