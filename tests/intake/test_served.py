"""A version made of somebody's table, served by the real stack: every door, the table's words, offline's answers."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow.parquet as pq
import pytest
import tritonclient.http as triton_http
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from lead_scoring.core.moments import seconds
from lead_scoring.core.plan import ACCEPTED
from lead_scoring.intake.scoring import score_file
from lead_scoring.packaging.verify import verify
from lead_scoring.tables import cells
from lead_scoring.tables.files import open_table, read_table
from tests.intake.conftest import Made
from tests.support.stack import Stack, running_stack

NAME = "online-school"
AS_OF = "2026-06-01T00:00:00Z"
LEADS = 200


@pytest.fixture(scope="module")
def stack(school: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """As by `make run MODEL=online-school STABLE=1 CANARY=1`."""
    repository = school.version.parent.parent
    work = tmp_path_factory.mktemp("stack")
    with running_stack(work, repository, "--model", NAME, "--stable", "1", "--canary", "1") as found:
        yield found


@pytest.fixture(scope="module")
def offline(school: Made, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What `score` makes of the file's first rows."""
    out = tmp_path_factory.mktemp("offline") / "scored.parquet"
    score_file(verify(school.version), open_table(school.table), as_of=seconds(AS_OF), out=out)
    found: dict[str, list[Any]] = pq.read_table(out).slice(0, LEADS).to_pydict()
    return found


@pytest.fixture(scope="module")
def leads(school: Made) -> list[dict[str, Any]]:
    """The file's first rows as a client would send them: every word as it stands there, numbers as numbers."""
    table, _ = read_table(school.table)
    table = table.slice(0, LEADS)
    contract = verify(school.version).contract
    columns: dict[str, list[Any]] = {contract.id_field: table.column(contract.id_field).to_pylist()}
    for feature in contract.features:
        column = table.column(feature.name)
        if feature.type == "category":
            columns[feature.name] = [word or None for word in column.to_pylist()]
        else:
            numbers = cells.numbers(column).value.tolist()
            columns[feature.name] = [None if x != x else int(x) if feature.type == "integer" else x for x in numbers]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def post(stack: Stack, path: str, body: Any) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


def v2_inputs(stack: Stack, leads: list[dict[str, Any]]) -> list[dict[str, Any]]:
    contract = stack.contract()
    kinds = {contract.id_field: "BYTES", **{f.name: ACCEPTED[f.type][0] for f in contract.features}}
    return [
        {"name": name, "datatype": kind, "shape": [len(leads)], "data": [lead[name] for lead in leads]}
        for name, kind in kinds.items()
    ]


def test_the_leads_have_what_is_hard_about_them(leads: list[dict[str, Any]]) -> None:
    assert {"Select", "Thane & Outskirts", None} <= {lead["City"] for lead in leads}
    assert 'Media, "Arts"' in {lead["Specialization"] for lead in leads}
    assert {"Activity (score) ‹1-20>", "Asked question 1?"} <= leads[0].keys()


def test_records_over_rest_get_offline_s_answers(stack: Stack, leads: list[dict[str, Any]], offline: Any) -> None:
    status, answer = post(stack, f"/v1/models/{NAME}:predict", {"instances": leads, "parameters": {"as_of": AS_OF}})
    assert status == 200, answer
    found = answer["predictions"]
    assert [one["score"] for one in found] == offline["score"]
    assert [one["probability"] for one in found] == offline["probability"]
    assert [one["confidence"] for one in found] == offline["confidence"]


def test_named_tensors_over_rest_get_them_too(stack: Stack, leads: list[dict[str, Any]], offline: Any) -> None:
    body = {"inputs": v2_inputs(stack, leads), "parameters": {"as_of": AS_OF, "explain": True}}
    status, answer = post(stack, f"/v2/models/{NAME}/infer", body)
    assert status == 200, answer
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    assert outputs["score"] == offline["score"]
    assert outputs["probability"] == offline["probability"]
    names = {feature.name for feature in stack.contract().features}
    reasons = json.loads(outputs["reasons"][0])
    assert reasons
    assert {reason["feature"] for reason in reasons} <= names


