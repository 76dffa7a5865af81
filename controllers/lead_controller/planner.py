"""Desired objects from observed ones: the one function that the loop calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from lead_controller import drift, events, status
from lead_controller.autoscalers import autoscaler, floor
from lead_controller.config import Config
from lead_controller.demand import pods_for, pods_for_all
from lead_controller.model import Event, Json, Observed, Plan, Reference, Shares, Strip, VariantShare
from lead_controller.names import ROLLOUT_API_VERSION, ROLLOUT_KIND, autoscaler_name, labels, route_name, service_name
from lead_controller.observation import (
    Rollout,
    Spec,
    named,
    read_rollout,
    read_spec,
    ready_pods,
    routed_shares,
)
from lead_controller.policies import traffic_policy
from lead_controller.routes import Traffic, grpc_route, http_route
from lead_controller.shares import carried, intended

__all__ = ["plan"]


def plan(observed: Observed, config: Config, *, now: datetime, bootstrap: Json | None = None) -> Plan:
    """Return what has to change for the cluster to be as its InferenceService and ModelRollout ask.

    `now` (UTC) only stamps conditions that change. `bootstrap` is the InferenceService to create if there is none.
    Without a ModelRollout, or with one that is being deleted, nothing is planned: it owns everything that is written.
    """
    rollout = observed.rollout
    if rollout is None or rollout["metadata"].get("deletionTimestamp"):
        return Plan(create=_missing(observed, bootstrap))
    about = Reference.of({"apiVersion": ROLLOUT_API_VERSION, "kind": ROLLOUT_KIND, **rollout})
    view = _View.of(observed, config, rollout)
    live = view.live
    desired = _desired(view, observed, config, rollout)
    changes = _changes(desired, observed, config, view)
    conditions = _conditions(view, observed, config, changes)
    before: Json = rollout.get("status") or {}
    stamped = status.stamped(conditions, before, generation=rollout["metadata"].get("generation", 0), now=now)
    copies = f"{view.wishes.shadow} {view.wishes.shadow_percent}%" if view.mirrors else ""
    after = status.status(rollout, observed.inference_service, view.spec, view.shares, stamped, copies=copies)
    told: list[Event] = [
        *(events.of_split(_split(view.previous), _split(live), about) if live and changes.routes else []),
        *events.of_conditions(conditions, before, about),
        *events.of_repairs(changes.repairs, about),
        *events.of_orphans(changes.delete, about),
    ]
    return Plan(
        create=_missing(observed, bootstrap),
        strip=changes.strip,
        apply=changes.apply,
        delete=changes.delete,
        status=None if after == before else after,
        events=tuple(told),
        repairs=changes.repairs,
        shares=view.shares,
    )


@dataclass(frozen=True)
class _View:
    """What the observed objects mean."""

    spec: Spec
    wishes: Rollout
    previous: Mapping[str, int]
    """Live shares of the last route."""
    live: Mapping[str, int] | None
    """Live shares to be; None keeps the last route."""
    shares: Shares
    of_all: int
    former: str
    """The variant that was stable before, while it still is a canary."""
    exposed: frozenset[str]
    """Variants that have a Service."""
    mirrors: bool = False

    @classmethod
    def of(cls, observed: Observed, config: Config, rollout: Json) -> _View:
        owner = config.inference_service
        spec, wishes = read_spec(observed.inference_service), read_rollout(rollout)
        previous = routed_shares(observed.routes, inference_service=owner, name=route_name(owner))
        names = [variant.name for variant in spec.variants]
        pods = {name: ready_pods(observed.endpoint_slices, service_name(owner, name)) for name in names}
        ready = {name: count or 0 for name, count in pods.items()}
        of_all = pods_for_all(
            inference_service=owner,
            shares={name: previous.get(name, 0) for name in names},
            copies=wishes.shadow,
            autoscalers=observed.autoscalers,
            deployments=observed.deployments,
            bounds=config.autoscaling,
        )
        target = (wishes.abort_to if wishes.abort_to in names else spec.stable) if wishes.abort and names else None
        meant = intended({variant.name: variant.percent for variant in spec.variants}, abort_to=target)
        live = carried(meant, previous=previous, ready=ready, of_all=of_all, target=target) if names else None
        shown = previous if live is None else live
        shares = Shares(
            tuple(
                VariantShare(
                    name=variant.name,
                    role=variant.role,
                    intended=meant[variant.name],
                    live=shown.get(variant.name, 0),
                    ready=ready[variant.name],
                    needed=pods_for(meant[variant.name], of_all=of_all),
                )
                for variant in spec.variants
            )
        )
        before: Json = rollout.get("status") or {}
        last = before.get("stable") or (spec.stable if names else "")
        former = last if names and last != spec.stable else before.get("formerStable", "")
        return cls(
            spec=spec,
            wishes=wishes,
            previous=previous,
            live=live,
            shares=shares,
            of_all=of_all,
            former=former if former in names[1:] else "",
            exposed=frozenset(name for name, count in pods.items() if count is not None),
            mirrors=status.shadow(wishes, spec, shares).status == "True",
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


def _desired(view: _View, observed: Observed, config: Config, rollout: Json) -> list[Json]:
    """Return the objects that should exist, in the order in which they are to be applied."""
    if not view.spec.variants:
        return []
    owner = config.inference_service
    metadata = {
        "namespace": rollout["metadata"]["namespace"],
        "labels": labels(owner),
        "ownerReferences": [
            {
                "apiVersion": ROLLOUT_API_VERSION,
                "kind": ROLLOUT_KIND,
                "name": rollout["metadata"]["name"],
                "uid": rollout["metadata"]["uid"],
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }
    scaled = [drift.sealed(_autoscaler(view, observed, config, name, metadata)) for name in _names(view)]
    if view.live is None:
        return scaled
    traffic = Traffic(
        live=view.live,
        shadow=view.wishes.shadow if view.mirrors else None,
        shadow_percent=view.wishes.shadow_percent,
        forced_header=view.wishes.forced_header,
        forced=[name for name in _names(view) if name in view.exposed],
    )
    split = len(view.live) > 1
    routes = [drift.sealed(build(config, traffic, metadata=metadata)) for build in (http_route, grpc_route)]
    policy = drift.sealed(traffic_policy(config, split=split, metadata=metadata))
    # The hash is there before the split it is for, and goes after it; whatever ends a split comes first.
    return [policy, *routes, *scaled] if split else [*routes, policy, *scaled]


def _autoscaler(view: _View, observed: Observed, config: Config, name: str, metadata: Json) -> Json:
    """Return a variant's autoscaler: whoever may have to take all of the traffic at once is sized for it."""
    bounds = config.autoscaling
    variant = next(each for each in view.spec.variants if each.name == name)
    safe = (view.spec.stable, view.former, view.wishes.abort_to)
    share = 100 if name in safe else variant.percent
    if name == view.wishes.shadow and not variant.percent:
        share = max(share, view.wishes.shadow_percent)
    alone = len(view.spec.variants) == 1
    live = named(observed.autoscalers, autoscaler_name(config.inference_service, name))
    least = floor(
        needed=0 if alone else pods_for(share, of_all=view.of_all),
        least=bounds.min_replicas if variant.role == "stable" else bounds.canary_min_replicas,
        live=live["spec"].get("minReplicas") if live else None,
        bounds=bounds,
    )
    return autoscaler(
        inference_service=config.inference_service, variant=name, least=least, bounds=bounds, metadata=metadata
    )


