"""A real gRPC server: as much V2 as the transformer needs, the real model, and misbehaviour on request."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import xgboost as xgb
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from numpy.typing import NDArray

from lead_scoring.packaging import folder

SECRET = "secret-of-the-predictor"  # noqa: S105 (what must not leak)


class FakePredictor:
    """Behaves as `mode` says; counts how calls of ModelInfer began and ended.

    Modes: right, hang, slow (`delay_s`), nan, infinite, short, long, no_output, other_version, wrong, no_sum, refuse,
    break.
    """

    def __init__(self, version_folder: Path) -> None:
        files = folder.read_verified(version_folder)
        self.contract = files.contract
        self._booster = xgb.Booster({"nthread": 1})
        self._booster.load_model(bytearray(files.model))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: Any = None
        self.port = 0
        self.reset()

    def reset(self) -> None:
        self.mode = "right"
        self.delay_s = 0.0
        self.tensors_shape = [-1, len(self.contract.features)]
        self.started = self.finished = self.cancelled = self.running = self.most_running = 0
        self.time_left: list[float] = []
        self.metadata: list[dict[str, str]] = []

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, on the port of last time if there was one."""
        if self._server is None:
            self._do(self._start())

    def stop(self) -> None:
        """Hang up at once."""
        if self._server is not None:
            server, self._server = self._server, None
            self._do(server.stop(0))

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)

    def _do(self, coroutine: Any) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(timeout=30)

    async def _start(self) -> None:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "inference.GRPCInferenceService",
                    {
                        "ModelInfer": grpc.unary_unary_rpc_method_handler(
                            self._infer, pb.ModelInferRequest.FromString, pb.ModelInferResponse.SerializeToString
                        ),
                        "ModelMetadata": grpc.unary_unary_rpc_method_handler(
                            self._describe,
                            pb.ModelMetadataRequest.FromString,
                            pb.ModelMetadataResponse.SerializeToString,
                        ),
                    },
                ),
            )
        )
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        await server.start()
        self._server = server

    async def _describe(self, request: Any, _context: Any) -> Any:
        if self.mode == "hang":
            await asyncio.sleep(3600)
        version = "999" if self.mode == "other_version" else self.contract.model.version
        tensor = pb.ModelMetadataResponse.TensorMetadata
        return pb.ModelMetadataResponse(
            name=request.name,
            versions=[version],
            platform="fake",
            inputs=[tensor(name="features", datatype="FP32", shape=self.tensors_shape)],
            outputs=[tensor(name=t.name, datatype=t.datatype, shape=t.shape) for t in self.contract.predictor.outputs],
        )

    async def _infer(self, request: Any, context: Any) -> Any:
        self.started += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.time_left.append(context.time_remaining())
        self.metadata.append(dict(context.invocation_metadata()))
        try:
            response = await self._misbehave(request, context)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        self.finished += 1
        return response

    async def _misbehave(self, request: Any, context: Any) -> Any:
        mode = self.mode
        if mode == "hang":
            await asyncio.sleep(3600)
        if mode == "slow":
            await asyncio.sleep(self.delay_s)
        if mode == "refuse":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, SECRET)
        if mode == "break":
            raise RuntimeError(SECRET)
        matrix = np.frombuffer(request.inputs[0].contents.bytes_contents[0], "<f4").reshape(
            -1, len(self.contract.features)
        )
        outputs = self._predict(matrix)
        if mode in ("nan", "infinite"):
            outputs["margin"] = outputs["margin"].copy()
            outputs["margin"][-1] = np.nan if mode == "nan" else np.inf
        elif mode == "short":
            outputs["margin"] = outputs["margin"][1:]
        elif mode == "long":
            outputs["margin"] = np.append(outputs["margin"], np.float32(0))
        elif mode == "wrong":
            outputs["margin"] = outputs["margin"] + np.float32(0.5)
        elif mode == "no_sum":
            outputs["contributions"] = outputs["contributions"] + np.float32(1)
        wanted = [] if mode == "no_output" else [output.name for output in request.outputs]
        tensor = pb.ModelInferResponse.InferOutputTensor
        return pb.ModelInferResponse(
            model_name=request.model_name,
            model_version="999" if mode == "other_version" else self.contract.model.version,
            outputs=[
                tensor(name=name, datatype="BYTES", shape=[1], contents={"bytes_contents": [outputs[name].tobytes()]})
                for name in wanted
            ],
        )

    def _predict(self, matrix: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        data = xgb.DMatrix(matrix, feature_names=[feature.name for feature in self.contract.features])
        return {
            "margin": self._booster.predict(data, output_margin=True),
            "contributions": self._booster.predict(data, pred_contribs=True),
        }
