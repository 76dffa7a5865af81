"""Score leads with NVIDIA's client, in a process of its own: its gRPC stubs and the SDK's can't live in one.

Usage: ``python -m tests.transformer.service.triton_client grpc|http TARGET``; on stdin `ids`, `matrix`, `as_of`.
"""

from __future__ import annotations

import importlib
import json
import sys

import numpy as np

NAMES = ("score", "probability", "confidence", "features_used")


def main() -> None:
    flavour, target = sys.argv[1:]
    triton = importlib.import_module(f"tritonclient.{flavour}")
    asked = json.load(sys.stdin)
    matrix = np.array(asked["matrix"], dtype=np.float64)
    ids = triton.InferInput("lead_id", [len(matrix)], "BYTES")
    ids.set_data_from_numpy(np.array(asked["ids"], dtype=object))
    features = triton.InferInput("features", list(matrix.shape), "FP64")
    features.set_data_from_numpy(matrix)
    outputs = [triton.InferRequestedOutput(name) for name in NAMES]
    client = triton.InferenceServerClient(target)
    assert client.is_server_ready()
    assert client.is_model_ready("lead-scoring")
    client.get_model_metadata("lead-scoring")
    result = client.infer(
        "lead-scoring", [ids, features], outputs=outputs, parameters={"as_of": asked["as_of"]}, request_id="mine"
    )
    json.dump({name: result.as_numpy(name).tolist() for name in NAMES}, sys.stdout)
    client.close()


if __name__ == "__main__":
    main()
