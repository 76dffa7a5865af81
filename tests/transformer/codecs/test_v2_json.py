from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from lead_transformer import v2_json
from lead_transformer.envelope import MAX_TENSORS
from lead_transformer.messages import Options, OutputSpec

from lead_scoring.errors import InvalidLeads, RequestError, ServiceError
from tests.support.small_model import FEATURES, records
from tests.transformer.codecs.examples import HEADER, PLAN, answer, assemble, binary_body, frame, v2_document

PERSONAL = "jane.doe@example.com"
ID = {"name": "lead_id", "datatype": "BYTES", "shape": [1], "data": ["a"]}
SIZE = {"name": "size", "datatype": "INT64", "shape": [1], "data": [5]}


def decode(document: Any, headers: dict[str, str] | None = None) -> Any:
    return v2_json.decode(document if isinstance(document, bytes) else orjson.dumps(document), headers or {})


def problems_of(document: Any, headers: dict[str, str] | None = None) -> list[tuple[str, str]]:
    with pytest.raises(InvalidLeads) as caught:
        decode(document, headers)
    assert caught.value.status == 400
    text = " ".join(map(str, caught.value.problems)) + str(caught.value)
    assert PERSONAL not in text
    for problem in caught.value.problems:
        assert problem.expected
        assert problem.got
        assert problem.remedy
    return [(problem.path, problem.reason) for problem in caught.value.problems]


def test_reads_named_tensors_as_they_were_sent() -> None:
    request = decode({"id": "r1", "inputs": [ID, SIZE]})
    assert request.id == "r1"
    assert [(t.name, t.datatype, list(t.shape), t.data) for t in request.tensors] == [
        ("lead_id", "BYTES", [1], ["a"]),
        ("size", "INT64", [1], [5]),
    ]
    assert request.records is None
    assert request.outputs is None
    assert request.options == Options()


@pytest.mark.parametrize(
    ("parameters", "options"),
    [
        ({}, Options()),
        ({"explain": True}, Options(explain=True)),
        ({"explain": False, "reasons": 20}, Options(reasons=20)),
        ({"reasons": 1, "explain": None}, Options(reasons=1)),
        ({"prediction_time": True}, Options(prediction_time=True)),
        ({"as_of": "2026-06-01T00:00:00Z"}, Options(as_of=1780272000.0)),
        ({"as_of": "2026-06-01T02:00:00+02:00"}, Options(as_of=1780272000.0)),
        ({"as_of": "2026-06-01"}, Options(as_of=1780272000.0)),
        ({"as_of": 1780272000}, Options(as_of=1780272000.0)),
        ({"as_of": 1780272000.5}, Options(as_of=1780272000.5)),
        ({"content_type": "np", "priority": 3, "sequence_id": {"x": [1]}, "timeout": 1.5}, Options()),
    ],
)
def test_reads_known_parameters_and_ignores_others(parameters: dict[str, Any], options: Options) -> None:
    assert decode({"inputs": [ID], "parameters": parameters}).options == options


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("explain", value) for value in (1, "true", [], {}, 0.5)],
        *[("prediction_time", value) for value in (0, "false", [], {}, 0.5)],
        *[("binary_data_output", value) for value in (1, "true", [], {}, 0.5)],
        *[("reasons", value) for value in (0, 21, -1, 1.0, 1.5, True, "5", [], {}, 2**63)],
        *[("as_of", value) for value in (True, "", "soon", PERSONAL, "2026-13-01", 1e300, -1e300, [], {}, 2**63)],
        *[("as_of", value) for value in ("9" * 10_000, "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59")],
    ],
)
def test_refuses_known_parameters_with_wrong_values(name: str, value: Any) -> None:
    assert problems_of({"inputs": [ID], "parameters": {name: value}}) == [(f"$.parameters.{name}", "invalid_parameter")]


@pytest.mark.parametrize("nothing", [None, []])
def test_takes_null_for_what_may_be_left_out(nothing: Any) -> None:
    request = decode({"id": None, "parameters": None, "outputs": nothing, "inputs": [{**ID, "parameters": None}]})
    assert (request.id, request.outputs, request.options) == (None, None, Options())


