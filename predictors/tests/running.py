"""A real `python -m lead_predictor` on free ports, and the clients that talk to it."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

DEADLINE_S = 90.0
"""For whatever should take a second: the machine may be busy."""
MODEL = "lead-scoring"


class Predictor:
    """One process with its log."""

    def __init__(self, folder: Path, *options: str, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "lead_predictor", "--model-dir", str(folder)]
        command += options or ("--http-port", "0", "--grpc-port", "0")
        self.folder = folder
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[dict[str, Any]] = []
        self.unparsed: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.stderr = ""
        self._readers = [threading.Thread(target=self._read), threading.Thread(target=self._read_errors)]
        for reader in self._readers:
            reader.start()
        self.http_port = self.grpc_port = 0

    def wait_for(self, message: str) -> dict[str, Any]:
        """Return the log line with this message; fail if the process ends first."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            if line is None:
                raise AssertionError(f"ended before {message!r}: {self.ended()} {self.stderr}")
            try:
                found = json.loads(line)
            except ValueError:
                self.unparsed.append(line)
                continue
            self.log.append(found)
            if found["message"] == "listening":
                self.http_port, self.grpc_port = found["http_port"], found["grpc_port"]
            if found["message"] == message:
                return found

    def ended(self) -> int:
        """Wait for the end; return the exit code with the whole log read."""
        code = self.process.wait(DEADLINE_S)
        for reader in self._readers:
            reader.join(DEADLINE_S)
        while not self._lines.empty():
            if line := self._lines.get():
                try:
                    self.log.append(json.loads(line))
                except ValueError:
                    self.unparsed.append(line)
        return code

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.ended()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def cpu_s(self) -> float:
        """Return the processor time used so far, all threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def channel(self) -> grpc.Channel:
        size = 64 * 2**20
        options = [("grpc.max_receive_message_length", size), ("grpc.max_send_message_length", size)]
        return grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}", options=options)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.stderr = self.process.stderr.read()


@contextmanager
def running(folder: Path, cwd: Path, *options: str, env: Mapping[str, str] | None = None) -> Iterator[Predictor]:
    """Start a predictor, wait until it is ready, and see that nothing is left of it."""
    predictor = Predictor(folder, *options, cwd=cwd, env=env)
    try:
        predictor.wait_for("ready")
        yield predictor
    finally:
        predictor.kill()


def frame_request(matrix: NDArray[np.float32], *outputs: str) -> pb.ModelInferRequest:
    """Return the frame form, as the transformer sends it."""
    request = pb.ModelInferRequest(model_name=MODEL)
    tensor = request.inputs.add(name="features", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(np.ascontiguousarray(matrix, "<f4").tobytes())
    for name in outputs:
        request.outputs.add(name=name)
    return request


def plain_request(matrix: NDArray[np.float32], *outputs: str) -> pb.ModelInferRequest:
    """Return the form with typed contents."""
    request = pb.ModelInferRequest(model_name=MODEL)
    tensor = request.inputs.add(name="features", datatype="FP32", shape=matrix.shape)
    tensor.contents.fp32_contents.extend(matrix.ravel().tolist())
    for name in outputs:
        request.outputs.add(name=name)
    return request


def raw_request(matrix: NDArray[np.float32], *outputs: str) -> pb.ModelInferRequest:
    """Return the form with raw contents."""
    request = pb.ModelInferRequest(model_name=MODEL, raw_input_contents=[np.ascontiguousarray(matrix, "<f4").tobytes()])
    request.inputs.add(name="features", datatype="FP32", shape=matrix.shape)
    for name in outputs:
        request.outputs.add(name=name)
    return request


def arrays(response: pb.ModelInferResponse, rows: int) -> dict[str, NDArray[np.float32]]:
    """Decode an answer of any form."""
    found = {}
    for position, output in enumerate(response.outputs):
        if response.raw_output_contents:
            values = np.frombuffer(response.raw_output_contents[position], "<f4")
        elif output.datatype == "BYTES":
            assert list(output.shape) == [1]
            values = np.frombuffer(output.contents.bytes_contents[0], "<f4")
        else:
            values = np.array(output.contents.fp32_contents, dtype=np.float32)
        shape = (rows,) if values.size == rows else (rows, -1)
        if output.datatype == "FP32":
            assert int(np.prod(output.shape)) == values.size
        found[output.name] = values.reshape(shape)
    return found


def ask(channel: grpc.Channel, request: pb.ModelInferRequest, timeout_s: float = DEADLINE_S) -> pb.ModelInferResponse:
    return GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=timeout_s)


def infer(
    channel: grpc.Channel, matrix: NDArray[np.float32], outputs: Sequence[str] = ("margin",)
) -> dict[str, NDArray[np.float32]]:
    """Ask in frames; return the answer."""
    return arrays(ask(channel, frame_request(matrix, *outputs)), len(matrix))
