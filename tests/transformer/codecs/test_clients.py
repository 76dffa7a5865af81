"""Third-party clients write what we read and read what we write; no network in between."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import tritonclient.http as triton
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest, ModelInferResponse
from kserve.protocol.infer_type import InferInput, InferRequest, InferResponse, RequestedOutput
from lead_transformer import metadata, v1_json, v2_json, v2_proto
from lead_transformer.error_bodies import to_http

from lead_scoring.contract.types import Contract
from lead_scoring.errors import InvalidLeads
from tests.support.small_model import records
from tests.transformer.codecs.examples import HEADER, answer, assemble, columns, filled, v1_body

LEADS = records(5, seed=11)
EXPECTED = assemble(v1_json.decode(v1_body(LEADS)))
DTYPES: dict[str, Any] = {"BYTES": object, "FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_}


def arrays() -> list[tuple[str, str, np.ndarray[Any, Any]]]:
    return [
        (name, datatype, np.array(filled(datatype, values), dtype=DTYPES[datatype]))
        for name, datatype, values in columns(LEADS)
    ]


def expect_the_leads(request: Any) -> None:
    batch = assemble(request)
    assert batch.report.total == 0
    assert batch.lead_ids == EXPECTED.lead_ids
    assert np.array_equal(batch.raw, EXPECTED.raw, equal_nan=True)


def triton_inputs(*, binary: bool) -> list[triton.InferInput]:
    inputs = []
    for name, datatype, values in arrays():
        tensor = triton.InferInput(name, list(values.shape), datatype)
        in_bytes = binary or (datatype == "FP64" and bool(np.isnan(values).any()))  # it writes NaN into its JSON
        tensor.set_data_from_numpy(values, binary_data=in_bytes)
        inputs.append(tensor)
    return inputs


@pytest.mark.parametrize("binary", [True, False])
def test_triton_over_http_is_understood(binary: bool) -> None:
    body, length = triton.InferenceServerClient.generate_request_body(
        triton_inputs(binary=binary), request_id="r7", parameters={"explain": True}, priority=3, timeout=10
    )
    request = v2_json.decode(body, {} if length is None else {HEADER: str(length)})
    assert (request.id, request.options.explain, request.binary_default) == ("r7", True, True)
    expect_the_leads(request)


@pytest.mark.parametrize("binary", [True, False])
def test_triton_over_http_understands(binary: bool) -> None:
    names = ["score", "probability", "variant", "reasons"]
    body, length = triton.InferenceServerClient.generate_request_body(
        triton_inputs(binary=True),
        outputs=[triton.InferRequestedOutput(name, binary_data=binary) for name in names],
        request_id="r7",
    )
    truth = answer(5, reasons=True)
    response, headers = v2_json.encode(v2_json.decode(body, {HEADER: str(length)}), truth)
    assert (HEADER in dict(headers)) is binary
    length = int(dict(headers)[HEADER]) if binary else None
    result = triton.InferenceServerClient.parse_response_body(response, header_length=length)
    assert result.get_response()["id"] == "r7"
    assert result.as_numpy("score").tolist() == truth.score.tolist()
    assert result.as_numpy("score").dtype == np.int32
    assert result.as_numpy("probability").tobytes() == truth.probability.tobytes()
    variant = result.as_numpy("variant").tolist()
    assert variant == ([b"v7-canary"] * 5 if binary else ["v7-canary"] * 5)
    assert orjson.loads(result.as_numpy("reasons")[0])[1]["feature"] == "size"


def test_triton_finds_the_error_line() -> None:
    class Response:
        """What its error reader looks at."""

        status_code = 400

        def read(self) -> bytes:
            with pytest.raises(InvalidLeads) as caught:
                v2_json.decode(b"{}", {})
            return to_http(caught.value, "r")[2]

    from tritonclient.http._utils import _get_error

    assert _get_error(Response()).message().startswith("$.inputs: expected")


def sdk_request(*, binary: bool, **parameters: Any) -> InferRequest:
    inputs = []
    for name, datatype, values in arrays():
        tensor = InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        inputs.append(tensor)
    outputs = [RequestedOutput(name, {"binary_data": binary}) for name in ("score", "probability", "lead_id")]
    return InferRequest("lead-scoring", inputs, request_id="r8", parameters=parameters, request_outputs=outputs)


@pytest.mark.parametrize("binary", [True, False])
def test_the_kserve_sdk_over_rest_is_understood_and_understands(binary: bool) -> None:
    body, length = sdk_request(binary=binary, explain=False).to_rest()
    if isinstance(body, dict):
        body = orjson.dumps(body)
    request = v2_json.decode(body, {} if length is None else {HEADER: str(length)})
    assert request.id == "r8"
    expect_the_leads(request)
    truth = answer(5)
    response, headers = v2_json.encode(request, truth)
    result = InferResponse.from_bytes(response, int(dict(headers).get(HEADER, len(response))))
    assert result.id == "r8"
    assert result.parameters["total_leads"] == 5
    assert result.get_output_by_name("probability").as_numpy().tobytes() == truth.probability.tobytes()
    assert result.get_output_by_name("lead_id").data == list(truth.lead_ids)


@pytest.mark.parametrize("binary", [True, False])
def test_the_kserve_sdk_over_grpc_is_understood_and_understands(binary: bool) -> None:
    sent = sdk_request(binary=binary, explain=True, reasons=2, as_of="2026-06-01T00:00:00Z").to_grpc()
    message = ModelInferRequest.FromString(sent.SerializeToString())
    assert bool(message.raw_input_contents) is binary
    request = v2_proto.decode(message)
    assert (request.options.explain, request.options.reasons, request.options.as_of) == (True, 2, 1780272000.0)
    expect_the_leads(request)
    truth = answer(5, reasons=True)
    response = v2_proto.encode(message, request, truth)
    assert bool(response.raw_output_contents) is binary
    result = InferResponse.from_grpc(ModelInferResponse.FromString(response.SerializeToString()))
    assert result.id == "r8"
    assert result.get_output_by_name("probability").as_numpy().tobytes() == truth.probability.tobytes()
    assert result.get_output_by_name("score").as_numpy().tolist() == truth.score.tolist()


TRITON_GRPC = '''
"""Runs apart: tritonclient and the KServe SDK define the same protobuf names and can't share a process."""
import pathlib, sys
import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2
from tritonclient.grpc._utils import _get_inference_request
from google.protobuf import json_format