@pytest.mark.parametrize(
    "document",
    [
        {"model_name": "lead-scoring", "inputs": [ID]},
        {"inputs": [{**ID, "content": 1}]},
        {"inputs": [{**ID, "parameters": {"content_type": "str"}}]},
    ],
)
def test_ignores_what_other_clients_add(document: Any) -> None:
    assert decode(document).tensors[0].data == ["a"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "malformed_json"),
        (b" ", "malformed_json"),
        (b"{", "malformed_json"),
        (b'{"inputs": [NaN]}', "malformed_json"),
        (b'{"inputs": [Infinity]}', "malformed_json"),
        (b'{"inputs": [1e999]}', "malformed_json"),
        (b'{"inputs": [01]}', "malformed_json"),
        (b'{"inputs": []} {}', "malformed_json"),
        (b'\xef\xbb\xbf{"inputs": []}', "malformed_json"),
        (b'{"id": "\xff"}', "malformed_json"),
        (b'{"id": "\\ud800"}', "malformed_json"),
        (b'{"id": "\xed\xa0\x80"}', "malformed_json"),
        ('{"inputs": []}'.encode("utf-16"), "malformed_json"),
        (b"[" * 5000 + b"]" * 5000, "malformed_json"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "malformed_json"),
        (b'{"":":","x":' + b'{"a":' * 1000 + b"1" + b"}" * 1001, "malformed_json"),
        (b"[]", "wrong_type"),
        (b"null", "wrong_type"),
        (b'"' + PERSONAL.encode() + b'"', "wrong_type"),
        (b"5", "wrong_type"),
    ],
)
def test_refuses_what_is_not_a_json_object(body: bytes, reason: str) -> None:
    assert problems_of(body) == [("$", reason)]


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": [], "inputs": []}',
        b'{"inputs":[{"name":"lead_id","name":"size","datatype":"BYTES","shape":[1],"data":["a"]}]}',
        b'{"inputs":[{"name":"lead_id","datatype":"BYTES","shape":[1],"data":["a:b"]}],"id":"a","id":"b"}',
        b'{"inputs":[{"name":"lead_id","datatype":"BYTES","shape":[1],"data":["a\\u003ab"]}],"id":"a","id":"b"}',
        b'{"id" \n: "a", "i\\u0064"\t:"b", "inputs":[]}',
        b'{"parameters":{"explain":true,"explain":false},"inputs":[]}',
        b'{"inputs":[{"parameters":{"x":{"deep":1,"deep":2}}}]}',
    ],
)
def test_refuses_a_key_that_appears_twice(body: bytes) -> None:
    assert problems_of(body) == [("$", "duplicate_key")]


