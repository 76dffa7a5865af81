"""The metadata is enough to build a client from, also for those who know nothing but V2."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest
from kserve.protocol.rest.v2_datamodels import ModelMetadataResponse, ServerMetadataResponse
from lead_transformer import metadata, v2_json, v2_proto
from lead_transformer.outputs import OUTPUTS

from lead_scoring.contract.types import Contract
from lead_scoring.core.features import encode
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.errors import InvalidLeads
from tests.support.small_model import FEATURES
from tests.transformer.codecs.examples import PLAN, answer, assemble, frame

V2_FIELDS = {"name", "datatype", "shape"}


def test_the_kserve_sdk_reads_it(contract: Contract) -> None:
    model = ModelMetadataResponse.model_validate_json(orjson.dumps(metadata.model(contract)))
    assert (model.name, model.versions) == ("lead-scoring", ["1"])
    assert [tensor.name for tensor in model.inputs] == ["lead_id", *(feature.name for feature in FEATURES)]
    assert [tensor.name for tensor in model.outputs] == list(OUTPUTS)
    server = ServerMetadataResponse.model_validate_json(orjson.dumps(metadata.server(version="1.2.3")))
    assert (server.name, server.version) == ("lead-transformer", "1.2.3")
    assert "binary_tensor_data" in server.extensions


def test_grpc_says_the_same_as_rest(contract: Contract) -> None:
    rest, proto = metadata.model(contract), metadata.model_proto(contract)
    assert (proto.name, list(proto.versions), proto.platform) == (rest["name"], rest["versions"], rest["platform"])
    for side in ("inputs", "outputs"):
        said = [(t.name, t.datatype, list(t.shape)) for t in getattr(proto, side)]
        assert said == [(t["name"], t["datatype"], t["shape"]) for t in rest[side]]
    server = metadata.server_proto(version="1.2.3")
    assert {"name": server.name, "version": server.version, "extensions": list(server.extensions)} == metadata.server(
        version="1.2.3"
    )


def test_every_input_says_what_it_takes(contract: Contract) -> None:
    inputs = {tensor["name"]: tensor for tensor in metadata.model(contract)["inputs"]}
    assert inputs["size"] == {
        "name": "size",
        "datatype": "INT64",
        "shape": [-1],
        "parameters": {
            "type": "integer",
            "unit": "people",
            "required": True,
            "accepted_datatypes": inputs["size"]["parameters"]["accepted_datatypes"],
            "minimum": 1.0,
            "maximum": 1_000_000.0,
            "out_of_range": "reject",
        },
    }
    assert inputs["size"]["parameters"]["accepted_datatypes"][0] == "INT64"
    assert inputs["industry"]["parameters"]["categories"] == ["saas", "retail", "bank", "other"]
    assert inputs["industry"]["parameters"]["unknown_category"] == "other"
    assert inputs["seniority"]["parameters"]["required"] is False
    assert inputs["last_seen"]["parameters"]["type"] == "timestamp"
    assert inputs["lead_id"]["parameters"]["required"] is True


def test_every_output_says_what_it_is(contract: Contract) -> None:
    outputs = {tensor["name"]: tensor for tensor in metadata.model(contract)["outputs"]}
    assert outputs["score"]["parameters"]["minimum"] == 1
    assert outputs["score"]["parameters"]["maximum"] == len(contract.buckets.edges) + 1
    assert outputs["features_used"]["parameters"]["maximum"] == len(FEATURES)
    defaults = [name for name, tensor in outputs.items() if tensor["parameters"]["default"]]
    assert defaults == ["score", "probability", "confidence", "features_used", "model_version", "variant"]
    assert all(tensor["parameters"]["description"] for tensor in outputs.values())


def test_the_outputs_come_as_the_metadata_says(contract: Contract) -> None:
    asked = {"inputs": [{"name": "lead_id", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}
    asked["outputs"] = [{"name": tensor["name"]} for tensor in metadata.model(contract)["outputs"]]
    body, _ = v2_json.encode(v2_json.decode(orjson.dumps(asked), {}), answer(3, reasons=True))
    got = [(tensor["name"], tensor["datatype"], len(tensor["shape"])) for tensor in orjson.loads(body)["outputs"]]
    assert got == [(t["name"], t["datatype"], len(t["shape"])) for t in metadata.model(contract)["outputs"]]


def sample(tensor: dict[str, Any]) -> Any:
    """Make a value from what the metadata says of an input and from nothing else."""
    about = tensor["parameters"]
    kind = about["type"]
    if kind == "id":
        return "x" * about["max_bytes"]
    if kind == "category":
        return about["categories"][-1]
    if kind == "boolean":
        return True
    if kind == "timestamp":
        return "2026-05-01T00:00:00Z"
    low = about.get("minimum", -1.0)
    value = about.get("maximum", low + 1.0)
    return int(value) if kind == "integer" else value


def test_a_client_built_from_it_is_accepted(contract: Contract) -> None:
    inputs = [
        {"name": t["name"], "datatype": t["datatype"], "shape": [1], "data": [sample(t)]}
        for t in metadata.model(contract)["inputs"]
    ]
    batch = assemble(v2_json.decode(orjson.dumps({"inputs": inputs}), {}))
    assert batch.report.total == 0
    assert not encode(PLAN, batch.raw, 1780272000.0).findings


def test_a_client_built_from_the_packed_form_is_accepted(contract: Contract) -> None:
    packed = metadata.model(contract)["parameters"]["packed_input"]
    assert packed["order"] == list(FeaturePlan.of(contract).names)
    for datatype in packed["accepted_datatypes"]:
        width = packed["shape"][1]
        message = ModelInferRequest(
            raw_input_contents=[frame("BYTES", ["a"]), np.ones(width, triton(datatype)).tobytes()]
        )
        message.inputs.add(name="lead_id", datatype="BYTES", shape=[1])
        message.inputs.add(name=packed["name"], datatype=datatype, shape=[1, width])
        batch = assemble(v2_proto.decode(message))
        assert batch.report.total == 0
        assert batch.raw.tolist() == [[1.0] * width]


def triton(datatype: str) -> Any:
    return {"FP64": np.float64, "FP32": np.float32}[datatype]


def test_every_listed_request_parameter_is_read(contract: Contract) -> None:
    wrong: dict[str, Any] = {name: [] for name in metadata.model(contract)["parameters"]["request_parameters"]}
    document = {"inputs": [{"name": "a", "datatype": "BYTES", "shape": [1], "data": ["a"]}], "parameters": wrong}
    with pytest.raises(InvalidLeads) as caught:
        v2_json.decode(orjson.dumps(document), {})
    assert {problem.path for problem in caught.value.problems} == {f"$.parameters.{name}" for name in wrong}
