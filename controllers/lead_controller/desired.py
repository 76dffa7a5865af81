"""The objects that should exist, in the order in which they are to be applied."""

from __future__ import annotations

from lead_controller import drift
from lead_controller.autoscalers import autoscaler, floor
from lead_controller.config import Config
from lead_controller.demand import pods_for
from lead_controller.lanes import LANES
from lead_controller.model import Json, Observed
from lead_controller.names import ROLLOUT_API_VERSION, ROLLOUT_KIND, autoscaler_name, labels
from lead_controller.observation import Variant, named
from lead_controller.policies import sticky_policy, traffic_policy
from lead_controller.routes import Traffic, grpc_route, http_route
from lead_controller.view import View

__all__ = ["desired"]


def desired(seen: View, observed: Observed, config: Config, rollout: Json) -> list[Json]:
    """Return routes, policy and autoscalers; no routes while nothing is ready, nothing while the spec can't be read."""
    metadata: Json = {
        "namespace": rollout["metadata"]["namespace"],
        "labels": labels(config.inference_service),
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
    scaled = [drift.sealed(_autoscaler(seen, each, observed, config, metadata)) for each in seen.spec.variants]
    policies = [drift.sealed(build(config, metadata=metadata)) for build in (traffic_policy, sticky_policy)]
    if seen.lanes is None:
        return [*policies, *scaled]
    traffic = Traffic(
        lanes=seen.lanes,
        active=seen.backends,
        exposed=[name for name in seen.names if name in seen.exposed],
        shadow=seen.wishes.shadow if seen.mirrors else None,
        shadow_percent=seen.wishes.shadow_percent,
        forced_header=seen.wishes.forced_header,
    )
    placed = {**metadata, "annotations": {LANES: seen.lanes.annotation()}}
    routes = [drift.sealed(build(config, traffic, metadata=placed)) for build in (http_route, grpc_route)]
    return [*policies, *routes, *scaled]


def _autoscaler(seen: View, variant: Variant, observed: Observed, config: Config, metadata: Json) -> Json:
    """Return a variant's autoscaler: whoever may have to take all of the traffic at once is sized for it."""
    owner, bounds = config.inference_service, config.autoscaling
    share = variant.percent
    if variant.name in (seen.spec.stable, seen.former, seen.wishes.abort_to):
        share = 100
    elif variant.name == seen.wishes.shadow and not share:
        share = seen.wishes.shadow_percent
    alone = len(seen.spec.variants) == 1
    live = named(observed.autoscalers, autoscaler_name(owner, variant.name))
    least = floor(
        needed=0 if alone else pods_for(share, of_all=seen.of_all),
        least=bounds.min_replicas if variant.role == "stable" else bounds.canary_min_replicas,
        live=live["spec"].get("minReplicas") if live else None,
        bounds=bounds,
    )
    return autoscaler(inference_service=owner, variant=variant.name, least=least, bounds=bounds, metadata=metadata)
