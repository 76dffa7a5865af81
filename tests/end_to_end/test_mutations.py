"""A good request after a few accidents of any kind gets an answer or a refusal, never a fault of ours."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lead_scoring.contract.types import Contract
from tests.end_to_end import payloads
from tests.end_to_end.conftest import MARK
from tests.end_to_end.doors import Doors
from tests.end_to_end.payloads import LENGTH

JSON = {"content-type": "application/json"}
EXAMPLES = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TEXT = st.sampled_from([MARK, "", "\0", "ä" * 400, "1e5", "NaN", "2026-02-30T25:00:00Z", "9" * 400]).map(str)
NUMBER = st.sampled_from(
    [0, -1, 1, 2**31, 2**63, -(2**63), 2**64 - 1, 1.5, -0.0, 5e-324, 1.7e308, 1e15, 10**400]
) | st.floats(allow_nan=False, allow_infinity=False)
SCALAR = st.none() | st.booleans() | NUMBER | TEXT
VALUE = SCALAR | st.lists(SCALAR, max_size=4) | st.dictionaries(st.sampled_from(["name", "data", MARK]), SCALAR)

Path = tuple[str | int, ...]


def places(document: Any, here: Path = ()) -> list[Path]:
    """Return the paths of everything in a document, deepest last."""
    found = [here] if here else []
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        found += places(value, (*here, key))
    return found


@st.composite
def accidents(draw: st.DrawFn, good: Any) -> Any:
    """Return a copy of a document with one to four of its parts replaced, removed, repeated or swapped."""
    document = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(places(document) or [()]))
        if not path:
            break
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        key = path[-1]
        match draw(st.sampled_from(["replace", "replace", "remove", "repeat", "swap", "wrap"])):
            case "replace":
                parent[key] = draw(VALUE)
            case "remove":
                del parent[key]
            case "repeat" if isinstance(parent, list):
                parent.insert(key, copy.deepcopy(parent[key]))
            case "repeat":
                parent[draw(TEXT)] = parent[key]
            case "swap":
                other = draw(st.sampled_from(list(parent) if isinstance(parent, dict) else range(len(parent))))
                parent[key], parent[other] = parent[other], parent[key]
            case "wrap":
                parent[key] = [parent[key]]
    return document


def expect_answer_or_refusal(response: httpx.Response) -> None:
    assert response.status_code < 500, response.text
    document = orjson.loads(response.content[: int(response.headers.get(LENGTH, len(response.content)))])
    if response.status_code != 200:
        assert response.status_code >= 400
        assert document["error"]
        assert MARK not in response.text


@pytest.fixture(scope="module")
def two(leads: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return leads[:2]


def mutate(make: Callable[[], st.SearchStrategy[Any]], check: Callable[[Any], None]) -> None:
    """Run a property whose strategy needs fixtures."""
    EXAMPLES(given(make())(check))()


@pytest.mark.parametrize(
    ("form", "door", "count"),
    [
        (payloads.named, "infer", 2),
        (payloads.named, "infer", 40),
        (payloads.packed_json, "infer", 2),
        (payloads.packed_json, "infer", 40),
        (payloads.records, "predict", 2),
    ],
    ids=["named", "large and named", "packed", "large and packed", "records"],
)
def test_json(
    doors: Doors,
    contract: Contract,
    leads: list[dict[str, Any]],
    form: Callable[..., Any],
    door: str,
    count: int,
) -> None:
    good = {**form(contract, leads[:count], explain=True, reasons=3, as_of="2026-11-21")}
    if door == "infer":
        good.update(id="1", outputs=[{"name": "score", "parameters": {"binary_data": False}}, {"name": "reasons"}])
    assert doors.post(getattr(doors, door), orjson.dumps(good), JSON).status_code == 200
    seen: set[int] = set()

    def check(document: Any) -> None:
        response = doors.post(getattr(doors, door), json.dumps(document).encode(), JSON)
        seen.add(response.status_code)
        expect_answer_or_refusal(response)

    mutate(lambda: accidents(good), check)
    assert seen == {200, 400}  # some accidents are none, and both ends of the property were visited


def test_binary(doors: Doors, contract: Contract, two: list[dict[str, Any]]) -> None:
    body, headers = payloads.named_binary(contract, two, binary_data_output=True)
    length = int(headers[LENGTH])
    good, tail = orjson.loads(body[:length]), body[length:]

    @st.composite
    def damaged(draw: st.DrawFn) -> tuple[bytes, str]:
        document = draw(st.just(good) | accidents(good))
        frames = bytearray(tail)
        for _ in range(draw(st.integers(0, 3))):
            start = draw(st.integers(0, len(frames)))
            end = draw(st.integers(start, min(start + 40, len(frames))))
            frames[start:end] = draw(st.sampled_from([b"", bytes(frames[start:end]) * 2]) | st.binary(max_size=8))
        text = json.dumps(document).encode()
        told = draw(st.just(str(len(text))) | st.integers(-9, 2 * len(text)).map(str) | st.sampled_from(["", "x"]))
        return text + bytes(frames), told

    mutate(
        damaged,
        lambda case: expect_answer_or_refusal(
            doors.post(doors.infer, case[0], {"content-type": "application/octet-stream", LENGTH: case[1]})
        ),
    )


INT64 = st.sampled_from([0, 1, 2, -1, 3, 2**31, 2**62, 2**63 - 1, -(2**63)])
CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        "bool_contents": st.lists(st.booleans(), max_size=3),
        "int_contents": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
        "int64_contents": st.lists(INT64, max_size=3),
        "uint_contents": st.lists(st.integers(0, 2**32 - 1), max_size=3),
        "fp32_contents": st.lists(st.floats(width=32), max_size=3),
        "fp64_contents": st.lists(st.floats() | st.just(math.inf), max_size=3),
        "bytes_contents": st.lists(st.binary(max_size=8).map(MARK.encode().__add__), max_size=3),
    },
)
NAMES = st.sampled_from([MARK, "", "features", "lead_id", "industry", "website_sessions"])
DATATYPES = st.sampled_from([MARK, "", "FP64", "FP32", "FP16", "INT8", "UINT64", "BOOL", "BYTES"])


def test_messages(doors: Doors, contract: Contract, two: list[dict[str, Any]]) -> None:
    forms = [payloads.typed_message, payloads.raw_message, payloads.packed_message]
    goods = [form(contract, two, explain=True, as_of="2026-11-21") for form in forms]
    for good in goods:
        assert doors.refusal(good) is None

    @st.composite
    def damaged(draw: st.DrawFn) -> Any:
        message = copy.deepcopy(draw(st.sampled_from(goods)))
        for _ in range(draw(st.integers(1, 3))):
            position = draw(st.integers(0, len(message.inputs) - 1))
            tensor = message.inputs[position]
            match draw(st.sampled_from(["name", "datatype", "shape", "contents", "raw", "remove", "repeat", "more"])):
                case "name":
                    tensor.name = draw(NAMES)
                case "datatype":
                    tensor.datatype = draw(DATATYPES)
                case "shape":
                    tensor.shape[:] = draw(st.lists(INT64, max_size=9))
                case "contents":
                    tensor.ClearField("contents")
                    for field, values in draw(CONTENTS).items():
                        getattr(tensor.contents, field).extend(values)
                case "raw" if message.raw_input_contents:
                    place = position % len(message.raw_input_contents)
                    whole = message.raw_input_contents[place]
                    cut = draw(st.integers(0, len(whole)))
                    message.raw_input_contents[place] = whole[:cut] + draw(st.binary(max_size=9))
                case "raw":
                    message.raw_input_contents.append(draw(st.binary(max_size=9)))
                case "remove" if len(message.inputs) > 1:
                    del message.inputs[position]
                case "repeat":
                    message.inputs.add().CopyFrom(tensor)
                case _:
                    message.outputs.add(name=draw(NAMES | st.sampled_from(["score", "reasons"])))
                    parameter = message.parameters[draw(st.sampled_from(["as_of", "explain", "reasons", MARK]))]
                    parameter.int64_param = draw(INT64)
        return message

    def check(message: Any) -> None:
        error = doors.refusal(message)
        if error is not None:
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error.details()
            assert MARK not in (error.details() or "")
            assert error.details()

    mutate(damaged, check)


def test_damaged_messages(doors: Doors, contract: Contract, two: list[dict[str, Any]]) -> None:
    """Bytes overwritten, cut out and doubled, so that some are no protocol buffers any more."""
    goods = [form(contract, two).SerializeToString() for form in (payloads.typed_message, payloads.raw_message)]

    @st.composite
    def damaged(draw: st.DrawFn) -> bytes:
        raw = bytearray(draw(st.sampled_from(goods)))
        for _ in range(draw(st.integers(1, 3))):
            start = draw(st.integers(0, len(raw)))
            end = draw(st.integers(start, min(start + 40, len(raw))))
            raw[start:end] = draw(st.sampled_from([b"", bytes(raw[start:end]) * 2]) | st.binary(max_size=8))
        return bytes(raw)

    def check(raw: bytes) -> None:
        error = doors.raw_refusal("/inference.GRPCInferenceService/ModelInfer", raw)
        if error is not None:
            assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND), error.details()

    mutate(damaged, check)
