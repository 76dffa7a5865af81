"""The HTTPRoute and the GRPCRoute: an allow-list of paths, weights over variants, copies for the shadow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lead_controller.config import Config
from lead_controller.model import Json
from lead_controller.names import SPLIT_HEADER, VARIANT_HEADER, route_name, service_name

__all__ = [
    "GRPC_METHODS",
    "GRPC_PORT",
    "GRPC_SERVICE",
    "HTTP_PORT",
    "Traffic",
    "grpc_route",
    "http_route",
    "rest_paths",
]

HTTP_PORT = 80
GRPC_PORT = 8081
"""Of a variant's Service."""

GRPC_SERVICE = "inference.GRPCInferenceService"
GRPC_METHODS = ("ModelInfer", "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata")
"""Everything of the V2 service but Repository*, which would load and unload models; inference first."""


@dataclass(frozen=True)
class Traffic:
    """What the routes carry."""

    backends: Sequence[tuple[str, int]]
    """Variants and whole percents by place; they add up to 100. A variant at 0 % keeps its place: see `places`."""
    shadow: str | None = None
    """The variant that gets copies of inference requests."""
    shadow_percent: int = 0
    forced_header: str | None = None
    forced: Sequence[str] = ()
    """Variants that a request can name in `forced_header`."""

    @property
    def split(self) -> str:
        """Return what `x-lead-split` says: the key's slot, counted in this order, picks the variant."""
        return ",".join(f"{variant}={share}" for variant, share in self.backends if share)


def rest_paths(model: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return method and path of what predicts, and of what only informs: the Gateway answers all else with 404."""
    predicting = [("POST", f"/v2/models/{model}/infer"), ("POST", f"/v1/models/{model}:predict")]
    informing = [
        ("GET", f"/v2/models/{model}"),
        ("GET", f"/v2/models/{model}/ready"),
        ("GET", "/v2"),
        ("GET", "/v2/health/live"),
        ("GET", "/v2/health/ready"),
        ("GET", "/v1/models"),
        ("GET", f"/v1/models/{model}"),
    ]
    return predicting, informing


def http_route(config: Config, traffic: Traffic, *, metadata: Json) -> Json:
    """Return the HTTPRoute. Rules: predicting, informing, then one per variant that can be forced."""
    predicting, informing = ([_path(*each) for each in group] for group in rest_paths(config.model))
    rules = _rules(config, traffic, predicting, informing, port=HTTP_PORT)
    for rule in rules:
        rule["timeouts"] = {"request": config.route_timeout}
    return _route("HTTPRoute", config, config.rest.hostnames, rules, metadata)


def grpc_route(config: Config, traffic: Traffic, *, metadata: Json) -> Json:
    """Return the GRPCRoute, rule by rule as the HTTPRoute; its deadline is in the policy, a GRPCRoute has none."""
    predicting, informing = ([_method(each) for each in group] for group in (GRPC_METHODS[:1], GRPC_METHODS[1:]))
    rules = _rules(config, traffic, predicting, informing, port=GRPC_PORT)
    return _route("GRPCRoute", config, config.grpc.hostnames, rules, metadata)


def _route(kind: str, config: Config, hostnames: Sequence[str], rules: list[Json], metadata: Json) -> Json:
    parent: Json = {
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "name": config.gateway.name,
        "namespace": config.gateway.namespace,
    }
    if config.gateway.section_name:
        parent["sectionName"] = config.gateway.section_name
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {**metadata, "name": route_name(config.inference_service)},
        "spec": {"parentRefs": [parent], "hostnames": list(hostnames), "rules": rules},
    }


def _rules(config: Config, traffic: Traffic, predicting: list[Json], informing: list[Json], *, port: int) -> list[Json]:
    def backends(shares: Sequence[tuple[str, int]], split: str) -> list[Json]:
        return [_backend(config.inference_service, variant, share, split=split, port=port) for variant, share in shares]

    rules: list[Json] = [
        {"matches": matches, "backendRefs": backends(traffic.backends, traffic.split)}
        for matches in (predicting, informing)
    ]
    if traffic.shadow:
        mirror = {
            "backendRef": _service(config.inference_service, traffic.shadow, port),
            "percent": traffic.shadow_percent,
        }
        rules[0]["filters"] = [{"type": "RequestMirror", "requestMirror": mirror}]
    if traffic.forced_header:
        for variant in traffic.forced:
            header = {"type": "Exact", "name": traffic.forced_header, "value": variant}
            matches = [{**match, "headers": [header]} for match in (*predicting, *informing)]
            rules.append({"matches": matches, "backendRefs": backends([(variant, 100)], f"{variant}=100")})
    return rules


def _backend(inference_service: str, variant: str, share: int, *, split: str, port: int) -> Json:
    """Return a backend with filters of its own: without them Envoy Gateway merges variants and drops their weights."""
    told = [{"name": VARIANT_HEADER, "value": variant}, {"name": SPLIT_HEADER, "value": split}]
    # The gateway has seen the token, pods need not. Only a route can remove it: Envoy Gateway's JWT filter forwards
    # what it has checked.
    filters: list[dict[str, Any]] = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": told, "remove": ["authorization"]}},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": told[:1]}},
    ]
    return {**_service(inference_service, variant, port), "weight": share, "filters": filters}


def _service(inference_service: str, variant: str, port: int) -> Json:
    return {"group": "", "kind": "Service", "name": service_name(inference_service, variant), "port": port}


def _path(method: str, path: str) -> Json:
    return {"path": {"type": "Exact", "value": path}, "method": method}


def _method(method: str) -> Json:
    return {"method": {"type": "Exact", "service": GRPC_SERVICE, "method": method}}
