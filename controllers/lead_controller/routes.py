"""The HTTPRoute and the GRPCRoute: an allow-list of paths, weights over variants, copies for the shadow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lead_controller.config import Config
from lead_controller.lanes import SPLITS, Lanes, alone_rule, even
from lead_controller.model import Json
from lead_controller.names import SPLIT_HEADER, VARIANT_HEADER, route_name, service_name

__all__ = [
    "GRPC_METHODS",
    "GRPC_PORT",
    "GRPC_SERVICE",
    "HTTP_PORT",
    "INFORMATION",
    "Traffic",
    "grpc_route",
    "http_route",
    "rest_paths",
    "split_of",
]

HTTP_PORT = 80
GRPC_PORT = 8081
"""Of a variant's Service."""

GRPC_SERVICE = "inference.GRPCInferenceService"
GRPC_METHODS = ("ModelInfer", "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata")
"""Everything of the V2 service but Repository*, which would load and unload models; inference first."""


INFORMATION = "information"
"""Name of the rule for what only informs; the others are named after lanes."""

_NEVER = {"type": "RegularExpression", "name": "x-lead-lane", "value": r"[^\s\S]"}
"""A header that no request has: of a lane that only stands ready."""


@dataclass(frozen=True)
class Traffic:
    """What the routes carry."""

    lanes: Lanes
    active: Sequence[tuple[str, int]]
    """Variant and whole percent, above 0, of each backend of the active lane; they add up to 100."""
    exposed: Sequence[str]
    """Variants that have a Service; where another one should be, one that serves stands in."""
    shadow: str | None = None
    """The variant that gets copies of inference requests."""
    shadow_percent: int = 0
    forced_header: str | None = None

    def backends(self, lane: str) -> list[tuple[str, int]]:
        """Return variant and whole percent of each backend of a split lane."""
        if lane == self.lanes.active:
            return list(self.active)
        return [(self.present(member), share) for member, share in even(self.lanes.members(lane)).items()]

    def present(self, variant: str) -> str:
        """Return the variant, or one that serves in its place."""
        return variant if variant in self.exposed else self.active[0][0]


def split_of(backends: Sequence[tuple[str, int]]) -> str:
    """Return what `x-lead-split` says, ``v1=75,v2=25``: counted in this order, a key's slot picks the variant."""
    shares: dict[str, int] = {}
    for variant, share in backends:
        shares[variant] = shares.get(variant, 0) + share
    return ",".join(f"{variant}={share}" for variant, share in shares.items())


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
    """Return the HTTPRoute: the split lanes, what only informs, and a lane for each variant alone."""
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
    def rule(name: str, matches: list[Json], shares: Sequence[tuple[str, int]]) -> Json:
        told = split_of(shares)
        backends = [
            _backend(config.inference_service, variant, share, split=told, port=port) for variant, share in shares
        ]
        active = name == traffic.lanes.rule
        rule: Json = {"name": name, "matches": [*(predicting if active else ()), *matches], "backendRefs": backends}
        if not rule["matches"]:
            rule["matches"] = [{**predicting[0], "headers": [_NEVER]}]
        if active and traffic.shadow:
            service = _service(config.inference_service, traffic.shadow, port)
            mirror = {"backendRef": service, "percent": traffic.shadow_percent}
            rule["filters"] = [{"type": "RequestMirror", "requestMirror": mirror}]
        return rule

    def forced(variant: str) -> list[Json]:
        if not traffic.forced_header or variant not in traffic.exposed:
            return []
        header = {"type": "Exact", "name": traffic.forced_header, "value": variant}
        return [{**match, "headers": [header]} for match in (*predicting, *informing)]

    return [
        *(rule(lane.replace("_", "-"), [], traffic.backends(lane)) for lane in SPLITS),
        rule(INFORMATION, informing, [(traffic.present(traffic.lanes.base), 100)]),
        *(
            rule(alone_rule(place), forced(variant), [(traffic.present(variant), 100)])
            for place, variant in enumerate(traffic.lanes.places)
        ),
    ]


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