@pytest.mark.parametrize("text", ["a:b", 'say ": twice', "back\\slash:", " :", "\u003a", "::::"])
def test_takes_colons_in_texts_for_what_they_are(text: str) -> None:
    body = {"id": text, "parameters": {"other": {text: text}}, "inputs": [{**ID, "data": [text]}]}
    assert decode(body).tensors[0].data == [text]
    assert decode({"inputs": [{**ID, "data": [text]}]}).tensors[0].data == [text]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, [("$.inputs", "batch_size")]),
        ({"inputs": None}, [("$.inputs", "batch_size")]),
        ({"inputs": []}, [("$.inputs", "batch_size")]),
        ({"inputs": {}}, [("$.inputs", "batch_size")]),
        ({"inputs": PERSONAL}, [("$.inputs", "batch_size")]),
        ({"inputs": [ID] * (MAX_TENSORS + 1)}, [("$.inputs", "batch_size")]),
        ({"inputs": [1, None, PERSONAL, []]}, [(f"$.inputs[{i}]", "wrong_type") for i in range(4)]),
        (
            {"inputs": [{}]},
            [
                ("$.inputs[0].name", "wrong_type"),
                ("$.inputs[0].datatype", "wrong_type"),
                ("$.inputs[0].shape", "wrong_shape"),
            ],
        ),
        ({"inputs": [{**ID, "name": ["lead_id"]}]}, [("$.inputs[0].name", "wrong_type")]),
        ({"inputs": [{**ID, "name": {}}]}, [("$.inputs[0].name", "wrong_type")]),
        ({"inputs": [{**ID, "datatype": ["BYTES"]}]}, [("$.inputs[0].datatype", "wrong_type")]),
        ({"inputs": [{**ID, "datatype": 5}]}, [("$.inputs[0].datatype", "wrong_type")]),
        *[
            ({"inputs": [{**ID, "shape": shape}]}, [("$.inputs[0].shape", "wrong_shape")])
            for shape in (None, 1, "1", [], [[1]], ["1"], [1.0], [True], [None], [1] * 9, {"0": 1}, [1, "x"])
        ],
        ({"inputs": [{**ID, "data": None}]}, [("$.inputs[0].data", "missing_data")]),
        ({"inputs": [{**ID, "data": PERSONAL}]}, [("$.inputs[0].data", "missing_data")]),
        ({"inputs": [{**ID, "data": {"0": 1}}]}, [("$.inputs[0].data", "missing_data")]),
        ({"inputs": [{**ID, "data": 5}]}, [("$.inputs[0].data", "missing_data")]),
        ({"inputs": [{**ID, "parameters": []}]}, [("$.inputs[0].parameters", "wrong_type")]),
        ({"inputs": [{**ID, "parameters": {"binary_data_size": 1}}]}, [("$.inputs[0].data", "ambiguous")]),
        ({"inputs": [ID], "parameters": [1]}, [("$.parameters", "wrong_type")]),
        ({"inputs": [ID], "id": 5}, [("$.id", "invalid_id")]),
        ({"inputs": [ID], "id": ["a"]}, [("$.id", "invalid_id")]),
        ({"inputs": [ID], "id": "x" * 257}, [("$.id", "invalid_id")]),
        ({"inputs": [ID], "outputs": {}}, [("$.outputs", "batch_size")]),
        ({"inputs": [ID], "outputs": "score"}, [("$.outputs", "batch_size")]),
        ({"inputs": [ID], "outputs": ["score"]}, [("$.outputs[0]", "wrong_type")]),
        ({"inputs": [ID], "outputs": [{}]}, [("$.outputs[0]", "wrong_type")]),
        ({"inputs": [ID], "outputs": [{"name": {}}]}, [("$.outputs[0]", "wrong_type")]),
        ({"inputs": [ID], "outputs": [{"name": PERSONAL}]}, [("$.outputs[0].name", "unknown_output")]),
        (
            {"inputs": [ID], "outputs": [{"name": "score"}, {"name": "score"}]},
            [("$.outputs[1].name", "duplicate_output")],
        ),
        ({"inputs": [ID], "outputs": [{"name": "score"}] * (MAX_TENSORS + 1)}, [("$.outputs", "batch_size")]),
        (
            {"inputs": [ID], "outputs": [{"name": "score", "parameters": {"binary_data": 1}}]},
            [("$.outputs[0].parameters.binary_data", "invalid_parameter")],
        ),
        (
            {
                "id": 1,
                "parameters": {"explain": 1, "reasons": 0},
                "outputs": [{"name": "?"}],
                "inputs": [{**ID, "data": None}],
            },
            [
                ("$.id", "invalid_id"),
                ("$.parameters.explain", "invalid_parameter"),
                ("$.parameters.reasons", "invalid_parameter"),
                ("$.outputs[0].name", "unknown_output"),
                ("$.inputs[0].data", "missing_data"),
            ],
        ),
    ],
)
def test_tells_every_envelope_problem_at_once(document: Any, expected: list[tuple[str, str]]) -> None:
    assert problems_of(document) == expected


def test_caps_the_problems_it_lists_and_counts_them_all() -> None:
    with pytest.raises(InvalidLeads) as caught:
        decode({"inputs": [1] * 150})
    assert len(caught.value.problems) == 100
    assert caught.value.total == 150


@pytest.mark.parametrize(
    ("data", "shape"),
    [([1, 2, 3, 4, 5, 6, 7, 8] * 2, [2, 8]), ([[1, 2, 3, 4, 5, 6, 7, 8]] * 2, [2, 8])],
)
def test_flattens_rows_of_a_packed_tensor(data: list[Any], shape: list[int]) -> None:
    tensor = decode({"inputs": [{"name": "features", "datatype": "FP64", "shape": shape, "data": data}]}).tensors[0]
    assert list(tensor.data) == [1, 2, 3, 4, 5, 6, 7, 8] * 2


def test_flattens_a_column() -> None:
    column = {"name": "size", "datatype": "INT64", "shape": [3, 1], "data": [[1], [2], [3]]}
    assert decode({"inputs": [column]}).tensors[0].data == [1, 2, 3]


