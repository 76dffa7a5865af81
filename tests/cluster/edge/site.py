"""What a release puts at the edge, put there without the rest of it: the chart's policies, the controller's routes."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from lead_controller.config import Config, parse_config
from lead_controller.model import Observed
from lead_controller.planner import plan

from tests.cluster.kubectl import Kubectl, run
from tests.cluster.release import CHART
from tests.support.stack import until

__all__ = ["NAME", "Site", "backend", "forwarded"]

NAME = "lead-scoring"
VARIANT = "v1"
PODS = 2
_ECHO = Path(__file__).with_name("echo.py")
_OF_THE_ROUTES = {"HTTPRoute", "GRPCRoute", "BackendTrafficPolicy"}
_OF_THE_EDGE = {"SecurityPolicy", "Gateway", "ClientTrafficPolicy", "EnvoyProxy"}


@dataclass
class Site:
    """The edge of a release in a namespace of its own."""

    kubectl: Kubectl
    host: str

    def install(self, values: Mapping[str, Any]) -> None:
        """Put policies and routes there as the values say, and what earlier values made away; wait until all hold."""
        text = json.dumps(values)
        command = ["helm", "template", NAME, str(CHART), "--namespace", self.kubectl.namespace, "--values", "-"]
        rendered = [item for item in yaml.safe_load_all(run(command, stdin=text)) if item]
        [files] = [
            item["data"] for item in rendered if item["metadata"]["name"] == f"{NAME}-controller" and "data" in item
        ]
        config = parse_config(files["config.json"])
        wanted = [item for item in rendered if item["kind"] in _OF_THE_EDGE]
        wanted += self._planned(config, rendered)
        kept = {(item["kind"], item["metadata"]["name"]) for item in wanted}
        for kind in sorted(_OF_THE_EDGE):
            for item in self.kubectl.items(kind):
                if (kind, item["metadata"]["name"]) not in kept:
                    self.kubectl("delete", kind, item["metadata"]["name"])
        self.kubectl.apply(*wanted)
        for item in wanted:
            if item["kind"] not in ("EnvoyProxy", "Gateway"):
                self.kubectl.until(item["kind"], item["metadata"]["name"], _judged, "is judged", within_s=60)
            if item["kind"] == "Gateway":
                self.kubectl.until("Gateway", item["metadata"]["name"], _programmed, "is programmed", within_s=180)

    def _planned(self, config: Config, rendered: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return routes and their policies as the controller makes them for a variant with these pods."""
        [service] = [item for item in rendered if item["kind"] == "InferenceService"]
        [rollout] = [item for item in rendered if item["kind"] == "ModelRollout"]
        for item in (service, rollout):
            item["metadata"] |= {"uid": "0", "generation": 1}
        observed = Observed(
            inference_service=service, rollout=rollout, endpoint_slices=self.kubectl.items("endpointslices")
        )
        made = [item for item in plan(observed, config, now=datetime.now(UTC)).apply if item["kind"] in _OF_THE_ROUTES]
        for item in made:
            del item["metadata"]["ownerReferences"]
        return made

    def spoil(self, **fault: float) -> str:
        """Make one of the pods slow (`delay_s`) or broken (`status`); return its name."""
        pod: str = self.pods()[0]
        self.write(pod, json.dumps(fault))
        return pod

    def mend(self) -> None:
        """Make all pods well again."""
        for pod in self.pods():
            self.write(pod, "{}")

    def pods(self) -> list[str]:
        """Return the names of the pods behind the gateway."""
        return sorted(item["metadata"]["name"] for item in self.kubectl.items("pod", "app=echo"))

    def write(self, pod: str, text: str) -> None:
        """Say what is wrong with a pod."""
        program = f"open('/tmp/fault', 'w').write({text!r})"
        self.kubectl("exec", pod, "--", "python", "-c", program)


def backend(image: str) -> list[dict[str, Any]]:
    """Return two pods that echo, and the Service that KServe would make for the variant."""
    labels = {"app": "echo"}
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "echo",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "/echo/echo.py"],
        "ports": [{"containerPort": 8080}, {"containerPort": 8081}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "5m", "memory": "48Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
        "securityContext": restricted,
        "volumeMounts": [{"name": "echo", "mountPath": "/echo"}],
    }
    pod = {
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "echo", "configMap": {"name": "echo"}}],
    }
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "echo"}, "data": {"echo.py": _ECHO.read_text()}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "echo"},
            "spec": {
                "replicas": PODS,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"{NAME}-{VARIANT}-predictor"},
            "spec": {
                "selector": labels,
                "ports": [
                    {"name": "http", "port": 80, "targetPort": 8080},
                    {"name": "grpc", "port": 8081, "targetPort": 8081, "appProtocol": "kubernetes.io/h2c"},
                ],
            },
        },
    ]


@contextmanager
def forwarded(
    kubectl: Kubectl, gateway: str, *, port: int = 10443, system: str = "envoy-gateway-system"
) -> Iterator[int]:
    """Reach the Envoy pod of a Gateway, by default its HTTPS, by the API server; yields the port here."""
    mine = f"gateway.envoyproxy.io/owning-gateway-name={gateway}"
    where = f"gateway.envoyproxy.io/owning-gateway-namespace={kubectl.namespace}"
    proxies = Kubectl(system)
    until(lambda: bool(proxies.items("pod", mine, where)), "there is an Envoy pod", within_s=60, every_s=0.5)
    [pod] = proxies.items("pod", mine, where)
    name = pod["metadata"]["name"]
    proxies("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=120s", timeout_s=130)
    # Envoy Gateway moves ports below 1024 up by 10,000 within the pod.
    command = ["kubectl", "--namespace", system, "port-forward", f"pod/{name}", f":{port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert "->" in first, first
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield int(first.split("->")[0].rsplit(":", 1)[1])
    finally:
        process.terminate()
        process.wait(timeout=10)


def _judged(item: dict[str, Any]) -> bool:
    status = item.get("status", {})
    conditions = [each for part in status.get("parents", status.get("ancestors", [])) for each in part["conditions"]]
    latest = item["metadata"]["generation"]
    # Envoy Gateway leaves what it said about an earlier Gateway where it is.
    return any(each.get("observedGeneration", 0) >= latest for each in conditions)


def _programmed(item: dict[str, Any]) -> bool:
    found = {each["type"]: each["status"] for each in item.get("status", {}).get("conditions", [])}
    return found.get("Programmed") == "True"
