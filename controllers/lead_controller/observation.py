"""What the cluster says: variants and their shares, ready pods, replicas, the split that the last route carries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from lead_controller.model import Json
from lead_controller.names import VARIANT_LABEL, service_name

__all__ = [
    "Rollout",
    "Spec",
    "Variant",
    "named",
    "read_rollout",
    "read_spec",
    "ready_pods",
    "replicas",
    "routed_backends",
]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LONGEST_NAME = 63
"""Of a Service, by DNS (RFC 1035)."""
_MOST_VARIANTS = 13
"""A HTTPRoute takes 128 matches; a variant's forced rule has 9, and the ordinary ones have 9 once."""


@dataclass(frozen=True)
class Variant:
    """A predictor of the InferenceService."""

    name: str
    role: Literal["stable", "canary"]
    percent: int
    """Whole percent asked for in the spec; the stable one's is what canaries leave."""


@dataclass(frozen=True)
class Spec:
    """The InferenceService as the controller understands it."""

    variants: tuple[Variant, ...] = ()
    """The stable one first; empty when nothing can be done with it."""
    problem: tuple[str, str] | None = None
    """Reason and message of the first thing that is wrong with it."""

    @property
    def stable(self) -> str:
        """Return the name of the stable variant."""
        return self.variants[0].name


@dataclass(frozen=True)
class Rollout:
    """The spec of a ModelRollout."""

    abort: bool = False
    abort_to: str | None = None
    shadow: str | None = None
    shadow_percent: int = 0
    forced_header: str | None = None


def read_spec(inference_service: Json | None) -> Spec:
    """Return variants and shares; KServe's webhook refuses most of what is repaired here, but it isn't always there."""
    if inference_service is None:
        return Spec(problem=("InferenceServiceMissing", "the InferenceService doesn't exist: routes stay as they are"))
    metadata, spec = inference_service["metadata"], _mapping(inference_service.get("spec"))
    if metadata.get("deletionTimestamp"):
        return Spec(
            problem=("InferenceServiceDeleting", "the InferenceService is being deleted: routes stay as they are")
        )
    owner = metadata["name"]
    stable = _mapping(spec.get("predictor")).get("name")
    if not _usable(stable, owner=owner):
        return Spec(
            problem=(
                "NoPredictorName",
                f"spec.predictor.name can't be part of a Service's name: {stable!r}; routes stay as they are",
            )
        )
    canaries: list[Variant] = []
    problem: tuple[str, str] | None = None
    inherited = _told(spec["predictor"])
    if inherited not in (None, stable):
        problem = ("InvalidVariant", _mislabelled("spec.predictor", stable, inherited))
    left = 100
    for index, entry in enumerate(spec.get("canary") or ()):
        name: object = _mapping(_mapping(entry).get("predictor")).get("name")
        asked = _mapping(entry).get("trafficPercent", 0)
        where = f"spec.canary[{index}]"
        if not _usable(name, owner=owner):
            problem = problem or (
                "InvalidVariant",
                f"{where}.predictor.name {name!r} can't be a Service's name: left out",
            )
            continue
        told = _told(_mapping(entry)["predictor"]) or inherited
        if told not in (None, name):
            problem = problem or ("InvalidVariant", f"{_mislabelled(f'{where}.predictor', name, told)}: left out")
            continue
        if name == stable or any(name == each.name for each in canaries):
            problem = problem or ("InvalidVariant", f"{where}.predictor.name {name!r} is taken: left out")
            continue
        if 1 + len(canaries) == _MOST_VARIANTS:
            problem = problem or ("TooManyVariants", f"{where}: {_MOST_VARIANTS} variants fit a route, left out")
            continue
        percent = max(0, asked) if isinstance(asked, int) and not isinstance(asked, bool) else 0
        if percent > left:
            problem = problem or (
                "SharesExceed100",
                f"{where}.trafficPercent is {percent}, but {left} % is left: cut to that",
            )
            percent = left
        left -= percent
        canaries.append(Variant(name, "canary", percent))
    return Spec(variants=(Variant(stable, "stable", left), *canaries), problem=problem)


def read_rollout(rollout: Json) -> Rollout:
    """Return the spec of a ModelRollout; the CRD's schema has checked the types."""
    spec = _mapping(rollout.get("spec"))
    shadow = _mapping(spec.get("shadow"))
    return Rollout(
        abort=spec.get("abort") is True,
        abort_to=spec.get("abortTo") or None,
        shadow=shadow.get("variant") or None,
        shadow_percent=shadow.get("percent", 100) if shadow else 0,
        forced_header=spec.get("forcedVariantHeader") or None,
    )


def ready_pods(slices: Iterable[Json], service: str) -> int | None:
    """Return how many pods behind a Service are ready and not terminating; None when the Service has no slice at all.

    A pod counts once, however many slices (address families, moves between slices) name it.
    """
    of_service = [
        each for each in slices if _label(each, "kubernetes.io/service-name") == service and not _leaving(each)
    ]
    if not of_service:
        return None
    ready: set[str] = set()
    for each in of_service:
        for endpoint in each.get("endpoints") or ():
            conditions = _mapping(endpoint.get("conditions"))
            if conditions.get("ready") is not False and not conditions.get("terminating"):
                target = _mapping(endpoint.get("targetRef"))
                ready.add(target.get("uid") or target.get("name") or endpoint["addresses"][0])
    return len(ready)


def replicas(deployments: Iterable[Json], name: str) -> int:
    """Return the replicas a Deployment is scaled to; 0 when there is none."""
    found = named(deployments, name)
    return int(_mapping(found.get("spec")).get("replicas", 1)) if found else 0


def routed_backends(route: Json | None, rule: str, *, inference_service: str) -> list[tuple[str, int]]:
    """Return variant and whole percent of each backend of a rule that has a weight above 0; empty without a route.

    Weights that don't add up to 100 (somebody's hand) are scaled.
    """
    rules = _mapping((route or {}).get("spec")).get("rules") or ()
    backends = next((each.get("backendRefs") or () for each in rules if each.get("name") == rule), ())
    prefix, suffix = service_name(inference_service, "\0").split("\0")
    weights = [
        (backend["name"][len(prefix) : -len(suffix)], backend.get("weight", 1))
        for backend in backends
        if backend.get("weight", 1) and backend["name"].startswith(prefix) and backend["name"].endswith(suffix)
    ]
    total = sum(weight for _, weight in weights)
    return [(variant, round(100 * weight / total)) for variant, weight in weights]


def named(items: Iterable[Json], name: str) -> Json | None:
    """Return the first object of a name."""
    return next((each for each in items if each["metadata"]["name"] == name), None)


def _usable(name: object, *, owner: str) -> TypeGuard[str]:
    return (
        isinstance(name, str) and _LABEL.fullmatch(name) is not None and len(service_name(owner, name)) <= _LONGEST_NAME
    )


def _told(predictor: object) -> Any:
    """Return the name by which a variant's pods know themselves; a canary's are told stable's if not their own."""
    return _mapping(_mapping(predictor).get("labels")).get(VARIANT_LABEL)


def _mislabelled(where: str, name: str, told: object) -> str:
    return f"{where}.labels[{VARIANT_LABEL!r}] has to be {name!r}: its pods take themselves for {told!r}"


def _leaving(item: Json) -> bool:
    return bool(item["metadata"].get("deletionTimestamp"))


def _label(item: Json, key: str) -> Any:
    return _mapping(item["metadata"].get("labels")).get(key)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
