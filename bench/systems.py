"""The systems under test: how each is started on free ports, and which processes it is made of."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from bench.processes import cpu_s, descendants, rss_mb
from lead_scoring.contract import files
from lead_scoring.local.run_folder import RunFolder

__all__ = ["ROOT", "System", "behind_envoy", "fastapi", "mlserver", "ours", "stock_pair"]

ROOT = Path(__file__).resolve().parent.parent
_PREDICTOR_PYTHON = ROOT / "predictors" / ".venv" / "bin" / "python"
_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class System:
    """A named set of commands that together answer on `port`; a context manager that runs them."""

    name: str
    port: int
    ready_path: str
    commands: Sequence[Sequence[str]]
    working_folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    startup_s: float = 0.0
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> System:
        begin = time.perf_counter()
        self.working_folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undo:
            undo.callback(self._stop)
            for number, command in enumerate(self.commands):
                log = (self.working_folder / f"{self.name.replace(' ', '-')}-{number}.log").open("wb")
                self._running.append(
                    subprocess.Popen(  # noqa: S603 - our own commands
                        command,
                        stdout=log,
                        stderr=log,
                        cwd=self.working_folder,
                        env={**_ENVIRONMENT, **self.environment},
                    )
                )
            self._await_ready()
            undo.pop_all()
        self.startup_s = time.perf_counter() - begin
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def pids(self) -> list[int]:
        """All processes of the system."""
        return [pid for process in self._running for pid in descendants(process.pid)]

    def cpu_s(self) -> float:
        """CPU seconds spent so far by all of them."""
        return cpu_s(self.pids)

    def gateway_cpu_s(self) -> float | None:
        """CPU seconds spent so far by a gateway in front, which `cpu_s` leaves out; None if there is none."""
        return None

    def rss_mb(self) -> float:
        """Memory of all of them in MB."""
        return rss_mb(self.pids)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            for process in self._running:
                if process.poll() is not None:
                    raise RuntimeError(
                        f"{self.name}: a process ended with {process.returncode}; see {self.working_folder}"
                    )
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self.ready_path}", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"{self.name} did not become ready in 90 s; see {self.working_folder}")

    def _stop(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()


class Stack(System):
    """The whole local stack as `make run` starts it, its canary idle."""

    @property
    def pids(self) -> list[int]:
        """The transformer and the predictor that answer."""
        return [pid for name, pid in self._processes().items() if name.startswith("v1 ")]

    def gateway_cpu_s(self) -> float:
        """CPU seconds spent so far by Envoy."""
        return cpu_s([self._processes()["envoy"]])

    def _processes(self) -> dict[str, int]:
        return RunFolder(self.working_folder / "stack" / str(self.port)).load_state().pids


def behind_envoy(folder: Path, work: Path) -> System:
    """Return our stack with Envoy in front."""
    port = _free_port()
    command = [
        str(Path(sys.executable).parent / "lead-scoring"), "up", "--port", str(port), "--run-root", str(work / "stack"),
        "--repository", str(folder.parent.parent), "--stable", folder.name, "--canary", folder.name,
        "--predictor-python", str(_PREDICTOR_PYTHON),
    ]  # fmt: skip
    return Stack("lead-scoring, Envoy", port, "/v2/health/ready", [command], work)


def ours(
    folder: Path,
    work: Path,
    *,
    name: str = "lead-scoring",
    fast: bool = True,
    source: Path = ROOT,
    module: Sequence[str] = ("lead_transformer",),
    flags: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> System:
    """Return our transformer and predictor.

    Args:
        folder: of the version.
        work: for log and socket.
        name: of the system.
        fast: join them by the fast door, not by V2 gRPC.
        source: the tree with the packages to run.
        module: what starts the transformer, with arguments to go before its own.
        flags: more arguments of the transformer.
        environment: more variables of both.
    """
    socket_path = work / f"{name.replace(' ', '-')}.sock"
    http, grpc, predictor_http, predictor_grpc = (_free_port() for _ in range(4))
    predictor = [
        str(_PREDICTOR_PYTHON), "-m", "lead_predictor", "--model-dir", str(folder),
        "--http-port", str(predictor_http), "--grpc-port", str(predictor_grpc),
    ]  # fmt: skip
    transformer = [
        sys.executable, "-m", *module, "--model-dir", str(folder), "--variant", "v1", "--host", "127.0.0.1",
        "--http_port", str(http), "--grpc_port", str(grpc), "--predictor_host", f"127.0.0.1:{predictor_grpc}",
        # the peers have no deadline: on a busy machine ours must not answer 504 where they are merely late
        "--deadline-ms", "10000", "--queue-wait-ms", "10000", *flags,
    ]  # fmt: skip
    if fast:
        predictor += ["--socket", str(socket_path)]
        transformer += ["--predictor-socket", str(socket_path)]
    paths = [source / "transformers", source / "predictors", source, ROOT]
    variables = {"PYTHONPATH": os.pathsep.join(map(str, paths)), **(environment or {})}
    return System(name, http, "/v2/health/ready", [predictor, transformer], work, variables)


def fastapi(folder: Path, work: Path) -> System:
    """Return the hand-written service."""
    port = _free_port()
    command = [sys.executable, "-m", "bench.peers.fastapi_service", "--model-dir", str(folder), "--port", str(port)]
    return System("FastAPI by hand", port, "/ready", [command], work)


def mlserver(folder: Path, work: Path) -> System:
    """Return a stock MLServer with the stock XGBoost runtime, no worker pool, no debug logging: its best settings."""
    system, _ = _mlserver("MLServer REST", folder, work)
    return system


def stock_pair(folder: Path, work: Path) -> System:
    """Return the stock KServe transformer in front of a stock MLServer over V2 gRPC."""
    predictor, predictor_grpc = _mlserver("stock pair", folder, work)
    http, grpc = _free_port(), _free_port()
    name = files.read(folder / "contract.json").model.name
    transformer = [
        sys.executable, "-m", "bench.peers.stock_transformer", "--model-dir", str(folder), "--model_name", name,
        "--predictor_host", f"127.0.0.1:{predictor_grpc}", "--predictor_protocol", "grpc-v2",
        "--http_port", str(http), "--grpc_port", str(grpc), "--enable_latency_logging", "false",
        "--enable_predictor_health_check",
    ]  # fmt: skip
    return System(
        "stock pair", http, f"/v2/models/{name}/ready", [*predictor.commands, transformer], work, predictor.environment
    )


def _mlserver(name: str, folder: Path, work: Path) -> tuple[System, int]:
    http, grpc = _free_port(), _free_port()
    model = files.read(folder / "contract.json").model.name
    stock = work / f"{name.replace(' ', '-')}-model"
    stock.mkdir(parents=True, exist_ok=True)
    settings = {
        "name": model, "implementation": "mlserver_xgboost.XGBoostModel",
        "parameters": {"uri": str(folder / "model.ubj")},
    }  # fmt: skip
    (stock / "model-settings.json").write_text(json.dumps(settings))
    environment = {
        "MLSERVER_PARALLEL_WORKERS": "0", "MLSERVER_DEBUG": "false", "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": str(http), "MLSERVER_GRPC_PORT": str(grpc), "MLSERVER_METRICS_PORT": str(_free_port()),
    }  # fmt: skip
    command = [str(_PREDICTOR_PYTHON.parent / "mlserver"), "start", str(stock)]
    return System(name, http, f"/v2/models/{model}/ready", [command], work, environment), grpc