def _changes(desired: Sequence[Json], observed: Observed, config: Config, view: _View) -> _Changes:
    written = {_key(item): item for item in chain(observed.routes, observed.policies, observed.autoscalers)}
    known = _known_to_exist(observed, config)
    apply, strip, repairs = [], [], []
    for item in desired:
        live = written.get(_key(item))
        extra = drift.foreign(item, live) if live else {}
        about = Reference.of(live or item)
        if extra:
            strip.append(Strip(about, extra))
        stands = drift.standing(item, live)
        if not stands:
            apply.append(item)
        if extra or (not stands and (drift.unasked_edit(item, live) if live else _key(item) in known)):
            repairs.append(about)
    return _Changes(tuple(apply), tuple(strip), _orphans(desired, written, config, view), tuple(repairs))


def _known_to_exist(observed: Observed, config: Config) -> set[tuple[str, str]]:
    """Return what an earlier plan wrote, by the status it left: what of it is missing, somebody else deleted."""
    before: Json = (observed.rollout or {}).get("status") or {}
    name = route_name(config.inference_service)
    routes = (
        {(kind, name) for kind in ("HTTPRoute", "GRPCRoute", "BackendTrafficPolicy")} if before.get("split") else set()
    )
    variants = {each["name"] for each in before.get("variants") or ()}
    return routes | {("HorizontalPodAutoscaler", autoscaler_name(config.inference_service, each)) for each in variants}


def _orphans(
    desired: Sequence[Json], written: Mapping[tuple[str, str], Json], config: Config, view: _View
) -> tuple[Reference, ...]:
    """Return what carries our labels and isn't wanted; while the spec can't be read, everything is."""
    if not view.spec.variants:
        return ()
    wanted = {_key(item) for item in desired}
    ours = labels(config.inference_service).items()
    return tuple(
        sorted(
            Reference.of(item)
            for key, item in written.items()
            if key not in wanted
            and not (view.live is None and key[1] == route_name(config.inference_service))
            and ours <= (item["metadata"].get("labels") or {}).items()
            and not item["metadata"].get("deletionTimestamp")
        )
    )


def _conditions(view: _View, observed: Observed, config: Config, changes: _Changes) -> list[status.Condition]:
    own = route_name(config.inference_service)
    ready = {each.name: each.ready for each in view.shares.variants}
    conditions = [
        status.routed(
            view.spec,
            carried=view.live is not None,
            changing=changes.routes,
            routes=[route for route in observed.routes if route["metadata"]["name"] == own],
            gateway=config.gateway,
        ),
        status.capacity(view.spec, view.shares),
        status.shadow(view.wishes, view.spec, view.shares),
        status.aborted(view.wishes, view.spec, ready),
        status.degraded(view.spec),
    ]
    return [status.ready(conditions), *conditions]


def _missing(observed: Observed, bootstrap: Json | None) -> tuple[Json, ...]:
    return (bootstrap,) if bootstrap is not None and observed.inference_service is None else ()


def _names(view: _View) -> list[str]:
    return [variant.name for variant in view.spec.variants]


def _split(shares: Mapping[str, int] | None) -> str:
    return ",".join(f"{variant}={share}" for variant, share in (shares or {}).items())


def _key(item: Json) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]
