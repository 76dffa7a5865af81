"""A transformer and a predictor without the runner that ends both when one dies: what a pod is to Kubernetes."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterable
from pathlib import Path

from lead_scoring.local.ports import free_ports
from tests.transformer.service.processes import PREDICTOR_PYTHON, Server, Transformer

__all__ = ["Pod", "peak_bytes", "rss_bytes", "running", "start_peak"]


class Predictor(Server):
    """`python -m lead_predictor` on ports and a socket that stay the same when it is started again."""

    def __init__(self, folder: Path, log: Path, *, ports: list[int], socket: Path) -> None:
        self.arguments = (folder, log)
        self.where = {"ports": ports, "socket": socket}
        super().__init__(
            [
                str(PREDICTOR_PYTHON), "-m", "lead_predictor", "--model-dir", str(folder), "--http-port", str(ports[0]),
                "--grpc-port", str(ports[1]), "--socket", str(socket),
            ],
            log,
        )  # fmt: skip


class Pod:
    """Both processes; `door` is how they meet: ``socket`` or ``grpc``."""

    def __init__(self, folder: Path, work: Path, *flags: str, door: str = "socket") -> None:
        self._folder, self._work = folder, work
        self._short = tempfile.TemporaryDirectory(prefix="pod")  # a socket's path may have 107 bytes
        self._ports, self.socket = free_ports(2), Path(self._short.name) / "door"
        self._generation = 0
        self.predictor = self._start_predictor()  # both start together, as a pod's containers do
        meet = ["--predictor-socket", str(self.socket)] if door == "socket" else []
        self._flags = (*meet, "--drain-s", "0", *flags)
        self.transformer = self._start_transformer()

    def _start_transformer(self, *flags: str) -> Transformer:
        self._generation += 1
        log = self._work / f"transformer-{self._generation}.log"
        return Transformer(self._folder, self.predictor_target, log, *self._flags, *flags)

    def _start_predictor(self) -> Predictor:
        self._generation += 1
        log = self._work / f"predictor-{self._generation}.log"
        return Predictor(self._folder, log, ports=self._ports, socket=self.socket)

    @property
    def predictor_target(self) -> str:
        """Where the predictor's gRPC listens."""
        return f"127.0.0.1:{self._ports[1]}"

    def freeze(self) -> None:
        """Stop the predictor in its tracks: it holds its connections and answers nothing."""
        self.predictor.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.predictor.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the predictor without a word."""
        self.predictor.process.kill()
        self.predictor.process.wait()

    def revive(self) -> None:
        """Start the predictor again, as the kubelet would."""
        self.predictor = self._start_predictor()
        self.predictor.ports()

    def kill_transformer(self) -> None:
        """Kill the transformer without a word."""
        self.transformer.process.kill()
        self.transformer.process.wait()

    def revive_transformer(self) -> None:
        """Start it again, on the ports that it had."""
        ports = (str(self.transformer.http_port), self.transformer.target.rpartition(":")[2])
        self.transformer = self._start_transformer("--http_port", ports[0], "--grpc_port", ports[1])

    def close(self) -> None:
        """End both."""
        self.thaw()
        for server in (self.transformer, self.predictor):
            if server.process.poll() is None:
                server.process.terminate()
        self.transformer.close()
        self.predictor.close()
        self._short.cleanup()


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def start_peak(pid: int) -> None:
    """Forget the most memory that a process ever had."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes(pid: int) -> int:
    """Return the most resident memory of a process since `start_peak`."""
    (found,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(found.split()[1]) * 1024


def running(pids: Iterable[int]) -> dict[int, int]:
    """Return the resident memory of several, in bytes."""
    return {pid: rss_bytes(pid) for pid in pids}
