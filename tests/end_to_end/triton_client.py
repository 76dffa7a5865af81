"""tritonclient over gRPC, apart: it and the KServe SDK define the same protobuf names and can't share a process.

Reads a question as JSON from stdin: `target`, `authority` (if it isn't the target), `columns` as [name, datatype,
values], `outputs`, `parameters`. Writes to stdout what tritonclient makes of the answers, synchronous and asynchronous,
and of the server's state and metadata.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

MODEL = "lead-scoring"
DTYPES = {"BYTES": np.object_, "FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_}


def main() -> None:
    """Ask everything."""
    question = json.load(sys.stdin)
    inputs = [_tensor(*column) for column in question["columns"]]
    asked = {"inputs": inputs, "request_id": "triton-1", "parameters": question["parameters"], "client_timeout": 60}
    named = [("grpc.default_authority", question["authority"])] if "authority" in question else None
    with triton.InferenceServerClient(question["target"], channel_args=named) as client:
        found = {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": client.is_model_ready(MODEL),
            "server": client.get_server_metadata(as_json=True),
            "model": client.get_model_metadata(MODEL, as_json=True),
            "sync": _columns(client.infer(MODEL, **asked), question["outputs"]),
            "unknown": _refusal(lambda: client.infer("another", **asked)),
        }
    found["aio"] = _columns(asyncio.run(_infer(question["target"], named, asked)), question["outputs"])
    json.dump(found, sys.stdout)


async def _infer(target: str, named: Any, asked: dict[str, Any]) -> Any:
    async with triton_aio.InferenceServerClient(target, channel_args=named) as client:
        assert await client.is_server_ready()
        return await client.infer(MODEL, **asked)


def _tensor(name: str, datatype: str, values: list[Any]) -> Any:
    array = np.array(values, dtype=DTYPES[datatype])
    tensor = triton.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor


def _columns(result: Any, outputs: list[str]) -> dict[str, Any]:
    assert result.get_response().id == "triton-1"
    found = {}
    for name in outputs:
        values = result.as_numpy(name).tolist()
        found[name] = [value.decode() if isinstance(value, bytes) else value for value in values]
    return found


def _refusal(ask: Any) -> str:
    try:
        ask()
    except InferenceServerException as error:
        return f"{error.status()}: {error.message()}"
    return "answered"


if __name__ == "__main__":
    main()