@pytest.mark.parametrize("rows", [[[1, 2], [3]], [[1, 2], 3], [[1, 2], None], [[1, 2, 3], [4]], [[], [1, 2]]])
def test_refuses_ragged_rows(rows: list[Any]) -> None:
    packed = {"name": "features", "datatype": "FP64", "shape": [2, 2], "data": rows}
    found = problems_of({"inputs": [packed]})
    assert [reason for _, reason in found] == ["ragged"]
    assert found[0][0].startswith("$.inputs[0].data[")


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        ([[5]], [1]),
        ([[[5]]], [1, 1]),
        ([{}], [1]),
        ([[5], [6]], [1]),
        ([PERSONAL], [1]),
        ([True], [1]),
        ([5], [-1]),
        ([5], [2**63]),
    ],
)
def test_leaves_values_and_shapes_to_the_assembly_which_refuses_them(data: list[Any], shape: list[int]) -> None:
    batch = assemble(decode({"inputs": [ID, {**SIZE, "data": data, "shape": shape}]}))
    assert batch.report.total > 0
    assert PERSONAL not in str(batch.report.problems(batch.layout))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (value, "invalid_header")
        for value in ("", "x", "-1", "+5", "1.0", "0x10", "1_0", "٣", "²", "9" * 5000, "0", "1e2", "5,5")
    ],
)
def test_refuses_a_header_that_is_no_length(header: str, reason: str) -> None:
    assert problems_of({"inputs": [ID]}, {HEADER: header})[0][1] == reason


def test_refuses_a_header_beyond_the_body_and_takes_one_of_just_its_size() -> None:
    body = orjson.dumps({"inputs": [ID]})
    assert problems_of(body, {HEADER: str(len(body) + 1)})[0][1] == "invalid_header"
    assert v2_json.decode(body, {HEADER: f" {len(body)} "}).tensors[0].data == ["a"]


def test_refuses_a_header_that_cuts_the_json() -> None:
    body = orjson.dumps({"inputs": [ID]})
    assert problems_of(body, {HEADER: str(len(body) - 1)}) == [("$", "malformed_json")]


def test_reads_bytes_after_the_json_in_the_order_of_the_inputs() -> None:
    text = {"name": "industry", "datatype": "BYTES", "shape": [1], "data": ["saas"]}
    body, headers = binary_body(
        [("size", "INT64", [1], frame("INT64", [7])), ("lead_id", "BYTES", [1], frame("BYTES", ["é"]))]
    )
    size = int(headers[HEADER])
    document = orjson.loads(body[:size])
    document["inputs"].insert(1, text)
    json_text = orjson.dumps(document)
    request = v2_json.decode(json_text + body[size:], {HEADER: str(len(json_text))})
    assert [tensor.name for tensor in request.tensors or ()] == ["size", "industry", "lead_id"]
    assert [list(tensor.data) for tensor in request.tensors or ()] == [[7], ["saas"], ["é".encode()]]


@pytest.mark.parametrize(
    ("sizes", "follow"),
    [([16], 15), ([16], 17), ([16], 0), ([0], 16), ([8, 8], 15), ([2**62, 2**62], 16), ([24], 16)],
)
def test_refuses_sizes_that_do_not_add_up_to_the_body(sizes: list[int], follow: int) -> None:
    inputs = [
        {"name": "size", "datatype": "INT64", "shape": [2], "parameters": {"binary_data_size": size}} for size in sizes
    ]
    text = orjson.dumps({"inputs": inputs})
    assert problems_of(text + b"\0" * follow, {HEADER: str(len(text))}) == [("$.inputs", "wrong_length")]


def test_refuses_bytes_that_no_tensor_claims() -> None:
    text = orjson.dumps({"inputs": [ID]})
    assert problems_of(text + b"\0", {HEADER: str(len(text))}) == [("$.inputs", "wrong_length")]


def test_refuses_a_binary_size_without_the_header() -> None:
    inputs = [{"name": "size", "datatype": "INT64", "shape": [1], "parameters": {"binary_data_size": 8}}]
    assert problems_of({"inputs": inputs}) == [("$.inputs", "wrong_length")]


