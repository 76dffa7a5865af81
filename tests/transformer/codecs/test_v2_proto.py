from __future__ import annotations

from collections.abc import Callable

import numpy as np
import orjson
import pytest
from kserve.protocol.grpc.grpc_predict_v2_pb2 import InferParameter, InferTensorContents, ModelInferRequest
from lead_transformer import v2_binary, v2_proto
from lead_transformer.envelope import MAX_TENSORS
from lead_transformer.messages import Options

from lead_scoring.errors import InvalidLeads
from tests.support.small_model import records
from tests.transformer.codecs.examples import CONTENTS, answer, assemble, frame, raw_message, typed_message

PERSONAL = "jane.doe@example.com"
Change = Callable[[ModelInferRequest], object]


def problems_of(message: ModelInferRequest) -> list[tuple[str, str]]:
    with pytest.raises(InvalidLeads) as caught:
        v2_proto.decode(message)
    assert PERSONAL not in str(caught.value.problems)
    return [(problem.path, problem.reason) for problem in caught.value.problems]


def one() -> ModelInferRequest:
    return ModelInferRequest(
        inputs=[
            {"name": "lead_id", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [b"a"]}},
            {"name": "size", "datatype": "INT64", "shape": [1], "contents": {"int64_contents": [5]}},
        ]
    )


@pytest.mark.parametrize("make", [typed_message, raw_message])
def test_reads_whole_requests(make: Callable[..., ModelInferRequest]) -> None:
    leads = records(20, seed=4)
    batch = assemble(v2_proto.decode(make(leads)))
    assert batch.report.total == 0
    assert batch.lead_ids == [lead["lead_id"] for lead in leads]


@pytest.mark.parametrize(
    ("name", "parameter", "options"),
    [
        ("explain", InferParameter(bool_param=True), Options(explain=True)),
        ("reasons", InferParameter(int64_param=7), Options(reasons=7)),
        ("prediction_time", InferParameter(bool_param=True), Options(prediction_time=True)),
        ("as_of", InferParameter(int64_param=1780272000), Options(as_of=1780272000.0)),
        ("as_of", InferParameter(string_param="2026-06-01T00:00:00Z"), Options(as_of=1780272000.0)),
        ("priority", InferParameter(int64_param=1), Options()),
        ("other", InferParameter(), Options()),
    ],
)
def test_reads_known_parameters_and_ignores_others(name: str, parameter: InferParameter, options: Options) -> None:
    message = one()
    message.parameters[name].CopyFrom(parameter)
    assert v2_proto.decode(message).options == options


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("explain", InferParameter(string_param=PERSONAL)),
        ("explain", InferParameter(int64_param=1)),
        ("explain", InferParameter()),
        ("reasons", InferParameter(int64_param=21)),
        ("reasons", InferParameter(bool_param=True)),
        ("as_of", InferParameter(string_param=PERSONAL)),
        ("as_of", InferParameter(int64_param=2**62)),
    ],
)
def test_refuses_known_parameters_with_wrong_values(name: str, parameter: InferParameter) -> None:
    message = one()
    message.parameters[name].CopyFrom(parameter)
    assert problems_of(message) == [(f"$.parameters.{name}", "invalid_parameter")]


def test_refuses_a_kind_of_parameter_that_only_other_servers_know() -> None:
    # Triton's protocol has a double (field 4); here it arrives as a parameter without a value.
    message = one()
    message.parameters["as_of"].CopyFrom(InferParameter.FromString(b"\x21" + np.float64(1.5).tobytes()))
    assert problems_of(message) == [("$.parameters.as_of", "invalid_parameter")]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: m.ClearField("inputs"), [("$.inputs", "batch_size")]),
        (lambda m: [m.inputs.add() for _ in range(MAX_TENSORS)], [("$.inputs", "batch_size")]),
        (lambda m: [m.outputs.add(name="score") for _ in range(MAX_TENSORS + 1)], [("$.outputs", "batch_size")]),
        (lambda m: m.outputs.add(name=PERSONAL), [("$.outputs[0].name", "unknown_output")]),
        (
            lambda m: [m.outputs.add(name="score"), m.outputs.add(name="score")],
            [("$.outputs[1].name", "duplicate_output")],
        ),
        (lambda m: setattr(m, "id", PERSONAL * 100), [("$.id", "invalid_id")]),
        (lambda m: setattr(m.inputs[1], "datatype", PERSONAL), [("$.inputs[1].datatype", "wrong_datatype")]),
        (lambda m: setattr(m.inputs[1], "datatype", "FP16"), [("$.inputs[1].datatype", "wrong_datatype")]),
        (lambda m: setattr(m.inputs[1], "datatype", "FP64"), [("$.inputs[1].contents", "wrong_contents")]),
        (lambda m: m.inputs[1].contents.fp64_contents.append(1), [("$.inputs[1].contents", "wrong_contents")]),
        (lambda m: m.inputs[1].ClearField("shape"), [("$.inputs[1].shape", "wrong_shape")]),
        (lambda m: m.inputs[1].shape.extend([1] * 8), [("$.inputs[1].shape", "wrong_shape")]),
        (lambda m: m.raw_input_contents.append(b"\5\0\0\0\0\0\0\0"), [("$.raw_input_contents", "wrong_length")]),
        (
            lambda m: m.raw_input_contents.extend([b"\1\0\0\0a", b"\0" * 8]),
            [("$.inputs[0].contents", "ambiguous"), ("$.inputs[1].contents", "ambiguous")],
        ),
    ],
)
def test_tells_every_envelope_problem(change: Change, expected: list[tuple[str, str]]) -> None:
    message = one()
    change(message)
    assert problems_of(message) == expected


