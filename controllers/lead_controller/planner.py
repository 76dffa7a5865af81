"""Desired objects from observed ones: the one function that the loop calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from lead_controller import drift, events, status
from lead_controller.config import Config
from lead_controller.desired import desired
from lead_controller.model import Json, Observed, Plan, Reference, Strip
from lead_controller.names import ROLLOUT_API_VERSION, ROLLOUT_KIND, autoscaler_name, labels, route_name, sticky_name
from lead_controller.view import View, view

__all__ = ["plan"]


def plan(observed: Observed, config: Config, *, now: datetime, bootstrap: Json | None = None) -> Plan:
    """Return what has to change for the cluster to be as its InferenceService and ModelRollout ask.

    `now` (UTC) only stamps conditions that change. `bootstrap` is the InferenceService to create if there is none.
    Without a ModelRollout, or with one that is being deleted, nothing else is planned: it owns all that is written.
    """
    create = (bootstrap,) if bootstrap is not None and observed.inference_service is None else ()
    rollout = observed.rollout
    if rollout is None or rollout["metadata"].get("deletionTimestamp"):
        return Plan(create=create)
    seen = view(observed, config, rollout)
    changes = _changes(desired(seen, observed, config, rollout), observed, config, seen)
    conditions = _conditions(seen, observed, config, changes)
    before: Json = rollout.get("status") or {}
    generation = rollout["metadata"].get("generation", 0)
    after = status.status(
        rollout,
        observed.inference_service,
        seen.spec,
        seen.shares,
        status.stamped(conditions, before, generation=generation, now=now),
        copies=f"{seen.wishes.shadow} {seen.wishes.shadow_percent}%" if seen.mirrors else "",
    )
    about = Reference.of({**rollout, "apiVersion": ROLLOUT_API_VERSION, "kind": ROLLOUT_KIND})
    return Plan(
        create=create,
        strip=changes.strip,
        apply=changes.apply,
        delete=changes.delete,
        status=None if after == before else after,
        events=(
            *events.of_creations(create, about),
            *(events.of_split(seen.before, seen.shares.split, about) if changes.routes else ()),
            *events.of_conditions(conditions, before, about),
            *events.of_repairs(changes.repairs, about),
            *events.of_orphans(changes.delete, about),
        ),
        repairs=changes.repairs,
        shares=seen.shares,
    )


@dataclass(frozen=True)
class _Changes:
    apply: tuple[Json, ...]
    strip: tuple[Strip, ...]
    delete: tuple[Reference, ...]
    repairs: tuple[Reference, ...]

    @property
    def routes(self) -> bool:
        """Return whether a route is about to be written."""
        return any(item["kind"] in ("HTTPRoute", "GRPCRoute") for item in self.apply)


def _changes(wanted: Sequence[Json], observed: Observed, config: Config, seen: View) -> _Changes:
    written = {_key(item): item for item in chain(observed.routes, observed.policies, observed.autoscalers)}
    known = _known_to_exist(observed, config)
    apply, strip, repairs = [], [], []
    for item in wanted:
        live = written.get(_key(item))
        extra = drift.foreign(item, live) if live else {}
        about = Reference.of(live or item)
        stands = drift.standing(item, live)
        if extra:
            strip.append(Strip(about, extra))
        if not stands:
            apply.append(item)
        if extra or (not stands and (drift.unasked_edit(item, live) if live else _key(item) in known)):
            repairs.append(about)
    return _Changes(tuple(apply), tuple(strip), _orphans(wanted, written, config, seen), tuple(repairs))


def _known_to_exist(observed: Observed, config: Config) -> set[tuple[str, str]]:
    """Return what an earlier plan wrote, by the status it left: what of it is missing, somebody else deleted."""
    before: Json = (observed.rollout or {}).get("status") or {}
    owner = config.inference_service
    variants = [each["name"] for each in before.get("variants") or ()]
    routes = {(kind, route_name(owner)) for kind in ("HTTPRoute", "GRPCRoute") if before.get("split")}
    policies = {("BackendTrafficPolicy", name) for name in (route_name(owner), sticky_name(owner)) if variants}
    return routes | policies | {("HorizontalPodAutoscaler", autoscaler_name(owner, each)) for each in variants}


def _orphans(
    wanted: Sequence[Json], written: Mapping[tuple[str, str], Json], config: Config, seen: View
) -> tuple[Reference, ...]:
    """Return what carries our labels and isn't wanted; while the spec can't be read, all of it is."""
    if not seen.names:
        return ()
    keep = {_key(item) for item in wanted}
    last_routes = [
        (kind, route_name(config.inference_service)) for kind in ("HTTPRoute", "GRPCRoute") if not seen.lanes
    ]
    ours = labels(config.inference_service).items()
    return tuple(
        sorted(
            Reference.of(item)
            for key, item in written.items()
            if key not in keep
            and key not in last_routes
            and ours <= (item["metadata"].get("labels") or {}).items()
            and not item["metadata"].get("deletionTimestamp")
        )
    )


def _conditions(seen: View, observed: Observed, config: Config, changes: _Changes) -> list[status.Condition]:
    name = route_name(config.inference_service)
    conditions = [
        status.routed(
            seen.spec,
            carried=seen.lanes is not None,
            changing=changes.routes or not seen.arrived,
            routes=[route for route in observed.routes if route["metadata"]["name"] == name],
            gateway=config.gateway,
        ),
        status.capacity(seen.spec, seen.shares),
        status.shadow(seen.wishes, seen.spec, seen.shares),
        status.aborted(seen.wishes, seen.spec, {each.name: each.ready for each in seen.shares.variants}),
        status.degraded(seen.spec),
    ]
    return [status.ready(conditions), *conditions]


def _key(item: Json) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]