@pytest.mark.parametrize("size", [-1, 1.5, "8", True, [], {}])
def test_refuses_a_binary_size_that_is_none(size: Any) -> None:
    inputs = [{"name": "size", "datatype": "INT64", "shape": [1], "parameters": {"binary_data_size": size}}]
    text = orjson.dumps({"inputs": inputs})
    found = problems_of(text + b"\0" * 8, {HEADER: str(len(text))})
    assert found == [("$.inputs[0].parameters.binary_data_size", "invalid_parameter")]


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "path", "reason"),
    [
        ("INT64", [2], b"\0" * 8, "data", "wrong_length"),
        ("INT64", [1], b"\0" * 9, "data", "wrong_length"),
        ("FP64", [2**40, 2**40], b"\0" * 8, "data", "wrong_length"),
        ("BYTES", [1], b"\5\0\0\0abcd", "data", "wrong_length"),
        ("BYTES", [1], b"\xff\xff\xff\xffabcd", "data", "wrong_length"),
        ("BYTES", [1], b"\1\0\0", "data", "wrong_length"),
        ("BYTES", [2], b"\1\0\0\0a\1\0", "data", "wrong_length"),
        ("BYTES", [1], b"\1\0\0\0ab", "data", "wrong_length"),
        ("BYTES", [2**50], b"\0" * 8, "data", "wrong_length"),
        ("FP128", [1], b"\0" * 16, "datatype", "wrong_datatype"),
        ("fp64", [1], b"\0" * 8, "datatype", "wrong_datatype"),
        (PERSONAL, [1], b"\0" * 8, "datatype", "wrong_datatype"),
    ],
)
def test_refuses_bytes_that_are_not_the_tensor(
    datatype: str, shape: list[int], raw: bytes, path: str, reason: str
) -> None:
    body, headers = binary_body([("size", datatype, shape, raw)])
    assert problems_of(body, headers) == [(f"$.inputs[0].{path}", reason)]


@pytest.mark.parametrize(("datatype", "width"), [("FP16", 2), ("BF16", 2)])
@pytest.mark.parametrize("binary", [True, False])
def test_half_precision_is_a_wrong_datatype_and_nothing_else(datatype: str, width: int, binary: bool) -> None:
    lead = [("lead_id", "BYTES", [1], frame("BYTES", ["a"]))]
    if binary:
        body, headers = binary_body([*lead, ("size", datatype, [1], b"\0" * width)])
    else:
        body, headers = orjson.dumps({"inputs": [ID, {**SIZE, "datatype": datatype}]}), {}
    batch = assemble(v2_json.decode(body, headers))
    told = [(p.path, p.reason) for p in batch.report.structural if p.path.startswith("$.inputs[1]")]
    assert told == [("$.inputs[1].datatype", "wrong_datatype")]


def test_negative_dimensions_are_a_wrong_shape_in_bytes_too() -> None:
    body, headers = binary_body([("lead_id", "BYTES", [-1], b"\0" * 4), ("size", "INT64", [-1], b"\0" * 8)])
    batch = assemble(v2_json.decode(body, headers))
    told = [(p.path, p.reason) for p in batch.report.structural if p.path != "$.inputs"]
    assert told == [("$.inputs[0].shape", "wrong_shape"), ("$.inputs[1].shape", "wrong_shape")]


def test_a_boolean_byte_other_than_0_and_1_is_seen() -> None:
    body, headers = binary_body([("customer", "BOOL", [1], b"\2")])
    assert v2_json.decode(body, headers).tensors[0].data.tolist() == [2]  # type: ignore[index, union-attr]


def test_numbers_in_bytes_are_not_copied() -> None:
    body, headers = binary_body([("features", "FP64", [2, 8], b"\0" * 128)])
    data = v2_json.decode(body, headers).tensors[0].data  # type: ignore[index]
    assert isinstance(data, np.ndarray)
    assert not data.flags.owndata


DEFAULT = ["score", "probability", "confidence", "features_used", "model_version", "variant"]


def respond(document: dict[str, Any], count: int = 3, *, reasons: bool = False) -> dict[str, Any]:
    body, headers = v2_json.encode(decode(document), answer(count, reasons=reasons))
    assert headers == [("content-type", "application/json")]
    return dict(orjson.loads(body))


def test_answers_with_the_default_outputs_and_what_it_says_of_itself() -> None:
    response = respond({"id": "r1", "inputs": [ID]})
    truth = answer(3)
    assert response["id"] == "r1"
    assert (response["model_name"], response["model_version"]) == ("lead-scoring", "7")
    assert response["parameters"] == {
        "request_id": "request-1",
        "timestamp": "2026-11-21T10:00:00.123Z",
        "total_leads": 3,
        "processing_time_ms": 12.346,
    }
    assert [(o["name"], o["datatype"], o["shape"]) for o in response["outputs"]] == [
        ("score", "INT32", [3]),
        ("probability", "FP64", [3]),
        ("confidence", "FP64", [3]),
        ("features_used", "INT32", [3]),
        ("model_version", "BYTES", [3]),
        ("variant", "BYTES", [3]),
    ]
    data = [output["data"] for output in response["outputs"]]
    assert data == [
        truth.score.tolist(),
        truth.probability.tolist(),
        truth.confidence.tolist(),
        truth.features_used.tolist(),
        ["7"] * 3,
        ["v7-canary"] * 3,
    ]


