"""The status of a ModelRollout: conditions by the Kubernetes conventions, and the figures that people look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from lead_controller.config import Gateway
from lead_controller.model import Json, Shares
from lead_controller.observation import Rollout, Spec

__all__ = [
    "REASONS",
    "Condition",
    "aborted",
    "capacity",
    "degraded",
    "former_stable",
    "ready",
    "routed",
    "shadow",
    "stamped",
    "status",
    "taken_up",
]

REASONS: dict[str, dict[str, str]] = {
    "Ready": {
        "AsAsked": "True",
        "Degraded": "False",
        "NotRouted": "False",
        "WaitingForPods": "False",
    },
    "Routed": {
        "Accepted": "True",
        "Pending": "False",
        "Refused": "False",
        "NothingReady": "False",
        "NoSpec": "False",
    },
    "CapacityReady": {
        "Enough": "True",
        "TooFewPods": "False",
        "NoSpec": "Unknown",
    },
    "ShadowActive": {
        "Mirroring": "True",
        "NotAsked": "False",
        "Off": "False",
        "UnknownVariant": "False",
        "HasShare": "False",
        "NoReadyPods": "False",
        "Aborted": "False",
        "NoSpec": "False",
    },
    "Aborted": {
        "SentToStable": "True",
        "SentToVariant": "True",
        "TargetUnknown": "True",
        "TargetNotReady": "True",
        "NotAsked": "False",
    },
    "Degraded": {
        "AsExpected": "False",
        "InferenceServiceMissing": "True",
        "InferenceServiceDeleting": "True",
        "NoPredictorName": "True",
        "InvalidVariant": "True",
        "TooManyVariants": "True",
        "SharesExceed100": "True",
        "WriteRefused": "True",
    },
}
"""Every condition type, its reasons, and the status that goes with each: `docs/controller.md` explains them all."""


@dataclass(frozen=True)
class Condition:
    """A condition without its times."""

    type: str
    reason: str
    message: str = ""

    @property
    def status(self) -> Literal["True", "False", "Unknown"]:
        """Return the status that the reason implies."""
        return REASONS[self.type][self.reason]  # type: ignore[return-value]


def degraded(spec: Spec) -> Condition:
    """Say whether the InferenceService can be followed as it stands."""
    return Condition("Degraded", *spec.problem) if spec.problem else Condition("Degraded", "AsExpected")


def aborted(rollout: Rollout, spec: Spec, ready_pods: Mapping[str, int]) -> Condition:
    """Say whether an abort overrules the shares, and where it sends the traffic."""
    if not rollout.abort:
        return Condition("Aborted", "NotAsked")
    names = [variant.name for variant in spec.variants]
    target = rollout.abort_to
    if not names or target in (None, names[0]):
        return Condition("Aborted", "SentToStable", "spec.abort sends everything to the stable variant")
    if target not in names:
        return Condition(
            "Aborted", "TargetUnknown", f"spec.abortTo {target} is no variant: everything goes to {names[0]}"
        )
    if not ready_pods.get(target, 0):
        return Condition("Aborted", "TargetNotReady", f"{target} has no ready pod: everything goes to {names[0]}")
    return Condition("Aborted", "SentToVariant", f"spec.abort sends everything to {target}")


def _parents(route: Json, gateway: Gateway) -> list[Json]:
    parents = (route.get("status") or {}).get("parents") or ()
    return [each for each in parents if (each.get("parentRef") or {}).get("name") == gateway.name]


def capacity(spec: Spec, shares: Shares) -> Condition:
    """Say whether every variant carries its intended share, and who lacks pods."""
    if not spec.variants:
        return Condition("CapacityReady", "NoSpec", "nothing is known of the variants")
    lacking = [
        f"{each.name} carries {each.live} % of {each.intended} %: {each.ready} of {each.needed} pods ready"
        for each in shares.variants
        if each.live < each.intended or (each.intended and not each.ready)
    ]
    return (
        Condition("CapacityReady", "TooFewPods", "; ".join(lacking))
        if lacking
        else Condition("CapacityReady", "Enough")
    )


def shadow(rollout: Rollout, spec: Spec, shares: Shares) -> Condition:
    """Say whether a shadow gets copies, or why not."""
    name, percent = rollout.shadow, rollout.shadow_percent
    found = next((each for each in shares.variants if each.name == name), None)
    asked = next((each.percent for each in spec.variants if each.name == name), 0)
    if name is None:
        return Condition("ShadowActive", "NotAsked")
    if not percent:
        return Condition("ShadowActive", "Off", "spec.shadow.percent is 0")
    if not spec.variants:
        return Condition("ShadowActive", "NoSpec", "nothing is known of the variants")
    if found is None:
        return Condition("ShadowActive", "UnknownVariant", f"{name} is no variant of the InferenceService")
    if rollout.abort:
        return Condition("ShadowActive", "Aborted", "no copies while spec.abort is set")
    if asked or found.live:
        return Condition("ShadowActive", "HasShare", f"{name} has a share of its own: a shadow must be at 0 %")
    if not found.ready:
        return Condition("ShadowActive", "NoReadyPods", f"{name} has no ready pod")
    return Condition("ShadowActive", "Mirroring", f"{name} gets copies of {percent} % of the requests")


def routed(spec: Spec, *, carried: bool, changing: bool, routes: Sequence[Json], gateway: Gateway) -> Condition:
    """Say whether the Gateway carries the planned routes.

    Args:
        spec: what is known of the InferenceService.
        carried: some variant is ready, so that routes are planned.
        changing: routes are about to be written.
        routes: the live routes.
        gateway: whose word counts.
    """
    if not spec.variants:
        return Condition("Routed", "NoSpec", "the routes stay as they are")
    if not carried:
        return Condition("Routed", "NothingReady", "no variant has a ready pod: the last routes, if any, stay")
    answers = [_answer(route, gateway) for route in routes]
    refused = [answer for answer in answers if answer]
    if changing or len(answers) < 2 or None in answers:
        return Condition("Routed", "Pending", "written; the Gateway hasn't answered yet")
    if refused:
        return Condition("Routed", "Refused", "; ".join(refused))
    return Condition("Routed", "Accepted")


def ready(conditions: Sequence[Condition]) -> Condition:
    """Sum up: everything is as people ask for it."""
    by_type = {condition.type: condition for condition in conditions}
    for kind, wanted, reason in (
        ("Degraded", "False", "Degraded"),
        ("Routed", "True", "NotRouted"),
        ("CapacityReady", "True", "WaitingForPods"),
    ):
        if by_type[kind].status != wanted:
            return Condition("Ready", reason, f"{by_type[kind].reason}: {by_type[kind].message}".rstrip(": "))
    return Condition("Ready", "AsAsked")


def stamped(conditions: Sequence[Condition], previous: Json, *, generation: int, now: datetime) -> list[Json]:
    """Return conditions with times: lastTransitionTime moves only with the status."""
    before = {each["type"]: each for each in previous.get("conditions") or ()}
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return [
        {
            "type": condition.type,
            "status": condition.status,
            "reason": condition.reason,
            "message": condition.message,
            "observedGeneration": generation,
            "lastTransitionTime": (
                before[condition.type]["lastTransitionTime"]
                if before.get(condition.type, {}).get("status") == condition.status
                else stamp
            ),
        }
        for condition in conditions
    ]


def status(
    rollout: Json, inference_service: Json | None, spec: Spec, shares: Shares, conditions: list[Json], *, copies: str
) -> Json:
    """Return the whole status; `copies` is what the printer column says of the shadow."""
    before: Json = rollout.get("status") or {}
    return {
        "observedGeneration": rollout["metadata"].get("generation", 0),
        "observedInferenceServiceGeneration": (inference_service or {}).get("metadata", {}).get("generation", 0),
        "stable": spec.stable if spec.variants else before.get("stable", ""),
        "formerStable": former_stable(rollout, spec),
        "split": shares.split if spec.variants else before.get("split", ""),
        "intended": ",".join(f"{each.name}={each.intended}" for each in shares.variants),
        "shadow": copies,
        "variants": [
            {
                "name": each.name,
                "role": each.role,
                "intendedPercent": each.intended,
                "livePercent": each.live,
                "readyPods": each.ready,
                "neededPods": each.needed,
            }
            for each in shares.variants
        ],
        "conditions": conditions,
    }


def taken_up(route: Json, gateway: Gateway) -> bool:
    """Return whether the Gateway has answered to a route as it stands, or isn't concerned with it at all."""
    wanted = route["metadata"].get("generation", 0)
    return all(
        condition.get("observedGeneration", wanted) >= wanted
        for parent in _parents(route, gateway)
        for condition in parent.get("conditions") or ()
    )


def former_stable(rollout: Json, spec: Spec) -> str:
    """Return the variant that was stable before the last promotion while it is a canary, else an empty text."""
    before: Json = rollout.get("status") or {}
    last, former = before.get("stable", ""), before.get("formerStable", "")
    if not spec.variants:
        return str(former)
    if last and last != spec.stable:
        former = last
    return str(former) if former in [variant.name for variant in spec.variants[1:]] else ""


def _answer(route: Json, gateway: Gateway) -> str | None:
    """Return what the Gateway has against a route: nothing if it accepts it, None if it hasn't answered for it yet."""
    wanted = route["metadata"].get("generation", 0)
    verdicts = {
        condition["type"]: condition
        for parent in _parents(route, gateway)
        for condition in parent.get("conditions") or ()
        if condition.get("observedGeneration", wanted) >= wanted
    }
    if not {"Accepted", "ResolvedRefs"} <= verdicts.keys():
        return None
    against = [each for each in (verdicts["Accepted"], verdicts["ResolvedRefs"]) if each["status"] != "True"]
    return "; ".join(f"{route['kind']}: {each.get('reason')}: {each.get('message')}" for each in against)
