"""A cluster on paper: what the planner sees, and what becomes of its plans."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lead_controller.config import Config, parse_config
from lead_controller.model import Json, Observed, Plan
from lead_controller.names import FIELD_MANAGER
from lead_controller.planner import plan
from msgspec.json import encode

__all__ = ["GENERATED", "NAME", "NOW", "World", "config_of", "fields_of"]

NAME = "lead-scoring"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
GENERATED = ("HTTPRoute", "GRPCRoute", "BackendTrafficPolicy", "HorizontalPodAutoscaler")


def config_of(**changes: Any) -> Config:
    """A configuration like the chart's."""
    return parse_config(
        encode(
            {
                "inferenceService": NAME,
                "model": NAME,
                "gateway": {"name": "gate", "namespace": "kserve"},
                "rest": {"hostnames": ["leads.example.com"]},
                "grpc": {"hostnames": ["grpc.leads.example.com"]},
                "trafficPolicy": {"healthCheck": {"panicThreshold": 0}},
                **changes,
            }
        )
    )


@dataclass
class World:
    """Variants by name, the stable one first; what nobody set has two ready pods per variant."""

    stable: str = "v1"
    canaries: dict[str, Any] = field(default_factory=dict)
    ready: dict[str, int] = field(default_factory=dict)
    """Ready pods; a variant that isn't here has two, one that is None has no Service."""
    wishes: Json = field(default_factory=dict)
    """The spec of the ModelRollout but for inferenceService."""
    config: Config = field(default_factory=config_of)
    load: dict[str, float] = field(default_factory=dict)
    """CPU utilisation in percent that the variant's autoscaler measures."""
    inference_service: Json | None = field(default_factory=dict)
    """None: gone. Otherwise merged over what follows from stable and canaries."""
    status: Json | None = None
    objects: dict[tuple[str, str], Json] = field(default_factory=dict)
    generation: int = 1

    def observe(self) -> Observed:
        """Return what a controller would see now."""

        def of(*kinds: str) -> list[Json]:
            return [copy.deepcopy(item) for (kind, _), item in sorted(self.objects.items()) if kind in kinds]

        names = {self.stable, *self.canaries, *self.ready}
        pods = {name: self.ready.get(name, 2) for name in sorted(names)}
        return Observed(
            inference_service=self._inference_service(),
            rollout=self.rollout(),
            endpoint_slices=[_slice(name, count) for name, count in pods.items() if count is not None],
            deployments=[_deployment(name, max(count or 0, 1)) for name, count in pods.items()],
            routes=of("HTTPRoute", "GRPCRoute"),
            policies=of("BackendTrafficPolicy"),
            autoscalers=[self._measured(item) for item in of("HorizontalPodAutoscaler")],
        )

    def rollout(self) -> Json:
        """Return the ModelRollout."""
        metadata = {"name": NAME, "namespace": "leads", "uid": "u-1", "generation": self.generation}
        item: Json = {"metadata": metadata, "spec": {"inferenceService": NAME, **self.wishes}}
        return item | ({"status": copy.deepcopy(self.status)} if self.status else {})

    def plan(self) -> Plan:
        """Return a plan and do nothing."""
        return plan(self.observe(), self.config, now=NOW)

    def turn(self, *, accept: bool = True) -> Plan:
        """Plan once and do it; with `accept` the Gateway takes it up."""
        made = self.plan()
        for strip in made.strip:
            _merge(self.objects[strip.about.kind, strip.about.name], strip.merge_patch)
        for item in made.apply:
            self._apply(item)
        for reference in made.delete:
            del self.objects[reference.kind, reference.name]
        self.status = copy.deepcopy(made.status) or self.status
        if accept:
            self.accept()
        return made

    def settle(self, *, turns: int = 8) -> list[Plan]:
        """Turn until nothing changes any more; return the plans that changed something."""
        plans: list[Plan] = []
        for _ in range(turns):
            made = self.turn()
            if not (made.apply or made.delete or made.strip or made.status):
                return plans
            plans.append(made)
        raise AssertionError(f"still changing after {turns} turns: {plans[-1]}")

    def accept(self) -> None:
        """Let the Gateway take up the routes as they are."""
        for (kind, _), item in self.objects.items():
            if kind in ("HTTPRoute", "GRPCRoute"):
                answers = [
                    {
                        "type": each,
                        "status": "True",
                        "reason": each,
                        "observedGeneration": item["metadata"]["generation"],
                    }
                    for each in ("Accepted", "ResolvedRefs")
                ]
                item["status"] = {"parents": [{"parentRef": {"name": "gate"}, "conditions": answers}]}

    def shares(self, kind: str = "HTTPRoute") -> dict[str, int]:
        """Return the live shares as Envoy would: those of the rule that an inference request matches."""
        method = {"service": "inference.GRPCInferenceService", "method": "ModelInfer", "type": "Exact"}
        path = {"path": {"type": "Exact", "value": f"/v2/models/{NAME}/infer"}, "method": "POST"}
        wanted = path if kind == "HTTPRoute" else {"method": method}
        rules = [rule for rule in self.objects[kind, f"{NAME}-rollout"]["spec"]["rules"] if wanted in rule["matches"]]
        assert len(rules) == 1, "an inference request must match one rule"
        shares: dict[str, int] = {}
        for backend in rules[0]["backendRefs"]:
            variant = backend["name"].removeprefix(f"{NAME}-").removesuffix("-predictor")
            told = {each["name"]: each["value"] for each in backend["filters"][0]["requestHeaderModifier"]["set"]}
            assert told["x-lead-variant"] == variant
            shares[variant] = shares.get(variant, 0) + backend["weight"]
        assert told["x-lead-split"] == ",".join(f"{name}={share}" for name, share in shares.items())
        return shares

    def conditions(self) -> dict[str, str]:
        """Return the reasons by type."""
        return {each["type"]: each["reason"] for each in (self.status or {}).get("conditions", ())}

    def floors(self) -> dict[str, int]:
        """Return minReplicas by variant."""
        return {
            name.removeprefix(f"{NAME}-").removesuffix("-rollout"): item["spec"]["minReplicas"]
            for (kind, name), item in self.objects.items()
            if kind == "HorizontalPodAutoscaler"
        }

    def _inference_service(self) -> Json | None:
        if self.inference_service is None:
            return None
        canaries = [{"predictor": {"name": name}, "trafficPercent": share} for name, share in self.canaries.items()]
        spec = {"predictor": {"name": self.stable}, "canary": canaries}
        item: Json = {"metadata": {"name": NAME, "generation": 1}, "spec": spec}
        return _merge(item, self.inference_service)

    def _apply(self, item: Json) -> None:
        key = item["kind"], item["metadata"]["name"]
        fresh = copy.deepcopy(item)
        before = self.objects.get(key)
        generation = before["metadata"]["generation"] if before else 0
        changed = before is None or before["spec"] != fresh["spec"]
        fresh["metadata"] |= {"generation": generation + changed, "managedFields": fields_of(item["spec"])}
        self.objects[key] = fresh | ({"status": before["status"]} if before and "status" in before else {})

    def _measured(self, item: Json) -> Json:
        variant = item["metadata"]["labels"]["lead-scoring.io/variant"]
        if variant in self.load:
            current = {"averageUtilization": self.load[variant]}
            item["status"] = {
                "currentReplicas": self.ready.get(variant, 2) or 0,
                "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": current}}],
            }
        return item


