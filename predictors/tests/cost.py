"""Processor time per request, start-up time and memory of a running predictor.

python predictors/tests/cost.py model-repo/lead-scoring/1
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from running import Predictor, frame_request, plain_request, raw_request, running
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from lead_scoring.packaging import folder as folders

FORMS: Mapping[str, Callable[..., pb.ModelInferRequest]] = {
    "frame": frame_request,
    "raw": raw_request,
    "plain": plain_request,
}


def cpu_ms(predictor: Predictor, request: pb.ModelInferRequest, *, at_least_s: float = 0.5) -> float:
    """Return the server's processor time per request, over as many requests as make `at_least_s` of it."""
    with predictor.channel() as channel:
        call = GRPCInferenceServiceStub(channel).ModelInfer
        call(request, timeout=60)
        before, count = predictor.cpu_s(), 0
        while (used := predictor.cpu_s() - before) < at_least_s:
            for _ in range(10):
                call(request, timeout=60)
            count += 10
    return used / count * 1000


def report(folder: Path) -> None:
    """Print the table."""
    width = len(folders.read_verified(folder).contract.features)
    matrix: NDArray[np.float32] = np.random.default_rng(0).normal(size=(500, width)).astype(np.float32)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as cwd, running(folder, Path(cwd)) as predictor:
        print(f"start to ready   {time.monotonic() - began:6.2f} s")
        print(f"memory           {predictor.rss_mb():6.0f} MB resident")
        for rows in (1, 500):
            for name, form in FORMS.items():
                cost = cpu_ms(predictor, form(matrix[:rows], "margin"), at_least_s=1.0)
                print(f"{rows:4d} leads, {name:6s}{cost:6.2f} ms of processor time per request")
        print(f"memory           {predictor.rss_mb():6.0f} MB resident afterwards")


if __name__ == "__main__":
    report(Path(sys.argv[1]).absolute())
