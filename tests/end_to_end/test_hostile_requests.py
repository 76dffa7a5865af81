"""Whatever is wrong with a request, its sender is told where, what was expected and what to do, and nothing breaks."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest

from lead_scoring.contract.types import Contract
from lead_scoring.local.envoy import MAX_BODY_BYTES
from tests.end_to_end import payloads
from tests.end_to_end.conftest import LONG, MARK
from tests.end_to_end.doors import Doors
from tests.end_to_end.payloads import LENGTH

JSON = {"content-type": "application/json"}

Document = dict[str, Any]
Spoil = Callable[[Document], Any]


def expect_refusal(response: httpx.Response, path: str, reason: str, status: int = 400) -> Document:
    """Check the form of a refusal and that it has a problem at a path."""
    assert response.status_code == status, response.text[:500]
    document: Document = response.json()
    assert MARK not in response.text
    assert document["request_id"] == response.headers["x-request-id"]
    assert document["error"]
    problems = document["problems"]
    assert document["code"] == problems[0]["reason"]
    assert document["problems_total"] >= len(problems) >= 1
    assert len(problems) <= 100
    for problem in problems:
        assert problem["path"]
        assert problem["expected"]
        assert problem["got"]
        assert problem["remedy"]
    assert (path, reason) in {(problem["path"], problem["reason"]) for problem in problems}
    return document


def tensor(document: Document, name: str) -> Document:
    found: Document = next(tensor for tensor in document["inputs"] if tensor["name"] == name)
    return found


def put(name: str, row: int, value: Any) -> Spoil:
    return lambda document: tensor(document, name)["data"].__setitem__(row, value)


def change(name: str, /, **changes: Any) -> Spoil:
    return lambda document: tensor(document, name).update(changes)


def resize(count: int) -> Spoil:
    def spoil(document: Document) -> None:
        for found in document["inputs"]:
            found["data"] = (found["data"] * (count // 3 + 1))[:count]
            found["shape"] = [count]

    return spoil


def drop(name: str) -> Spoil:
    return lambda document: document["inputs"].remove(tensor(document, name))


# Positions in $.inputs: lead_id 0, company_size 1, industry 2, …, website_sessions 7, …, account_revenue 14.
V2: list[tuple[str, Spoil, str, str]] = [
    ("null where required", put("company_size", 1, None), "$.inputs[1].data[1]", "missing"),
    ("empty text where required", put("company_size", 1, ""), "$.inputs[1].data[1]", "missing"),
    ("tensor left out that is required", drop("industry"), "$.inputs", "missing_tensor"),
    ("ids left out", drop("lead_id"), "$.inputs", "missing_tensor"),
    ("null id", put("lead_id", 2, None), "$.inputs[0].data[2]", "missing"),
    ("text for a number", put("account_revenue", 0, MARK), "$.inputs[14].data[0]", "wrong_type"),
    ("number as text", put("account_revenue", 0, "12"), "$.inputs[14].data[0]", "wrong_type"),
    ("boolean for a number", put("account_revenue", 0, True), "$.inputs[14].data[0]", "wrong_type"),
    ("object for a number", put("account_revenue", 0, {MARK: 1}), "$.inputs[14].data[0]", "wrong_type"),
    ("list for a number", put("account_revenue", 0, [1]), "$.inputs[14].data[0]", "wrong_type"),
    ("fraction for an integer", put("website_sessions", 0, 1.5), "$.inputs[7].data[0]", "wrong_type"),
    ("number for a category", put("company_size", 0, 3), "$.inputs[1].data[0]", "wrong_type"),
    ("unknown category", put("company_size", 0, MARK), "$.inputs[1].data[0]", "unknown_category"),
    ("out of range", put("custom_feature_1", 0, -5), "$.inputs[17].data[0]", "out_of_range"),
    ("no time", put("last_campaign_interaction", 0, MARK), "$.inputs[13].data[0]", "wrong_type"),
    ("a text of 1 MiB", put("company_size", 0, LONG), "$.inputs[1].data[0]", "too_long"),
    ("an id of 1 MiB", put("lead_id", 0, LONG), "$.inputs[0].data[0]", "too_long"),
    ("wrong datatype", change("company_size", datatype="FP64"), "$.inputs[1].datatype", "wrong_datatype"),
    ("no datatype of the protocol", change("company_size", datatype=MARK), "$.inputs[1].datatype", "wrong_datatype"),
    ("datatype missing", change("company_size", datatype=None), "$.inputs[1].datatype", "wrong_type"),
    ("too many dimensions", change("company_size", shape=[3, 1, 1]), "$.inputs[1].shape", "wrong_shape"),
    ("no dimensions", change("company_size", shape=[]), "$.inputs[1].shape", "wrong_shape"),
    ("negative shape", change("company_size", shape=[-3]), "$.inputs[1].shape", "wrong_shape"),
    ("enormous shape", change("company_size", shape=[2**62]), "$.inputs[1].shape", "wrong_shape"),
    ("shape of texts", change("company_size", shape=[MARK]), "$.inputs[1].shape", "wrong_shape"),
    ("shape and data disagree", change("company_size", data=["1-10"]), "$.inputs[1].data", "wrong_length"),
    ("ragged", change("company_size", shape=[2], data=["1-10"] * 2), "$.inputs[1].shape", "ragged"),
    ("no data", change("company_size", data=None), "$.inputs[1].data", "missing_data"),
    ("data that is no list", change("company_size", data=MARK), "$.inputs[1].data", "missing_data"),
    ("unknown tensor", change("geography", name=MARK), "$.inputs[5].name", "unknown_tensor"),
    ("duplicate tensor", change("geography", name="company_size"), "$.inputs[5].name", "duplicate_tensor"),
    ("name that is no text", change("geography", name=7), "$.inputs[5].name", "wrong_type"),
    ("bytes said, none sent", change("geography", data=None, parameters={"binary_data_size": 9}), "$.inputs",
     "wrong_length"),
    ("data and bytes", change("geography", parameters={"binary_data_size": 9}), "$.inputs[5].data", "ambiguous"),
    ("negative bytes", change("geography", data=None, parameters={"binary_data_size": -9}),
     "$.inputs[5].parameters.binary_data_size", "invalid_parameter"),
    ("0 leads", resize(0), "$.inputs", "batch_size"),
    ("501 leads", resize(501), "$.inputs", "batch_size"),
    ("no inputs", lambda document: document.update(inputs=[]), "$.inputs", "batch_size"),
    ("inputs that are no list", lambda document: document.update(inputs=MARK), "$.inputs", "batch_size"),
    ("a tensor that is no object", lambda document: document["inputs"].insert(0, MARK), "$.inputs[0]", "wrong_type"),
    ("5,000 tensors", lambda document: document.update(inputs=document["inputs"] * 100), "$.inputs", "batch_size"),
    ("a long id", lambda document: document.update(id=LONG), "$.id", "invalid_id"),
    ("an unknown output", lambda document: document.update(outputs=[{"name": MARK}]), "$.outputs[0].name",
     "unknown_output"),
    ("no as_of", lambda document: document.update(parameters={"as_of": MARK}), "$.parameters.as_of",
     "invalid_parameter"),
    ("21 reasons", lambda document: document.update(parameters={"reasons": 21}), "$.parameters.reasons",
     "invalid_parameter"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "path", "reason"), [case[1:] for case in V2], ids=[case[0] for case in V2])
def test_v2_refuses(
    doors: Doors, contract: Contract, few: list[dict[str, Any]], spoil: Spoil, path: str, reason: str
) -> None:
    document = payloads.named(contract, few)
    spoil(document)
    expect_refusal(doors.post(doors.infer, orjson.dumps(document), JSON), path, reason)


def test_every_problem_of_every_lead_is_told_at_once(
    doors: Doors, contract: Contract, few: list[dict[str, Any]]
) -> None:
    document = payloads.named(contract, few)
    for spoil in (put("company_size", 1, MARK), put("account_revenue", 2, MARK), put("website_sessions", 0, None)):
        spoil(document)
    told = expect_refusal(doors.post(doors.infer, orjson.dumps(document), JSON), "$.inputs[7].data[0]", "missing")
    assert [problem["path"] for problem in told["problems"]] == [
        "$.inputs[7].data[0]",
        "$.inputs[1].data[1]",
        "$.inputs[14].data[2]",
    ]
    many = payloads.named(contract, few * 100)
    tensor(many, "company_size")["data"] = [MARK] * 300
    told = expect_refusal(doors.post(doors.infer, orjson.dumps(many), JSON), "$.inputs[1].data[0]", "unknown_category")
    assert (len(told["problems"]), told["problems_total"]) == (100, 300)


RECORDS: list[tuple[str, Spoil, str, str]] = [
    ("null where required", lambda d: d["instances"][1].update(company_size=None), "$.instances[1].company_size",
     "missing"),
    ("left out where required", lambda d: d["instances"][1].pop("company_size"), "$.instances[1].company_size",
     "missing"),
    ("unknown name", lambda d: d["instances"][1].update({MARK: 1}), "$.instances[1]", "unknown_field"),
    ("text for a number", lambda d: d["instances"][0].update(account_revenue=MARK), "$.instances[0].account_revenue",
     "wrong_type"),
    ("list for a category", lambda d: d["instances"][0].update(industry=[MARK]), "$.instances[0].industry",
     "wrong_type"),
    ("a text of 1 MiB", lambda d: d["instances"][0].update(industry=LONG), "$.instances[0].industry", "too_long"),
    ("a record that is no object", lambda d: d["instances"].insert(0, MARK), "$.instances[0]", "wrong_type"),
    ("instances that are no list", lambda d: d.update(instances=MARK), "$.instances", "wrong_type"),
    ("no instances", lambda d: d.pop("instances"), "$.instances", "missing"),
    ("0 leads", lambda d: d.update(instances=[]), "$.instances", "batch_size"),
    ("501 leads", lambda d: d.update(instances=d["instances"] * 167), "$.instances", "batch_size"),
    ("another key", lambda d: d.update({MARK: 1}), "$", "unknown_field"),
    ("no as_of", lambda d: d.update(parameters={"as_of": [MARK]}), "$.parameters.as_of", "invalid_parameter"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "path", "reason"), [case[1:] for case in RECORDS], ids=[case[0] for case in RECORDS])
def test_v1_refuses(
    doors: Doors, contract: Contract, few: list[dict[str, Any]], spoil: Spoil, path: str, reason: str
) -> None:
    document = payloads.records(contract, [dict(lead) for lead in few])
    spoil(document)
    expect_refusal(doors.post(doors.predict, orjson.dumps(document), JSON), path, reason)


REVENUE = b'"account_revenue","datatype":"FP64","shape":[3],"data":['
BODIES: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("nothing", lambda _: b""),
    ("a text", lambda _: orjson.dumps(MARK)),
    ("a list", lambda _: b"[]"),
    ("half of it", lambda body: body[: len(body) // 2]),
    ("NaN", lambda body: body.replace(REVENUE, REVENUE + b"NaN,")),
    ("Infinity", lambda body: body.replace(REVENUE, REVENUE + b"Infinity,")),
    ("-Infinity", lambda body: body.replace(REVENUE, REVENUE + b"-Infinity,")),
    ("a number beyond floats", lambda body: body.replace(REVENUE, REVENUE + b"1e999,")),
    ("no UTF-8", lambda body: body.replace(b'"BYTES"', b'"\xff\xfe"')),
    ("a lone surrogate", lambda body: body.replace(b'"BYTES"', b'"\\ud800"')),
    ("deep JSON", lambda _: b'{"inputs":' + b"[" * 200_000),
    ("deep JSON that ends", lambda _: b'{"inputs":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    ("deep JSON of objects", lambda _: b'{"inputs":' * 5000 + b"1" + b"}" * 5000),
    ("the same key twice", lambda body: b'{"parameters":{},' + body[1:]),
]


@pytest.mark.parametrize("door", ["infer", "predict"])
@pytest.mark.parametrize("spoil", [case[1] for case in BODIES], ids=[case[0] for case in BODIES])
def test_what_is_no_json_of_ours_is_refused(
    doors: Doors, contract: Contract, few: list[dict[str, Any]], spoil: Callable[[bytes], bytes], door: str
) -> None:
    body = orjson.dumps(payloads.named(contract, few))
    assert spoil(body) != body
    response = doors.post(getattr(doors, door), spoil(body), JSON)
    problem = response.json()["problems"][0]
    expect_refusal(response, problem["path"], problem["reason"])


@pytest.mark.parametrize("told", ["abc", "-1", "0", "+5", "1e3", "0x10", "99999999999999999999", "5 5", "５", ""])
def test_a_length_of_the_json_that_is_none_is_refused(
    doors: Doors, contract: Contract, few: list[dict[str, Any]], told: str
) -> None:
    body, headers = payloads.named_binary(contract, few)
    response = doors.post(doors.infer, body, {**JSON, LENGTH: told.encode()})
    expect_refusal(response, "header Inference-Header-Content-Length", "invalid_header")
    assert doors.post(doors.infer, body, {**JSON, **headers}).status_code == 200


def test_lying_sizes_of_bytes_are_refused(doors: Doors, contract: Contract, few: list[dict[str, Any]]) -> None:
    body, headers = payloads.named_binary(contract, few)
    length = int(headers[LENGTH])
    document, tail = orjson.loads(body[:length]), body[length:]
    sizes = [found["parameters"]["binary_data_size"] for found in document["inputs"]]

    def refused(path: str, reason: str, tail: bytes = tail, **lies: int) -> None:
        for position, found in enumerate(document["inputs"]):
            found["parameters"]["binary_data_size"] = lies.get(f"of_{position}", sizes[position])
        text = orjson.dumps(document)
        response = doors.post(doors.infer, text + tail, {**JSON, LENGTH: str(len(text))})
        expect_refusal(response, path, reason)

    refused("$.inputs", "wrong_length", tail=tail[:-1])
    refused("$.inputs", "wrong_length", tail=tail + b"\0")
    refused("$.inputs", "wrong_length", of_1=2**31)
    refused("$.inputs", "wrong_length", of_1=2**62)
    refused("$.inputs[1].data", "wrong_length", of_1=sizes[1] - 1, of_2=sizes[2] + 1)
    refused("$.inputs[14].data", "wrong_length", of_14=sizes[14] - 8, of_15=sizes[15] + 8)
    beyond = struct.pack("<I", 2**31) + tail[4:]  # a text that says it is longer than everything
    refused("$.inputs[0].data", "wrong_length", tail=beyond)
    not_utf8 = tail.replace(MARK.encode(), b"\xff\xfe" + MARK.encode()[2:])
    refused("$.inputs[0].data[0]", "not_utf8", tail=not_utf8)


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinity_in_bytes_is_refused(
    doors: Doors, contract: Contract, few: list[dict[str, Any]], value: float
) -> None:
    """NaN in bytes is how a gap is told, so it is refused only where no gap may be."""
    lead = {**few[0], "account_revenue": value}
    for form in (payloads.named_binary, payloads.packed_binary):
        body, headers = form(contract, [few[1], lead])
        path = "$.inputs[14].data[1]" if form is payloads.named_binary else "$.inputs[1].data[1][13]"
        expect_refusal(doors.post(doors.infer, body, {**JSON, **headers}), path, "not_finite")


def test_nan_where_a_value_is_required_is_refused(doors: Doors, contract: Contract, few: list[dict[str, Any]]) -> None:
    matrix = payloads.packed(contract, few)
    matrix[1, 6] = math.nan
    body, headers = payloads.packed_binary(contract, few)
    spoilt = body[: -matrix.nbytes] + matrix.astype("<f8").tobytes()
    expect_refusal(doors.post(doors.infer, spoilt, {**JSON, **headers}), "$.inputs[1].data[1][6]", "missing")


def test_packed_tensors_of_another_form_are_refused(
    doors: Doors, contract: Contract, few: list[dict[str, Any]]
) -> None:
    def refused(path: str, reason: str, **changes: Any) -> None:
        document = payloads.packed_json(contract, few)
        document["inputs"][1].update(changes)
        expect_refusal(doors.post(doors.infer, orjson.dumps(document), JSON), path, reason)

    rows = payloads.packed_json(contract, few)["inputs"][1]["data"]
    refused("$.inputs[1].shape", "wrong_shape", shape=[3, 49], data=[row[1:] for row in rows])
    refused("$.inputs[1].shape", "wrong_shape", shape=[150], data=[value for row in rows for value in row])
    refused("$.inputs[1].data[1]", "ragged", data=[rows[0], rows[1][1:], rows[2]])
    refused("$.inputs[1].datatype", "wrong_datatype", datatype="INT64")
    document = payloads.packed_json(contract, few)
    document["inputs"].append(tensor(payloads.named(contract, few), "geography"))
    assert doors.post(doors.infer, orjson.dumps(document), JSON).status_code == 400


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        (0, "51-200", "company_size: the position, from 0, of one of 1-10, 11-50, "),
        (12, "2026-11-02", "last_campaign_interaction: seconds since the epoch, a time in [0, 1095] days before "),
        (15, True, "existing_customer: 0 or 1"),
        (6, 1.5, "website_sessions: a whole number in [0, 500] sessions"),
    ],
)
def test_in_a_packed_tensor_everything_is_told_as_a_number(
    doors: Doors, contract: Contract, few: list[dict[str, Any]], column: int, value: Any, expected: str
) -> None:
    document = payloads.packed_json(contract, few)
    document["inputs"][1]["data"][2][column] = value
    path = f"$.inputs[1].data[2][{column}]"
    told = expect_refusal(doors.post(doors.infer, orjson.dumps(document), JSON), path, "wrong_type")
    assert told["problems"][0]["expected"].startswith(expected)


def test_features_in_another_order_than_the_contracts_are_understood_by_name(
    doors: Doors, contract: Contract, few: list[dict[str, Any]]
) -> None:
    """Named tensors have no wrong order; packed in a wrong one, the first value that can't be is refused."""
    document = payloads.named(contract, few, as_of="2026-11-21")
    straight = doors.post(doors.infer, orjson.dumps(document), JSON).json()["outputs"]
    document["inputs"].reverse()
    assert doors.post(doors.infer, orjson.dumps(document), JSON).json()["outputs"] == straight
    reverse = payloads.packed_json(contract, few)
    for row in reverse["inputs"][1]["data"]:
        row.reverse()
    response = doors.post(doors.infer, orjson.dumps(reverse), JSON)
    assert response.status_code == 400
    assert MARK not in response.text


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"content-type": "text/plain"}, 415, "wrong_media_type"),
        ({"content-type": MARK}, 415, "wrong_media_type"),
        ({**JSON, "content-encoding": "br"}, 415, "unknown_encoding"),
        ({**JSON, "content-encoding": MARK}, 415, "unknown_encoding"),
        ({**JSON, "content-encoding": "gzip"}, 400, "corrupt_encoding"),
    ],
)
def test_another_kind_of_body_is_refused(
    doors: Doors, contract: Contract, few: list[dict[str, Any]], headers: dict[str, str], status: int, code: str
) -> None:
    for path in (doors.infer, doors.predict):
        response = doors.post(path, orjson.dumps(payloads.named(contract, few)), headers)
        assert (response.status_code, response.json()["code"]) == (status, code)
        assert MARK not in response.text


def test_a_body_that_is_too_large_is_refused_whoever_finds_it(doors: Doors) -> None:
    for size in (5 * 2**20, MAX_BODY_BYTES + 1):
        response = doors.post(doors.infer, MARK.encode() + bytes(size), JSON)
        assert response.status_code == 413
        assert "too large" in response.json()["error"] or "at most" in response.json()["error"]
    bomb = gzip.compress(bytes(200 * 2**20), compresslevel=1)
    assert len(bomb) < 2**20
    response = doors.post(doors.infer, bomb, {**JSON, "content-encoding": "gzip"})
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