def fields_of(spec: Json, manager: str = FIELD_MANAGER) -> list[Json]:
    """Return managedFields that give everything of a spec to one manager, lists as a whole."""

    def tree(value: Any) -> Json:
        return {f"f:{key}": tree(each) for key, each in value.items()} if isinstance(value, Mapping) else {}

    return [{"manager": manager, "fieldsV1": {"f:spec": tree(spec)}}]


def _slice(variant: str, ready: int) -> Json:
    name = f"{NAME}-{variant}-predictor"
    return {
        "metadata": {"name": f"{name}-x", "labels": {"kubernetes.io/service-name": name}},
        "endpoints": [
            {"addresses": [f"10.0.0.{pod}"], "conditions": {"ready": True}, "targetRef": {"uid": f"{variant}-{pod}"}}
            for pod in range(ready)
        ],
    }


def _deployment(variant: str, replicas: int) -> Json:
    return {"metadata": {"name": f"{NAME}-{variant}-predictor"}, "spec": {"replicas": replicas}}


def _merge(item: Json, patch: Mapping[str, Any]) -> Json:
    for key, value in patch.items():
        if value is None:
            item.pop(key, None)
        elif isinstance(value, Mapping):
            _merge(item.setdefault(key, {}), value)
        else:
            item[key] = value
    return item
