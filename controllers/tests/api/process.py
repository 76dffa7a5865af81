"""The controller as people run it: a process, its log, its pages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.stack import until

__all__ = ["Controller"]

_SOURCES = Path(__file__).parents[2]


class Controller:
    """A controller outside the cluster, on a free port."""

    def __init__(
        self, config: Path, *, namespace: str, kubeconfig: Path, identity: str, flags: tuple[str, ...]
    ) -> None:
        command = [sys.executable, "-m", "lead_controller", "--config", str(config), "--namespace", namespace]
        command += ["--kubeconfig", str(kubeconfig), "--identity", identity, "--host", "127.0.0.1", "--port", "0"]
        self.identity = identity
        self.log: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [*command, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(_SOURCES)},
        )
        threading.Thread(target=self._read, daemon=True).start()
        until(lambda: bool(self.logged("started")) or self.process.poll() is not None, f"{identity} started")
        assert self.process.poll() is None, self.log
        self.port: int = self.logged("started")[0]["port"]

    def logged(self, message: str) -> list[dict[str, Any]]:
        """Return the log lines with this message."""
        return [line for line in list(self.log) if line.get("message") == message]

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a page."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str, **labels: str) -> float | None:
        """Return the sum of a metric over what the labels match; None if there is none."""
        found = [
            sample.value
            for family in text_string_to_metric_families(self.get("/metrics")[1])
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else None

    @property
    def leads(self) -> bool:
        """Whether it says that it is the leader."""
        return self.metric("lead_rollout_leader") == 1

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def stop(self, *, within_s: float = 10) -> int:
        """SIGTERM; return the exit code."""
        self.process.terminate()
        return self.process.wait(within_s)

    def kill(self) -> None:
        """SIGKILL, whatever state it is in."""
        self.process.kill()
        self.process.wait(10)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                self.log.append(json.loads(line))
            except ValueError:
                self.log.append({"message": line.decode(errors="replace")})