def test_leaves_out_the_id_if_there_was_none_and_echoes_an_empty_one() -> None:
    assert "id" not in respond({"inputs": [ID]})
    assert respond({"id": "", "inputs": [ID]})["id"] == ""


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ({}, DEFAULT),
        ({"outputs": [{"name": "variant"}, {"name": "score"}]}, ["variant", "score"]),
        ({"outputs": [{"name": "lead_id"}]}, ["lead_id"]),
        ({"parameters": {"explain": True}}, [*DEFAULT, "reasons"]),
        ({"parameters": {"explain": True, "prediction_time": True}}, [*DEFAULT, "reasons", "prediction_time_ms"]),
        ({"parameters": {"explain": True}, "outputs": [{"name": "score"}]}, ["score", "reasons"]),
        ({"outputs": [{"name": "reasons"}, {"name": "score"}]}, ["reasons", "score"]),
        ({"outputs": [{"name": "prediction_time_ms"}]}, ["prediction_time_ms"]),
    ],
)
def test_answers_with_what_was_asked_for_in_that_order(document: dict[str, Any], names: list[str]) -> None:
    response = respond({"inputs": [ID], **document}, reasons=True)
    assert [output["name"] for output in response["outputs"]] == names


def test_asking_for_an_output_asks_for_what_it_needs() -> None:
    outputs = [{"name": "reasons"}, {"name": "prediction_time_ms"}]
    assert decode({"inputs": [ID], "outputs": outputs}).options == Options(explain=True, prediction_time=True)


def test_reasons_are_json_in_text() -> None:
    response = respond({"inputs": [ID], "parameters": {"explain": True}}, reasons=True)
    first = orjson.loads(response["outputs"][-1]["data"][0])
    truth = answer(3, reasons=True).reasons or []
    assert [reason["contribution"] for reason in first] == [reason.contribution for reason in truth[0]]
    assert first[1] == {"feature": "size", "contribution": -0.1, "direction": "lowers"}


def test_missing_reasons_are_a_fault_of_ours() -> None:
    with pytest.raises(ServiceError):
        respond({"inputs": [ID], "parameters": {"explain": True}})


def test_per_output_binary_wins_over_the_request() -> None:
    request = decode(
        {
            "inputs": [ID],
            "parameters": {"binary_data_output": True},
            "outputs": [{"name": "score", "parameters": {"binary_data": False}}, {"name": "lead_id"}],
        }
    )
    assert request.outputs == [OutputSpec("score", False), OutputSpec("lead_id", True)]
    body, headers = v2_json.encode(request, answer(2))
    size = int(dict(headers)[HEADER])
    assert dict(headers)["content-type"] == "application/octet-stream"
    outputs = orjson.loads(body[:size])["outputs"]
    assert outputs[0]["data"] == answer(2).score.tolist()
    assert "data" not in outputs[1]
    assert body[size:] == frame("BYTES", answer(2).lead_ids)
    assert outputs[1]["parameters"] == {"binary_data_size": len(body) - size}


def test_binary_outputs_hold_the_same_bits() -> None:
    request = decode({"inputs": [ID], "parameters": {"binary_data_output": True}})
    truth = answer(4)
    body, headers = v2_json.encode(request, truth)
    offset = int(dict(headers)[HEADER])
    found = {}
    for output in orjson.loads(body[:offset])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        found[output["name"]] = body[offset : offset + size]
        offset += size
    assert offset == len(body)
    assert found["probability"] == truth.probability.tobytes()
    assert found["score"] == truth.score.tobytes()
    assert found["variant"] == b"\x09\0\0\0v7-canary" * 4


def test_extra_parameters_are_passed_on() -> None:
    body, _ = v2_json.encode(decode({"inputs": [ID]}), replace(answer(1), extra={"fallback_leads": 2}))
    assert orjson.loads(body)["parameters"]["fallback_leads"] == 2


def test_a_whole_request_is_assembled_without_a_problem() -> None:
    leads = records(20, seed=3)
    batch = assemble(decode(v2_document(leads)))
    assert batch.report.total == 0
    assert batch.lead_ids == [lead["lead_id"] for lead in leads]
    assert batch.raw.shape == (20, len(FEATURES)) == (20, len(PLAN.names))


def test_every_refusal_is_a_request_error() -> None:
    assert issubclass(InvalidLeads, RequestError)
