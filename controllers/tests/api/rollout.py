"""A rollout as tests see it: what SREs type, and what the routes then say."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lead_controller.apiserver import AUTOSCALER, EVENT, GRPC_ROUTE, HTTP_ROUTE, POLICY, ROLLOUT, ApiServer, Kind

from api.objects import slice_of
from api.process import Controller
from tests.cluster.kubectl import Kubectl
from tests.support.stack import until

__all__ = ["OWN", "Rollout"]

Json = dict[str, Any]

OWN = (HTTP_ROUTE, GRPC_ROUTE, POLICY, AUTOSCALER)
"""Kinds that the controller writes, its status apart."""


@dataclass
class Rollout:
    """An InferenceService, its ModelRollout and what the controllers make of them."""

    name: str
    kubectl: Kubectl
    server: ApiServer
    kubeconfig: Path
    folder: Path
    controllers: list[Controller] = field(default_factory=list)

    @property
    def config(self) -> Path:
        """The controllers' configuration file."""
        return self.folder / "config.json"

    def start(self, *flags: str) -> Controller:
        """Start a controller."""
        controller = Controller(
            self.config,
            namespace=self.kubectl.namespace,
            kubeconfig=self.kubeconfig,
            identity=f"controller-{len(self.controllers)}",
            flags=flags,
        )
        self.controllers.append(controller)
        return controller

    def shift(self, variant: str, percent: int, index: int = 0) -> float:
        """Give a canary a share with the runbook's patch; return when kubectl came back."""
        at = f"/spec/canary/{index}"
        self.kubectl.patch(
            "inferenceservice",
            self.name,
            {"op": "test", "path": f"{at}/predictor/name", "value": variant},
            {"op": "replace", "path": f"{at}/trafficPercent", "value": percent},
        )
        return time.monotonic()

    def ready(self, variant: str, *pods: bool) -> None:
        """Say which pods of a variant are ready."""
        self.kubectl.apply(slice_of(self.name, variant, pods))

    def rule(self, kind: Kind) -> tuple[int, Json]:
        """Return place and content of the rule that ordinary inference takes; -1 without one."""
        for route in self.server.list(kind, {})[0]:
            for place, rule in enumerate(route["spec"]["rules"]):
                if any(_predicts(match) and not match.get("headers") for match in rule["matches"]):
                    return place, rule
        return -1, {}

    def split(self, kind: Kind) -> str:
        """Return what a route gives to whom, empty if there is no route: ``v1=75,v2=25``."""
        shares = [
            (each["name"].removeprefix(f"{self.name}-").removesuffix("-predictor"), each.get("weight", 1))
            for each in self.rule(kind)[1].get("backendRefs", [])
        ]
        return ",".join(f"{variant}={weight}" for variant, weight in shares if weight)

    def sticky(self, kind: Kind) -> bool:
        """Return whether keys stick in that rule: of the policies on it the one for the rule alone counts."""
        name = self.rule(kind)[1].get("name")
        found = {
            target.get("sectionName"): "consistentHash" in (policy["spec"].get("loadBalancer") or {})
            for policy in self.server.list(POLICY, {})[0]
            for target in policy["spec"]["targetRefs"]
            if target["kind"] == kind.kind and target.get("sectionName") in (None, name)
        }
        return found.get(name, found.get(None, False))

    def until_split(self, split: str, *, within_s: float = 10) -> float:
        """Wait until both routes carry a split; return when they did."""
        what = f"both routes carry {split}"
        until(lambda: {self.split(HTTP_ROUTE), self.split(GRPC_ROUTE)} == {split}, what, within_s=within_s)
        return time.monotonic()

    def status(self) -> Json:
        """Return the ModelRollout's status."""
        status: Json = self.server.get(ROLLOUT, self.name).get("status") or {}
        return status

    def condition(self, kind: str) -> Json:
        """Return one of its conditions, empty if there is none."""
        return next((each for each in self.status().get("conditions", []) if each["type"] == kind), {})

    def events(self) -> list[Json]:
        """Return the Events that the controllers wrote."""
        found = self.server.list(EVENT, {})[0]
        return [each for each in found if each.get("reportingController") == "lead-scoring.io/controller"]

    def own(self) -> dict[tuple[str, str], Json]:
        """Return everything that the controllers wrote, by kind and name."""
        return {(kind.kind, each["metadata"]["name"]): each for kind in OWN for each in self.server.list(kind, {})[0]}

    def generations(self) -> dict[tuple[str, str], int]:
        """Return how often the spec of each was changed, by whomever."""
        return {key: each["metadata"].get("generation", 0) for key, each in self.own().items()}

    def written(self) -> dict[tuple[str, str], list[Json]]:
        """Return what the API server notes of the controllers' writes to each object, the ModelRollout's status too."""
        objects = {**self.own(), (ROLLOUT.kind, self.name): self.server.get(ROLLOUT, self.name)}
        return {
            key: [each for each in item["metadata"]["managedFields"] if each["manager"] == "lead-scoring-controller"]
            for key, item in objects.items()
        }


def _predicts(match: Json) -> bool:
    path, method = match.get("path", {}).get("value", ""), match.get("method")
    return path.endswith("/infer") or (isinstance(method, dict) and method.get("method") == "ModelInfer")