folder = pathlib.Path(sys.argv[1])
if sys.argv[2] == "write":
    inputs = []
    for path in sorted(folder.glob("*.npy")):
        _, name, datatype = path.stem.split("+")
        values = np.load(path)
        values = values.astype(object) if datatype == "BYTES" else values
        tensor = triton.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values)
        inputs.append(tensor)
    request = _get_inference_request(
        model_name="lead-scoring", inputs=inputs, model_version="", request_id="r9",
        outputs=[triton.InferRequestedOutput("probability"), triton.InferRequestedOutput("variant")],
        sequence_id=0, sequence_start=False, sequence_end=False, priority=0, timeout=None,
        parameters={"prediction_time": True, "as_of": "2026-06-01T00:00:00Z"},
    )
    (folder / "request").write_bytes(request.SerializeToString())
else:
    result = triton.InferResult(service_pb2.ModelInferResponse.FromString((folder / "response").read_bytes()))
    assert result.get_response().id == "r9"
    np.save(folder / "probability", result.as_numpy("probability"))
    assert result.as_numpy("variant").tolist() == [b"v7-canary"] * 5
    metadata = service_pb2.ModelMetadataResponse.FromString((folder / "metadata").read_bytes())
    (folder / "metadata.json").write_text(json_format.MessageToJson(metadata))
'''


def run_triton(folder: Path, task: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRITON_GRPC, str(folder), task], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_triton_over_grpc_is_understood_and_understands(tmp_path: Path, contract: Contract) -> None:
    for position, (name, datatype, values) in enumerate(arrays()):
        np.save(
            tmp_path / f"{position:03}+{name}+{datatype}.npy", values.astype("U") if datatype == "BYTES" else values
        )
    run_triton(tmp_path, "write")
    message = ModelInferRequest.FromString((tmp_path / "request").read_bytes())
    request = v2_proto.decode(message)
    assert (request.id, request.options.prediction_time, request.options.as_of) == ("r9", True, 1780272000.0)
    expect_the_leads(request)
    truth = answer(5)
    (tmp_path / "response").write_bytes(v2_proto.encode(message, request, truth).SerializeToString())
    (tmp_path / "metadata").write_bytes(metadata.model_proto(contract).SerializeToString())
    run_triton(tmp_path, "read")
    assert np.load(tmp_path / "probability.npy").tobytes() == truth.probability.tobytes()
    told = orjson.loads((tmp_path / "metadata.json").read_bytes())
    rest = metadata.model(contract)
    assert [tensor["name"] for tensor in told["inputs"]] == [tensor["name"] for tensor in rest["inputs"]]
    assert [tensor["datatype"] for tensor in told["outputs"]] == [tensor["datatype"] for tensor in rest["outputs"]]
