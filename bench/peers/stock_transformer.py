"""The stock pair's front: a KServe SDK transformer as its documentation shows it, calling MLServer over V2 gRPC.

Run: ``python -m bench.peers.stock_transformer --model-dir … --model_name lead-scoring --predictor_host 127.0.0.1:9001
--predictor_protocol grpc-v2 --http_port 9002 --grpc_port 9003``
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server

from lead_scoring.contract import files
from lead_scoring.contract.types import Contract


class StockTransformer(Model):
    """Stack the inputs in preprocess, bucket the probability in postprocess; the SDK does the rest."""

    def __init__(self, name: str, contract: Contract) -> None:
        super().__init__(name)
        self._names = [feature.name for feature in contract.features]
        self._contract = contract
        self.ready = True

    async def preprocess(self, payload: Any, _headers: Any = None) -> InferRequest:
        """Turn one packed tensor, or one per feature, into the predictor's matrix."""
        tensors = {tensor.name: tensor for tensor in payload.inputs}
        if "features" in tensors:
            matrix = tensors["features"].as_numpy().astype(np.float32)
        else:
            columns = [np.asarray(tensors[name].as_numpy(), dtype=np.float32).reshape(-1) for name in self._names]
            matrix = np.stack(columns, axis=1)
        tensor = InferInput("features", list(matrix.shape), "FP32")
        tensor.set_data_from_numpy(matrix, binary_data=True)
        return InferRequest(model_name=self.name, infer_inputs=[tensor], request_outputs=None)

    async def postprocess(self, result: Any, _headers: Any = None, _response_headers: Any = None) -> InferResponse:
        """Calibrate and bucket."""
        probability = np.clip(result.outputs[0].as_numpy().reshape(-1).astype(np.float64), 1e-9, 1 - 1e-9)
        calibration = self._contract.calibration
        log_odds = calibration.slope * np.log(probability / (1 - probability)) + calibration.intercept
        probability = 1 / (1 + np.exp(-log_odds))
        score = (1 + np.searchsorted(self._contract.buckets.edges, probability, side="right")).astype(np.int32)
        outputs = [InferOutput("score", [len(score)], "INT32"), InferOutput("probability", [len(score)], "FP64")]
        outputs[0].set_data_from_numpy(score, binary_data=False)
        outputs[1].set_data_from_numpy(probability, binary_data=False)
        return InferResponse(response_id=result.id, model_name=self.name, infer_outputs=outputs)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(parents=[model_server.parser], description=__doc__, conflict_handler="resolve")
    parser.add_argument("--model-dir", type=Path, required=True)
    options, _ = parser.parse_known_args()
    contract = files.read(options.model_dir / "contract.json")
    ModelServer().start([StockTransformer(options.model_name, contract)])


if __name__ == "__main__":
    main()
