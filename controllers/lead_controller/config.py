"""The controller's configuration file, read strictly: an unknown key or a wrong type stops the start."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

__all__ = ["Autoscaling", "Config", "Gateway", "Hosts", "parse_config"]

_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_HOSTNAME = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

Name = Annotated[str, msgspec.Meta(pattern=_NAME, max_length=63)]
Hostname = Annotated[str, msgspec.Meta(pattern=_HOSTNAME, max_length=253)]
Duration = Annotated[str, msgspec.Meta(pattern=r"^([0-9]{1,5}(h|m|s|ms)){1,4}$")]
"""A Gateway API duration (GEP-2257)."""
Replicas = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Percent = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A closed object with camelCase keys."""


class Gateway(_Part, frozen=True):
    """The Gateway that the routes attach to."""

    name: Name
    namespace: Name
    section_name: str | None = None
    """One listener of it; None attaches to all that allow it."""


class Hosts(_Part, frozen=True):
    """The hostnames of a route; REST and gRPC need different ones, since only one kind can claim a hostname."""

    hostnames: Annotated[list[Hostname], msgspec.Meta(min_length=1, max_length=16)]


class Autoscaling(_Part, frozen=True):
    """Bounds and behaviour of the HorizontalPodAutoscalers, in pods of one variant."""

    min_replicas: Replicas = 2
    max_replicas: Replicas = 10
    canary_min_replicas: Replicas = 2
    """A canary keeps these even at 0 %: a share of its own or a rollback then finds pods."""
    target_cpu_utilization_percentage: Percent = msgspec.field(default=60, name="targetCPUUtilizationPercentage")
    """Percent of the pods' CPU requests, all containers together."""
    behavior: dict[str, Any] = {}
    """A HorizontalPodAutoscalerBehavior; its `scaleUp` and `scaleDown` each replace the default whole."""

    def __post_init__(self) -> None:
        """Refuse bounds that contradict each other."""
        if max(self.min_replicas, self.canary_min_replicas) > self.max_replicas:
            raise ValueError("minReplicas and canaryMinReplicas must not exceed maxReplicas")
        if unknown := set(self.behavior) - {"scaleUp", "scaleDown"}:
            raise ValueError(f"behavior has scaleUp and scaleDown only, got {sorted(unknown)}")


class Config(_Part, frozen=True):
    """What one controller looks after, and how."""

    inference_service: Name
    model: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", max_length=128)]
    gateway: Gateway
    rest: Hosts
    grpc: Hosts
    route_timeout: Duration = "1s"
    traffic_policy: dict[str, Any] = {}
    """A fragment of a BackendTrafficPolicy's spec, merged as it stands; what the controller decides is refused."""
    autoscaling: Autoscaling = Autoscaling()
    metrics_port: Port = 9100

    def __post_init__(self) -> None:
        """Refuse hostnames that both routes claim, and policy fields that are the controller's."""
        if shared := set(self.rest.hostnames) & set(self.grpc.hostnames):
            raise ValueError(f"rest and grpc can't share hostnames, both have {sorted(shared)}")
        if owned := {"targetRef", "targetRefs", "targetSelectors", "mergeType"} & set(self.traffic_policy):
            raise ValueError(f"trafficPolicy must not set what the controller sets: {sorted(owned)}")
        balancer = self.traffic_policy.get("loadBalancer", {})
        if not isinstance(balancer, dict) or balancer.get("type") == "ConsistentHash" or "consistentHash" in balancer:
            raise ValueError("trafficPolicy.loadBalancer must not hash: the controller does, while there is a split")


def parse_config(text: str | bytes) -> Config:
    """Return the configuration of a JSON document.

    Raises:
        ValueError: what is wrong and where, as ``… - at `$.autoscaling.minReplicas` ``.
    """
    return msgspec.json.decode(text, type=Config)
