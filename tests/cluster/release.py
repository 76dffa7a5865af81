"""An installed release: its objects, its shares, its pods."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.cluster.gateway import Gateway
from tests.cluster.kubectl import Kubectl, run
from tests.support.stack import ROOT, until

__all__ = ["CHART", "Pod", "Release"]

CHART = ROOT / "charts" / "lead-scoring"
_INSTALL_S = 300


@dataclass(frozen=True)
class Pod:
    """A pod of a variant."""

    name: str
    uid: str
    ready: bool
    restarts: int
    containers: Mapping[str, str]
    """Ids by name, as the node's runtime knows them."""

    @classmethod
    def of(cls, item: dict[str, Any]) -> Pod:
        """Read one."""
        status = item["status"]
        states = status.get("containerStatuses", [])
        conditions = {c["type"]: c["status"] for c in status.get("conditions", [])}
        leaving = "deletionTimestamp" in item["metadata"]
        return cls(
            item["metadata"]["name"],
            item["metadata"]["uid"],
            conditions.get("Ready") == "True" and not leaving,
            sum(state["restartCount"] for state in states),
            {state["name"]: state.get("containerID", "").partition("://")[2] for state in states},
        )


@dataclass(frozen=True)
class Release:
    """A release of the chart and the objects that the controller made for it."""

    kubectl: Kubectl
    name: str
    values: dict[str, Any]
    gateway: Gateway

    # -- Helm

    def upgrade(self, *words: str) -> str:
        """Install it, or install it again; returns what Helm printed."""
        command = ["helm", "upgrade", "--install", self.name, str(CHART), "--namespace", self.kubectl.namespace]
        command += ["--values", "-", "--wait", "--timeout", f"{_INSTALL_S}s", *words]
        return run(command, stdin=json.dumps(self.values), timeout_s=_INSTALL_S + 30)

    def uninstall(self) -> None:
        """Remove it."""
        run(["helm", "uninstall", self.name, "--namespace", self.kubectl.namespace, "--ignore-not-found"])

    def test(self) -> str:
        """Run `helm test`; returns what it printed."""
        return run(
            ["helm", "test", self.name, "--namespace", self.kubectl.namespace, "--timeout", "120s", "--logs"],
            timeout_s=150,
        )

    # -- what people edit

    @property
    def service(self) -> dict[str, Any]:
        """Return the InferenceService."""
        return self.kubectl.get("inferenceservice", self.name)

    @property
    def rollout(self) -> dict[str, Any]:
        """Return the ModelRollout."""
        return self.kubectl.get("modelrollout", self.name)

    def shift(self, percent: int, *, canary: str = "v2", position: int = 0) -> None:
        """Give a canary a share, by the patch of the runbook."""
        path = f"/spec/canary/{position}"
        self.kubectl.patch(
            "inferenceservice",
            self.name,
            {"op": "test", "path": f"{path}/predictor/name", "value": canary},
            {"op": "replace", "path": f"{path}/trafficPercent", "value": percent},
        )

    def edit(self, stable: dict[str, Any], canaries: Sequence[dict[str, Any]]) -> None:
        """Say who is stable and who the canaries are, in one patch."""
        self.kubectl.patch(
            "inferenceservice",
            self.name,
            {"op": "replace", "path": "/spec/predictor", "value": stable},
            {"op": "add", "path": "/spec/canary", "value": list(canaries)},
        )

    def roll(self, **spec: Any) -> None:
        """Change the ModelRollout's spec; None removes a field."""
        self.kubectl.merge("modelrollout", self.name, {"spec": spec})

    # -- what comes of it

    def routed(self, kind: str = "httproute") -> dict[str, int]:
        """Return the weights by variant of what predicts, for callers that don't choose; empty without a route."""
        return self._predicting(self.kubectl.find(kind, f"{self.name}-rollout"))

    def _predicting(self, route: dict[str, Any] | None) -> dict[str, int]:
        for rule in route["spec"]["rules"] if route else ():
            asked = [match for match in rule["matches"] if not match.get("headers")]
            if "infer" in str(asked).lower().replace("inference", ""):
                found = {
                    ref["name"].removeprefix(f"{self.name}-").removesuffix("-predictor"): ref.get("weight", 1)
                    for ref in rule["backendRefs"]
                }
                return {variant: weight for variant, weight in found.items() if weight}
        return {}

    def until_routed(self, shares: Mapping[str, int], *, within_s: float = 120) -> None:
        """Wait until both routes carry these shares."""
        kinds = [f"{kind}/{self.name}-rollout" for kind in ("httproute", "grpcroute")]

        def carried() -> bool:
            found = json.loads(self.kubectl("get", *kinds, "-o", "json", "--ignore-not-found") or "{}")
            return [self._predicting(route) for route in found.get("items", [])] == [dict(shares)] * 2

        until(carried, f"routes carry {dict(shares)}", within_s=within_s, every_s=0.05)

    def condition(self, kind: str) -> dict[str, Any]:
        """Return a condition of the ModelRollout, empty if it isn't there."""
        conditions = self.rollout.get("status", {}).get("conditions", [])
        return next((dict(found) for found in conditions if found["type"] == kind), {})

    def pods(self, variant: str) -> list[Pod]:
        """Return a variant's pods, those on their way out included."""
        items = self.kubectl.items("pod", f"app=isvc.{self.name}-{variant}-predictor")
        return [Pod.of(item) for item in items]

    def counted(self, variant: str, name: str, *labels: str) -> float:
        """Return a metric's sum over a variant's ready pods, of series that have all these labels (`key="value"`)."""
        total = 0.0
        for pod in self.pods(variant):
            if pod.ready:
                text = self.kubectl("get", "--raw", self._path(f"pods/{pod.name}:8080/proxy/metrics"))
                series = (line.rpartition(" ") for line in text.splitlines() if line.startswith(f"{name}{{"))
                total += sum(float(value) for found, _, value in series if all(label in found for label in labels))
        return total

    def _path(self, rest: str) -> str:
        return f"/api/v1/namespaces/{self.kubectl.namespace}/{rest}"

    def controllers(self) -> list[Pod]:
        """Return the controller's pods."""
        items = self.kubectl.items(
            "pod", "app.kubernetes.io/component=controller", f"app.kubernetes.io/instance={self.name}"
        )
        return [Pod.of(item) for item in items]

    def leader(self) -> str:
        """Return the name of the controller's pod that holds the lease."""
        lease = self.kubectl.get("lease", f"{self.name}-controller")
        return str(lease["spec"].get("holderIdentity") or "")

    def lives(self, *variants: str) -> dict[str, int]:
        """Return the restarts of these variants' pods, all if none is named, by uid: only a rollout may change them."""
        items = self.kubectl.items("pod", f"serving.kserve.io/inferenceservice={self.name}")
        wanted = {f"isvc.{self.name}-{variant}-predictor" for variant in variants}
        chosen = [item for item in items if not wanted or item["metadata"]["labels"]["app"] in wanted]
        return {pod.uid: pod.restarts for pod in map(Pod.of, chosen)}

    def until_ready(self, variant: str, *, count: int = 1, within_s: float = 180) -> None:
        """Wait until a variant has this many ready pods, and no others."""

        def ready() -> bool:
            pods = self.pods(variant)
            return len(pods) >= count and all(pod.ready for pod in pods)

        until(ready, f"{count} ready pods of {variant}", within_s=within_s, every_s=0.5)
