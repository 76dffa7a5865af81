"""What the observed objects mean: who is meant to get how much, who can, and where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lead_controller import status
from lead_controller.config import Config
from lead_controller.demand import pods_for, pods_for_all
from lead_controller.model import Json, Observed, Shares, VariantShare
from lead_controller.names import route_name, service_name
from lead_controller.observation import (
    Rollout,
    Spec,
    named,
    read_rollout,
    read_spec,
    ready_pods,
    routed_shares,
)
from lead_controller.places import arranged, base_of, places_of
from lead_controller.shares import carried, intended

__all__ = ["View", "view"]


@dataclass(frozen=True)
class View:
    """One look at the cluster."""

    spec: Spec
    wishes: Rollout
    before: str
    """The split of the live route."""
    live: Mapping[str, int] | None
    """Live shares to be, none of 0 %; None keeps the last route."""
    base: str
    """The variant that gets what others don't carry."""
    places: tuple[str, ...]
    """Names by place, see `places`."""
    exposed: frozenset[str]
    """Variants that have a Service."""
    shares: Shares
    of_all: int
    """Pods that carry 100 %."""
    former: str
    """The variant that was stable before, while it still is a canary; else empty."""
    mirrors: bool
    """Whether the shadow gets copies."""

    @property
    def names(self) -> list[str]:
        """Return the variants, the stable one first; empty when nothing can be done with the InferenceService."""
        return [variant.name for variant in self.spec.variants]

    @property
    def backends(self) -> list[tuple[str, int]]:
        """Return variant and share by place; an abandoned place holds one that serves, at 0 %."""
        if self.live is None:
            return []
        stand_in = next(iter(self.live))
        return [
            (name, self.live.get(name, 0)) if name in self.names and name in self.exposed else (stand_in, 0)
            for name in self.places
        ]


def view(observed: Observed, config: Config, rollout: Json) -> View:
    """Return what is seen, with the live shares that follow from it."""
    owner, bounds = config.inference_service, config.autoscaling
    spec, wishes = read_spec(observed.inference_service), read_rollout(rollout)
    names = [variant.name for variant in spec.variants]
    pods = {name: ready_pods(observed.endpoint_slices, service_name(owner, name)) for name in names}
    ready = {name: count or 0 for name, count in pods.items()}
    exposed = [name for name in names if pods[name] is not None]

    route = next((found for kind in ("HTTPRoute", "GRPCRoute") if (found := _route(observed, kind, owner))), None)
    routed = routed_shares(observed.routes, inference_service=owner, name=route_name(owner))
    of_all = pods_for_all(
        inference_service=owner,
        shares={name: routed.get(name, 0) for name in names},
        copies=wishes.shadow,
        autoscalers=observed.autoscalers,
        deployments=observed.deployments,
        bounds=bounds,
    )
    target = (wishes.abort_to if wishes.abort_to in names else spec.stable) if wishes.abort and names else None
    meant = intended({variant.name: variant.percent for variant in spec.variants}, abort_to=target)
    carrying = (
        carried(meant, previous=routed, base=base_of(route), ready=ready, of_all=of_all, target=target)
        if names
        else None
    )
    live, base = carrying or (None, "")
    places = arranged(places_of(route, routed), variants=names, exposed=exposed, busy=routed)
    shown = routed if live is None else live
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
        ),
        _split(places, shown),
    )
    return View(
        spec=spec,
        wishes=wishes,
        before=_split(routed, routed),
        live=live,
        base=base,
        places=tuple(places),
        exposed=frozenset(exposed),
        shares=shares,
        of_all=of_all,
        former=status.former_stable(rollout, spec),
        mirrors=status.shadow(wishes, spec, shares).status == "True",
    )


def _route(observed: Observed, kind: str, owner: str) -> Json | None:
    return named((each for each in observed.routes if each.get("kind") == kind), route_name(owner))


def _split(places: Iterable[str], shares: Mapping[str, int]) -> str:
    return ",".join(f"{name}={shares[name]}" for name in places if shares.get(name))
