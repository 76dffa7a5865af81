"""What the planner is given and what it answers: plain objects, no client, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = ["Event", "Json", "Observed", "Plan", "Reference", "Shares", "Strip", "VariantShare"]

Json: TypeAlias = dict[str, Any]
"""A Kubernetes object or a part of one, as the API server's JSON has it (camelCase keys)."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Everything the planner may know: objects of one namespace as the API server gave them, `managedFields` included.

    A sequence holds whatever the watch selects; the planner itself picks what belongs to the InferenceService.
    """

    inference_service: Json | None = None
    """The InferenceService named in the configuration."""
    rollout: Json | None = None
    """The ModelRollout of the same name; without one nothing is planned: it owns all that is written."""
    endpoint_slices: Sequence[Json] = ()
    deployments: Sequence[Json] = ()
    routes: Sequence[Json] = ()
    """HTTPRoutes and GRPCRoutes that carry our labels or one of the names we write."""
    policies: Sequence[Json] = ()
    """BackendTrafficPolicies, selected likewise."""
    autoscalers: Sequence[Json] = ()
    """HorizontalPodAutoscalers (autoscaling/v2), selected likewise."""


@dataclass(frozen=True, order=True)
class Reference:
    """An object by what addresses it."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""
    """For a deletion: delete only this incarnation (a precondition); empty when it doesn't matter."""

    @classmethod
    def of(cls, item: Json) -> Reference:
        """Return the reference of an object that has apiVersion, kind and metadata."""
        metadata = item["metadata"]
        return cls(
            api_version=item["apiVersion"],
            kind=item["kind"],
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
            uid=metadata.get("uid", ""),
        )


@dataclass(frozen=True)
class Strip:
    """Fields that somebody else added to an object of ours, which server-side apply would leave where they are."""

    about: Reference
    merge_patch: Json
    """A JSON merge patch (RFC 7386) of nulls at those fields; sent before the objects of `Plan.apply`."""


@dataclass(frozen=True)
class Event:
    """A Kubernetes Event: about a transition, never about a state that lasts."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    about: Reference


@dataclass(frozen=True, kw_only=True)
class VariantShare:
    """What a variant is meant to get, what it gets, and what carries it."""

    name: str
    role: Literal["stable", "canary"]
    intended: int
    """Whole percent that people ask for: `trafficPercent`, or what abort makes of it."""
    live: int
    """Whole percent that the planned routes carry."""
    ready: int
    """Pods that are ready and not terminating."""
    needed: int
    """Pods that would carry the intended share."""


@dataclass(frozen=True)
class Shares:
    """Who gets how much."""

    variants: tuple[VariantShare, ...] = ()
    """The stable one first, canaries in the order of `spec.canary`."""
    split: str = ""
    """Live shares as the header `x-lead-split` has them, ``v1=75,v2=25``: in the order of the backends, none of 0 %."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done, in this order: create, strip, apply, delete, status, events; an empty one changes nothing."""

    create: tuple[Json, ...] = ()
    """Objects to create unless they exist (a plain create; 409 is success): the InferenceService of a bootstrap."""
    strip: tuple[Strip, ...] = ()
    apply: tuple[Json, ...] = ()
    """Full desired objects that differ from the live ones: server-side apply, forced, in this order."""
    delete: tuple[Reference, ...] = ()
    """Orphans of ours."""
    status: Json | None = None
    """The whole `status` of the ModelRollout; None when it stands as it is."""
    events: tuple[Event, ...] = ()
    repairs: tuple[Reference, ...] = ()
    """Objects of `apply` and `strip` that somebody else had changed or deleted: one count each, by kind."""
    shares: Shares = field(default_factory=Shares)
    """For the metrics; empty when nothing is known."""