@pytest.mark.parametrize("datatype", [name for name in v2_binary.DATATYPES if name not in ("FP16", "BF16")])
@pytest.mark.parametrize("field", [field.name for field in InferTensorContents.DESCRIPTOR.fields])
def test_takes_each_datatype_from_its_field_alone(datatype: str, field: str) -> None:
    right = {
        "BOOL": "bool_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
        "UINT64": "uint64_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
        "INT64": "int64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
    }[datatype]  # fmt: skip
    value = b"x" if field == "bytes_contents" else 1
    message = ModelInferRequest(
        inputs=[{"name": "size", "datatype": datatype, "shape": [1], "contents": {field: [value]}}]
    )
    if field == right:
        assert list((v2_proto.decode(message).tensors or [])[0].data) == [value]
    else:
        assert problems_of(message) == [("$.inputs[0].contents", "wrong_contents")]


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "path", "reason"),
    [
        ("INT64", [1], b"\0" * 7, "$.raw_input_contents[1]", "wrong_length"),
        ("INT64", [2], b"\0" * 8, "$.raw_input_contents[1]", "wrong_length"),
        ("INT64", [2**62, 2**62], b"\0" * 8, "$.raw_input_contents[1]", "wrong_length"),
        ("BYTES", [1], b"\xff\xff\xff\xff", "$.raw_input_contents[1]", "wrong_length"),
        ("NUMBER", [1], b"\0" * 8, "$.inputs[1].datatype", "wrong_datatype"),
        ("INT64", [], b"\0" * 8, "$.inputs[1].shape", "wrong_shape"),
    ],
)
def test_refuses_raw_bytes_that_are_not_the_tensor(
    datatype: str, shape: list[int], raw: bytes, path: str, reason: str
) -> None:
    message = ModelInferRequest(
        inputs=[
            {"name": "lead_id", "datatype": "BYTES", "shape": [1]},
            {"name": "size", "datatype": datatype, "shape": shape},
        ],
        raw_input_contents=[frame("BYTES", ["a"]), raw],
    )
    assert problems_of(message) == [(path, reason)]


def test_missing_contents_are_found_by_the_assembly() -> None:
    message = one()
    message.inputs[1].ClearField("contents")
    batch = assemble(v2_proto.decode(message))
    assert ("$.inputs[1].data", "wrong_length") in [(p.path, p.reason) for p in batch.report.structural]


def test_answers_typed_with_the_same_bits() -> None:
    message, truth = one(), answer(3, reasons=True)
    message.id = "r1"
    message.parameters["explain"].bool_param = True
    response = v2_proto.encode(message, v2_proto.decode(message), truth)
    assert (response.id, response.model_name, response.model_version) == ("r1", "lead-scoring", "7")
    assert response.parameters["request_id"].string_param == "request-1"
    assert response.parameters["timestamp"].string_param == "2026-11-21T10:00:00.123Z"
    assert response.parameters["total_leads"].int64_param == 3
    assert response.parameters["processing_time_ms"].string_param == "12.346"
    outputs = {output.name: output for output in response.outputs}
    assert list(outputs) == [
        "score",
        "probability",
        "confidence",
        "features_used",
        "model_version",
        "variant",
        "reasons",
    ]
    assert all(list(output.shape) == [3] for output in response.outputs)
    assert not response.raw_output_contents
    assert np.array(outputs["probability"].contents.fp64_contents).tobytes() == truth.probability.tobytes()
    assert list(outputs["score"].contents.int_contents) == truth.score.tolist()
    assert list(outputs["variant"].contents.bytes_contents) == [b"v7-canary"] * 3
    assert orjson.loads(outputs["reasons"].contents.bytes_contents[0])[1]["feature"] == "size"


def test_answers_raw_to_the_raw() -> None:
    message, truth = raw_message(records(3)), answer(3)
    message.outputs.add(name="lead_id")
    message.outputs.add(name="confidence")
    response = v2_proto.encode(message, v2_proto.decode(message), truth)
    assert [output.name for output in response.outputs] == ["lead_id", "confidence"]
    assert not any(output.HasField("contents") for output in response.outputs)
    assert list(response.raw_output_contents) == [frame("BYTES", truth.lead_ids), truth.confidence.tobytes()]


def test_the_contents_table_of_the_tests_is_that_of_the_protocol() -> None:
    assert set(CONTENTS.values()) <= {field.name for field in one().inputs[0].contents.DESCRIPTOR.fields}