def test_binary_tensors_get_them_too(stack: Stack, leads: list[dict[str, Any]], offline: Any) -> None:
    inputs = []
    for tensor in v2_inputs(stack, leads):
        values = tensor["data"]
        if tensor["datatype"] == "BYTES":
            array, kind = np.array([(value or "").encode() for value in values], dtype=object), "BYTES"
        else:
            array, kind = np.array([np.nan if value is None else value for value in values], np.float64), "FP64"
        inputs.append(triton_http.InferInput(tensor["name"], [len(leads)], kind).set_data_from_numpy(array))
    with triton_http.InferenceServerClient(f"127.0.0.1:{stack.port}") as client:
        answer = client.infer(NAME, inputs, parameters={"as_of": AS_OF})
    assert answer.as_numpy("probability").tolist() == offline["probability"]
    assert answer.as_numpy("score").tolist() == offline["score"]


def test_grpc_gets_them_too(stack: Stack, leads: list[dict[str, Any]], offline: Any) -> None:
    request = pb.ModelInferRequest(
        model_name=NAME, parameters={"as_of": pb.InferParameter(int64_param=int(seconds(AS_OF)))}
    )
    for tensor in v2_inputs(stack, leads):
        values = tensor["data"]
        is_text = tensor["datatype"] == "BYTES"
        made = request.inputs.add(name=tensor["name"], datatype="BYTES" if is_text else "FP64", shape=[len(leads)])
        if is_text:
            made.contents.bytes_contents.extend((value or "").encode() for value in values)
        else:
            made.contents.fp64_contents.extend(np.nan if value is None else value for value in values)
    with grpc.insecure_channel(stack.grpc) as channel:
        answer = GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=30)
    outputs = {output.name: output.contents for output in answer.outputs}
    assert list(outputs["probability"].fp64_contents) == offline["probability"]
    assert list(outputs["score"].int_contents) == offline["score"]


def test_metadata_is_in_the_table_s_words(stack: Stack) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    connection.request("GET", f"/v2/models/{NAME}")
    found = json.loads(connection.getresponse().read())
    connection.close()
    inputs = {tensor["name"]: tensor for tensor in found["inputs"]}
    assert found["name"] == NAME
    assert found["parameters"]["target"] == "Converted is 1"
    assert list(inputs) == ["Lead Number", *(feature.name for feature in stack.contract().features)]
    assert inputs["City"]["parameters"]["missing_values"] == ["Select"]
    with grpc.insecure_channel(stack.grpc) as channel:
        described = GRPCInferenceServiceStub(channel).ModelMetadata(pb.ModelMetadataRequest(name=NAME), timeout=30)
    named = [tensor.name for tensor in described.inputs]
    assert named == list(inputs)


@pytest.mark.parametrize(
    ("field", "value", "path", "expected"),
    [
        (
            "Total Time Spent on Website",
            "long",
            '["Total Time Spent on Website"]',
            "Total Time Spent on Website: a whole number",
        ),
        ("Do Not Email", "Maybe", '["Do Not Email"]', "Do Not Email: one of No, Yes"),
        ("Activity (score) ‹1-20>", None, '["Activity (score) ‹1-20>"]', "Activity (score) ‹1-20>: a whole number in"),
    ],
)
def test_refusals_are_in_the_table_s_words(
    stack: Stack, leads: list[dict[str, Any]], field: str, value: Any, path: str, expected: str
) -> None:
    status, answer = post(stack, f"/v1/models/{NAME}:predict", {"instances": [leads[0], {**leads[1], field: value}]})
    assert status == 400
    (problem,) = answer["problems"]
    assert problem["path"] == f"$.instances[1]{path}"
    assert problem["expected"].startswith(expected)
    inputs = v2_inputs(stack, [leads[0], {**leads[1], field: value}])
    status, answer = post(stack, f"/v2/models/{NAME}/infer", {"inputs": inputs})
    assert status == 400
    (problem,) = answer["problems"]
    position = [tensor["name"] for tensor in inputs].index(field)
    assert problem["path"] == f"$.inputs[{position}].data[1]"
    assert problem["expected"].startswith(expected)


def test_metrics_count_by_the_table_s_names(stack: Stack, leads: list[dict[str, Any]]) -> None:
    post(stack, f"/v1/models/{NAME}:predict", {"instances": leads})
    found = stack.metrics("stable")
    assert any("City" in line and value > 0 for line, value in found.items())


def test_no_other_model_answers(stack: Stack, leads: list[dict[str, Any]]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    connection.request("GET", "/v2/models/lead-scoring")
    assert connection.getresponse().status == 404
    connection.close()
    assert len(leads) == LEADS


def test_the_stack_says_which_lead_to_try(stack: Stack) -> None:
    shown = Path(stack.output).read_text()
    assert f"/v1/models/{NAME}:predict" in shown
