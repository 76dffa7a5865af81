"""What the suite must be told about a cluster; nothing else in it knows which cluster it is.

A fault that only the node can make (a signal to a process in a pod) is a command that the caller brings along.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass

__all__ = ["Settings", "Unset"]


class Unset(Exception):
    """A setting that a test needs was not given: says which variable, what for, and an example."""


@dataclass(frozen=True)
class Settings:
    """Read from the environment; every variable but KUBECONFIG has a default or is needed by single tests only."""

    kubeconfig: str
    gateway_name: str
    gateway_namespace: str
    gateway_url: str | None
    """How this machine reaches the gateway; None: by its address and the port of its first listener."""
    gateway_url_inside: str | None
    """How a pod reaches it, for `helm test`."""
    envoy_image: str
    """Envoy for Gateways of the tests' own; empty: the one that Envoy Gateway ships with."""
    prometheus_url: str | None
    s3_endpoint: str
    """How this machine reaches the storage."""
    s3_endpoint_inside: str
    """How a pod does: host and port."""
    s3_https_inside: bool
    s3_region: str
    s3_bucket: str
    s3_key: str
    s3_secret: str
    images: dict[str, str]
    """Image by the folder that it is made from: transformer, predictor, controller."""
    signal_command: tuple[str, ...]
    namespace: str | None
    """The namespace to install in, made if it isn't there; None: one with a name that nobody has."""
    keep: bool
    """Leave everything standing at the end, to look at it, or to run again in the same namespace."""

    @classmethod
    def from_environment(cls) -> Settings:
        """Read them.

        Raises:
            Unset: there is no cluster, or no storage for the models.
        """
        return cls(
            kubeconfig=_needed("KUBECONFIG", "the cluster to install on", "$HOME/.kube/config"),
            gateway_name=os.environ.get("E2E_GATEWAY_NAME", "kserve-ingress-gateway"),
            gateway_namespace=os.environ.get("E2E_GATEWAY_NAMESPACE", "kserve"),
            gateway_url=os.environ.get("E2E_GATEWAY_URL"),
            gateway_url_inside=os.environ.get("E2E_GATEWAY_URL_INSIDE"),
            envoy_image=os.environ.get("E2E_ENVOY_IMAGE", ""),
            prometheus_url=os.environ.get("E2E_PROMETHEUS_URL"),
            s3_endpoint=_needed("E2E_S3_ENDPOINT", "S3 storage as this machine reaches it", "http://127.0.0.1:9000"),
            s3_endpoint_inside=_needed(
                "E2E_S3_ENDPOINT_INSIDE", "the same storage as pods reach it", "minio.minio:9000"
            ),
            s3_https_inside=os.environ.get("E2E_S3_HTTPS_INSIDE", "0") == "1",
            s3_region=os.environ.get("E2E_S3_REGION", "us-east-1"),
            s3_bucket=os.environ.get("E2E_S3_BUCKET", "models"),
            s3_key=_needed("E2E_S3_KEY", "access key of that storage", "minioadmin"),
            s3_secret=_needed("E2E_S3_SECRET", "secret key of that storage", "minioadmin"),
            images={
                name: os.environ.get(f"E2E_{name.upper()}_IMAGE", f"localhost/lead-{name}:e2e")
                for name in ("transformer", "predictor", "controller")
            },
            signal_command=tuple(shlex.split(os.environ.get("E2E_SIGNAL_COMMAND", ""))),
            namespace=os.environ.get("E2E_NAMESPACE"),
            keep=os.environ.get("E2E_KEEP", "0") == "1",
        )

    def send_signal(self, signal: str, container_id: str) -> None:
        """Send a signal to a container's first process, on its node.

        Raises:
            Unset: the caller brought no command that can.
        """
        if not self.signal_command:
            raise Unset(
                "E2E_SIGNAL_COMMAND is not set: a command that sends a signal to a container on its node, called with"
                " the signal's name and the container's id. With kind:"
                " E2E_SIGNAL_COMMAND='docker exec kind-control-plane ctr -n k8s.io task kill --signal'"
            )
        subprocess.run([*self.signal_command, signal, container_id], check=True, timeout=30)


def _needed(name: str, what: str, example: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise Unset(f"{name} is not set: {what}, for example {name}={example}; docs/rollouts.md lists them all")
    return value
