"""What the observed objects mean: who is meant to get how much, who can, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lead_controller import status
from lead_controller.config import Config
from lead_controller.demand import pods_for, pods_for_all
from lead_controller.lanes import Lanes, lanes_of, switched
from lead_controller.model import Json, Observed, Shares, VariantShare
from lead_controller.names import route_name, service_name
from lead_controller.observation import (
    Rollout,
    Spec,
    named,
    read_rollout,
    read_spec,
    ready_pods,
    routed_backends,
)
from lead_controller.routes import split_of
from lead_controller.shares import carried, intended

__all__ = ["View", "view"]


@dataclass(frozen=True)
class View:
    """One look at the cluster."""

    spec: Spec
    wishes: Rollout
    before: str
    """The split of the live route."""
    lanes: Lanes | None
    """Lanes to be; None keeps the last route."""
    backends: Sequence[tuple[str, int]]
    """Variant and share of each backend of the active lane to be."""
    arrived: bool
    """Whether live shares are all that ready pods can carry, and not on the way there."""
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


def view(observed: Observed, config: Config, rollout: Json) -> View:
    """Return what is seen, with the live shares that follow from it."""
    owner, bounds = config.inference_service, config.autoscaling
    spec, wishes = read_spec(observed.inference_service), read_rollout(rollout)
    names = [variant.name for variant in spec.variants]
    pods = {name: ready_pods(observed.endpoint_slices, service_name(owner, name)) for name in names}
    ready = {name: count or 0 for name, count in pods.items()}
    exposed = [name for name in names if pods[name] is not None]

    route = next((found for kind in ("HTTPRoute", "GRPCRoute") if (found := _route(observed, kind, owner))), None)
    last = lanes_of(route)
    backends = routed_backends(route, last.rule, inference_service=owner) if last else []
    routed, before = _summed(backends), split_of(backends)
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
    carrying = None
    if names:
        base = last.base if last else None
        carrying = carried(meant, previous=routed, base=base, ready=ready, of_all=of_all, target=target)
    lanes = None
    if carrying:
        lanes, backends = switched(
            carrying[0],
            base=carrying[1],
            last=last,
            settled=all(status.taken_up(each, config.gateway) for each in observed.routes if _ours(each, owner)),
            routed=backends,
            variants=names,
            exposed=exposed,
            serving=[name for name in names if ready[name]],
        )
    live = _summed(backends)
    shares = Shares(
        tuple(
            VariantShare(
                name=variant.name,
                role=variant.role,
                intended=meant[variant.name],
                live=live.get(variant.name, 0),
                ready=ready[variant.name],
                needed=pods_for(meant[variant.name], of_all=of_all),
            )
            for variant in spec.variants
        ),
        split_of(backends),
    )
    return View(
        spec=spec,
        wishes=wishes,
        before=before,
        lanes=lanes,
        backends=backends,
        arrived=carrying is None or live == carrying[0],
        exposed=frozenset(exposed),
        shares=shares,
        of_all=of_all,
        former=status.former_stable(rollout, spec),
        mirrors=status.shadow(wishes, spec, shares).status == "True",
    )


def _route(observed: Observed, kind: str, owner: str) -> Json | None:
    return named((each for each in observed.routes if each.get("kind") == kind), route_name(owner))


def _ours(route: Json, owner: str) -> bool:
    return bool(route["metadata"]["name"] == route_name(owner))


def _summed(backends: Sequence[tuple[str, int]]) -> dict[str, int]:
    shares: dict[str, int] = {}
    for variant, share in backends:
        shares[variant] = shares.get(variant, 0) + share
    return shares
