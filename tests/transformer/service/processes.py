"""The project's own processes, started on free ports and ended by their id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[3]
PREDICTOR_PYTHON = ROOT / "predictors" / ".venv" / "bin" / "python"
PATIENCE_S = 60.0

T = TypeVar("T")


def eventually(look: Callable[[], T | None], *, within_s: float = PATIENCE_S, what: str = "it") -> T:
    """Return the first truthy value of `look`; fail when there was none in time."""
    end = time.monotonic() + within_s
    while True:
        if found := look():
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {within_s:g} s")
        time.sleep(0.02)


class Server:
    """A process that says where it listens in its JSON log."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}, cwd=ROOT
            )

    def lines(self) -> list[dict[str, Any]]:
        """Return the log so far."""
        return [
            json.loads(line)
            for line in self.log.read_text().splitlines()
            if line.startswith("{") and line.endswith("}")
        ]

    def said(self, message: str) -> dict[str, Any] | None:
        """Return the first line with a message."""
        return next((line for line in self.lines() if line.get("message") == message), None)

    def ports(self) -> dict[str, Any]:
        """Wait for the ports."""

        def look() -> dict[str, Any] | None:
            assert self.process.poll() is None, self.log.read_text()
            return self.said("listening")

        return eventually(look, what=f"listening ({self.log})")

    def terminate(self, *, within_s: float = PATIENCE_S) -> int:
        """Send SIGTERM and wait; return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=within_s)

    def close(self) -> None:
        """End it somehow."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(timeout=20)


class Transformer(Server):
    """`python -m lead_transformer` on free ports of loopback."""

    def __init__(
        self, folder: Path, predictor: str, log: Path, *flags: str, environment: dict[str, str] | None = None
    ) -> None:
        super().__init__(
            [
                sys.executable, "-m", "lead_transformer", "--model-dir", str(folder), "--predictor_host", predictor,
                "--host", "127.0.0.1", "--http_port", "0", "--grpc_port", "0", *flags,
            ],
            log,
            environment,
        )  # fmt: skip
        ports = self.ports()
        self.http_port: int = ports["http_port"]
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.target = f"127.0.0.1:{ports['grpc_port']}"

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v2/health/ready", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    def wait_ready(self, *, within_s: float = PATIENCE_S) -> None:
        eventually(self.is_ready, within_s=within_s, what="readiness")

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Return every sample by name and labels."""
        text = httpx.get(f"{self.url}/metrics", timeout=10).text
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of a name that have (at least) these labels."""
        wanted = frozenset(labels.items())
        return sum(value for (found, has), value in self.metrics().items() if found == name and wanted <= has)


class PredictorProcess(Server):
    """`python -m lead_predictor` on free ports of loopback."""

    def __init__(self, folder: Path, log: Path, grpc_port: int = 0) -> None:
        super().__init__(
            [
                str(PREDICTOR_PYTHON), "-m", "lead_predictor", "--model-dir", str(folder),
                "--http-port", "0", "--grpc-port", str(grpc_port),
            ],
            log,
        )  # fmt: skip
        self.target = f"127.0.0.1:{self.ports()['grpc_port']}"
