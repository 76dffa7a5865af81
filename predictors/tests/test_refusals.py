"""What is refused: 400 / INVALID_ARGUMENT with where and why, never a 5xx, never a word that the client sent."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Callable
from typing import Any

import grpc
import heavy_model
import numpy as np
import pytest
from running import DEADLINE_S, MODEL, Predictor, ask, frame_request, infer, plain_request, raw_request
from tritonclient.grpc import service_pb2 as pb

SECRET = "jane.doe@example.org"  # noqa: S105 - what a client might send, and nobody may repeat
ONE = heavy_model.leads(1)
Change = Callable[[pb.ModelInferRequest], Any]


def frame(change: Change) -> pb.ModelInferRequest:
    return changed(frame_request(heavy_model.leads(2)), change)


def plain(change: Change) -> pb.ModelInferRequest:
    return changed(plain_request(heavy_model.leads(2)), change)


def raw(change: Change) -> pb.ModelInferRequest:
    return changed(raw_request(heavy_model.leads(2)), change)


def changed(request: pb.ModelInferRequest, change: Change) -> pb.ModelInferRequest:
    change(request)
    return request


def infinite(form: Callable[..., pb.ModelInferRequest], value: float) -> pb.ModelInferRequest:
    matrix = heavy_model.leads(3)
    matrix[2, 7] = value
    return form(matrix)


def set_frame(data: bytes) -> Change:
    return lambda request: request.inputs[0].contents.bytes_contents.__setitem__(0, data)


def set_shape(*shape: int) -> Change:
    def change(request: pb.ModelInferRequest) -> None:
        del request.inputs[0].shape[:]
        request.inputs[0].shape.extend(shape)

    return change


def set_field(**fields: str) -> Change:
    return lambda request: [setattr(request.inputs[0], name, value) for name, value in fields.items()]


def double_raw(data: bytes) -> Change:
    def change(request: pb.ModelInferRequest) -> None:
        request.inputs[0].ClearField("contents")
        request.raw_input_contents.append(data)

    return change


CALLS = {
    "an unknown output": (frame(lambda r: r.outputs.add(name=SECRET)), "$.outputs[0].name"),
    "MLServer's own output": (frame(lambda r: r.outputs.add(name="predict")), "$.outputs[0].name"),
    "an output twice": (frame(lambda r: [r.outputs.add(name="margin") for _ in "ab"]), "twice"),
    "no input": (frame(lambda r: r.ClearField("inputs")), "got 0 tensors"),
    "two inputs": (frame(lambda r: r.inputs.add(name="features")), "got 2 tensors"),
    "another name": (frame(set_field(name=SECRET)), "$.inputs[0].name"),
    "another datatype": (plain(set_field(datatype="FP64")), "$.inputs[0].datatype"),
    "no datatype at all": (plain(set_field(datatype=SECRET)), "$.inputs[0].datatype"),
    "another raw datatype": (raw(set_field(datatype="INT32")), "$.inputs[0].datatype"),
    "values called BYTES": (plain(set_field(datatype="BYTES")), "expected one frame"),
    "a frame called FP32": (frame(set_field(datatype="FP32")), "$.inputs[0].shape"),
    "a frame with the shape of its matrix": (frame(set_shape(2, 50)), "shape [1]"),
    "an empty frame": (frame(set_frame(b"")), "multiple of 200 bytes"),
    "a frame cut short": (frame(set_frame(b"\0" * 399)), "got 399 bytes"),
    "a frame of half a lead": (frame(set_frame(b"\0" * 300)), "got 300 bytes"),
    "a frame of text": (frame(set_frame(SECRET.encode())), "multiple of 200 bytes"),
    "no frame": (frame(lambda r: r.inputs[0].ClearField("contents")), "expected one frame"),
    "two frames": (frame(lambda r: r.inputs[0].contents.bytes_contents.append(b"\0" * 200)), "got 2 elements"),
    "too many leads": (frame(set_frame(bytes(200 * 5001))), "at most 5000 leads"),
    "infinity in a frame": (infinite(frame_request, np.inf), "data[2][7]"),
    "minus infinity in values": (infinite(plain_request, -np.inf), "data[2][7]"),
    "infinity in raw values": (infinite(raw_request, np.inf), "data[2][7]"),
    "a flat shape": (plain(set_shape(100)), "expected [n, 50], got [100]"),
    "another width": (plain(set_shape(4, 25)), "expected [n, 50], got [4, 25]"),
    "a negative shape": (plain(set_shape(-2, 50)), "$.inputs[0].shape"),
    "no leads": (plain(set_shape(0, 50)), "$.inputs[0].shape"),
    "no shape": (plain(set_shape()), "$.inputs[0].shape"),
    "a lying shape": (plain(set_shape(3, 50)), "expected 150 values, as the shape says, got 100"),
    "an enormous shape": (plain(set_shape(2**62, 50)), "as the shape says, got 100"),
    "a lying raw shape": (raw(set_shape(3, 50)), "expected 150 values, as the shape says, got 100"),
    "raw values cut short": (raw(lambda r: r.raw_input_contents.__setitem__(0, b"\0" * 398)), "four bytes a value"),
    "raw contents for nothing": (raw(lambda r: r.raw_input_contents.append(b"")), "one for each"),
    "raw and typed contents": (plain(lambda r: r.raw_input_contents.append(b"\0" * 400)), "got both"),
    "a raw frame that lies": (frame(double_raw(b"\xff\xff\xff\xff" + b"\0" * 200)), "$.raw_input_contents[0]"),
    "a raw frame without length": (frame(double_raw(b"\0")), "$.raw_input_contents[0]"),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_wrong_call_is_an_invalid_argument(channel: grpc.Channel, case: str) -> None:
    request, fragment = CALLS[case]
    with pytest.raises(grpc.RpcError) as refused:
        ask(channel, request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT, refused.value.details()
    assert fragment in refused.value.details()
    assert SECRET not in refused.value.details()


@pytest.mark.parametrize("data", [b"\xff" * 40, b"\x0a\x04\xff\xfe\xfd\xfc", b"\x0a\xff\xff\xff\xff\x0f"])
def test_bytes_that_are_no_message_are_an_invalid_argument(channel: grpc.Channel, data: bytes) -> None:
    call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    with pytest.raises(grpc.RpcError) as refused:
        call(data, timeout=DEADLINE_S)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(("name", "version"), [(SECRET, ""), (MODEL, "2"), ("", ""), (MODEL, SECRET)])
def test_another_model_is_not_found(channel: grpc.Channel, name: str, version: str) -> None:
    request = frame_request(ONE)
    request.model_name, request.model_version = name, version
    with pytest.raises(grpc.RpcError) as refused:
        ask(channel, request)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert SECRET not in refused.value.details()


def test_a_message_over_the_limit_is_refused(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        ask(channel, frame(set_frame(bytes(33 * 2**20))))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def body(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "features", "datatype": "FP32", "shape": [1, 50], "data": [0.5] * 50} | changes
    return {"inputs": [tensor]}


POSTS = {
    "no JSON": (b"{", "the body is not JSON"),
    "nothing": (b"", "$"),
    "a NaN literal": (json.dumps(body(data=[float("nan")] * 50)).encode(), "the body is not JSON"),
    "an infinity literal": (json.dumps(body(data=[float("inf")] * 50)).encode(), "the body is not JSON"),
    "no UTF-8": (b'{"id": "\xff\xfe"}', "the body is not JSON"),
    "deep JSON": (b'{"inputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "the body is not JSON"),
    "deep data": (
        json.dumps(body()).replace("[0.5", "[" * 60 + "0.5", 1).replace("]}", "]" * 60 + "}", 1).encode(),
        "$",
    ),
    "a list": (b"[]", "$"),
    "a text": (json.dumps(SECRET).encode(), "$"),
    "no inputs": (b"{}", "$.inputs"),
    "text as shape": (json.dumps(body(shape=[SECRET, 50])).encode(), "$.inputs[0].shape[0]"),
    "text as datatype": (json.dumps(body(datatype=SECRET)).encode(), "$.inputs[0].datatype"),
    "text as values": (json.dumps(body(data=[SECRET] * 50)).encode(), "$.inputs[0].data"),
    "numbers in text": (json.dumps(body(data=["0.5"] * 50)).encode(), "$.inputs[0].data"),
    "booleans as values": (json.dumps(body(data=[True] * 50)).encode(), "$.inputs[0].data"),
    "an object as data": (json.dumps(body(data={SECRET: 1})).encode(), "$.inputs[0].data"),
    "one text as data": (json.dumps(body(data=SECRET)).encode(), "$.inputs[0].data"),
    "ragged rows": (json.dumps(body(shape=[2, 50], data=[[0.5] * 50, [0.5] * 49])).encode(), "got 99"),
    "too large for float32": (json.dumps(body(data=[1e39] * 50)).encode(), "data[0][0]"),
    "enormous integers": (json.dumps(body(data=[10**400] * 50)).encode(), "the body is not JSON"),
    "a frame in JSON": (
        json.dumps(body(datatype="BYTES", shape=[1], data=["A" * 200])).encode(),
        "frames are for gRPC",
    ),
    "too few values": (json.dumps(body(data=[0.5] * 49)).encode(), "got 49"),
    "an unknown output": (json.dumps(body() | {"outputs": [{"name": SECRET}]}).encode(), "$.outputs[0].name"),
    "outputs of another kind": (json.dumps(body() | {"outputs": SECRET}).encode(), "$.outputs"),
    "parameters of another kind": (json.dumps(body() | {"parameters": SECRET}).encode(), "$.parameters"),
    "headers of another kind": (json.dumps(body() | {"parameters": {"headers": SECRET}}).encode(), "$.parameters"),
    "a number as id": (json.dumps(body() | {"id": 7}).encode(), "$.id"),
}


def post(predictor: Predictor, data: bytes, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", predictor.http_port, timeout=DEADLINE_S)
    try:
        connection.request("POST", f"/v2/models/{MODEL}/infer", data, headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("case", POSTS)
def test_a_wrong_body_is_a_400(heavy: Predictor, case: str) -> None:
    data, fragment = POSTS[case]
    status, answer = post(heavy, data, **{"Content-Type": "application/json"})
    assert status == 400, answer
    assert fragment in json.loads(answer)["error"]
    assert SECRET not in answer


@pytest.mark.parametrize(
    ("headers", "data", "status"),
    [
        ({"Content-Encoding": "gzip"}, gzip.compress(json.dumps(body()).encode()), 415),
        ({"Inference-Header-Content-Length": "10"}, json.dumps(body()).encode(), 400),
        ({"Inference-Header-Content-Length": SECRET}, b"{}", 400),
        ({}, b" " * (32 * 2**20 + 1), 413),
    ],
    ids=["compressed", "binary tensors", "nonsense length", "too large"],
)
def test_what_the_rest_door_does_not_take(heavy: Predictor, headers: dict[str, str], data: bytes, status: int) -> None:
    got, answer = post(heavy, data, **headers)
    assert got == status
    assert SECRET not in answer


def test_a_body_without_content_type_is_read_as_json(heavy: Predictor) -> None:
    status, answer = post(heavy, json.dumps(body(data=[[None] * 50])).encode())
    assert status == 200, answer
    (output,) = json.loads(answer)["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("probability", "FP32", [1])


def test_after_all_that_it_still_answers_and_has_logged_nothing_of_it(heavy: Predictor, channel: grpc.Channel) -> None:
    """Runs the worst of the above once more, so that it means something by itself."""
    for request, _ in CALLS.values():
        with pytest.raises(grpc.RpcError):
            ask(channel, request)
    for data, _ in POSTS.values():
        post(heavy, data)
    assert infer(channel, ONE)["margin"].shape == (1,)
    while not heavy._lines.empty():
        line = heavy._lines.get()
        assert line is not None
        assert SECRET not in line
        assert "exception" not in json.loads(line), line
