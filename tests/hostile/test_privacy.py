"""A mail address and a name in every place that a client can write to: they come back in no error and stand nowhere."""

from __future__ import annotations

import asyncio
import copy
import http.client
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import grpc
import httpx
import orjson
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from lead_scoring.contract.types import Contract
from lead_scoring.local import control
from tests.end_to_end import payloads
from tests.end_to_end.doors import BUSY_GRPC
from tests.end_to_end.payloads import LENGTH
from tests.hostile.wire import talk
from tests.support.stack import Stack, until

MAIL = "zebulon.quackenbush@mail.example"
NAME = "Zebulon Quackenbush"
TRACE = "quackenbush"
"""Part of both, whatever the case."""
JSON = {"content-type": "application/json"}


def traces(text: str | bytes) -> bool:
    """Return whether anything of it is in a text."""
    found = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return TRACE in found.lower()


@pytest.fixture(scope="module")
def contract(stack: Stack) -> Contract:
    return stack.contract()


@pytest.fixture(scope="module")
def leads(contract: Contract) -> list[dict[str, Any]]:
    return [{**lead.lead, contract.id_field: MAIL} for lead in contract.golden.leads[:2]]


@pytest.fixture(scope="module", autouse=True)
def nothing_is_kept(stack: Stack) -> Iterator[None]:
    """Both variants see it all, the canary as a shadow; afterwards no log, metric or statistic has a trace."""
    control.shadow(stack.folder, 100, wait_s=60)
    yield
    with httpx.Client(base_url=stack.url, timeout=30) as client:
        last = client.post(f"/v2/models/{stack.state.model}/infer", content=b"{}", headers=JSON).headers["x-request-id"]
    control.rollback(stack.folder)
    access = [path for path in stack.folder.logs.iterdir() if last in path.read_text(errors="replace")]
    until(
        lambda: sum(last in path.read_text(errors="replace") for path in stack.folder.logs.iterdir()) >= 2,
        f"the last request is in the gateway's log and the transformer's ({access})",
    )
    logs = list(stack.folder.logs.iterdir())
    assert len(logs) >= 5
    assert [path.name for path in logs if traces(path.read_bytes())] == []
    for variant in stack.state.variants:
        assert not traces(httpx.get(f"http://127.0.0.1:{variant.rest_port}/metrics", timeout=30).text)
        with suppress(httpx.TransportError):
            assert not traces(httpx.get(f"http://127.0.0.1:{variant.predictor_rest_port}/metrics", timeout=30).text)
    admin = http.client.HTTPConnection(stack.folder.admin_address.read_text().strip(), timeout=30)
    for page in ("/stats", "/clusters", "/config_dump"):
        admin.request("GET", page)
        assert not traces(admin.getresponse().read()), page
    assert [path for path in stack.folder.root.rglob("*") if path.is_file() and traces(path.read_bytes())] == []


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=30) as found:
        yield found


def expect_silence(response: httpx.Response) -> None:
    """An error has no trace, nor has any header; an answer may have the id."""
    assert response.status_code < 500 or response.status_code in (503, 504)
    assert not traces(str(response.headers))
    if response.status_code != 200:
        assert not traces(response.content)


@pytest.mark.parametrize("text", [MAIL, NAME])
def test_every_field_over_rest(
    client: httpx.Client, contract: Contract, leads: list[dict[str, Any]], text: str
) -> None:
    infer, predict = f"/v2/models/{contract.model.name}/infer", f"/v1/models/{contract.model.name}:predict"
    refused = 0
    for feature in [*(feature.name for feature in contract.features), contract.id_field]:
        spoilt = [{**leads[0], feature: text}, leads[1]]
        answers = [client.post(predict, content=orjson.dumps(payloads.records(contract, spoilt)), headers=JSON)]
        document = payloads.named(contract, leads)
        for tensor in document["inputs"]:
            if tensor["name"] == feature:
                tensor["data"][0] = text
        answers.append(client.post(infer, content=orjson.dumps(document), headers=JSON))
        for tensor in document["inputs"]:
            if tensor["name"] == feature:
                tensor.update(datatype="BYTES", data=[text, text])
        answers.append(client.post(infer, content=orjson.dumps(document), headers=JSON))
        raw = text.encode()
        named = [(column.name, column.datatype, [2], column.frame()) for column in payloads.columns(contract, leads)]
        binary = [
            (name, "BYTES", shape, (len(raw).to_bytes(4, "little") + raw) * 2)
            if name == feature
            else (name, datatype, shape, frame)
            for name, datatype, shape, frame in named
        ]
        body, told = payloads.binary(binary)
        answers.append(client.post(infer, content=body, headers={**JSON, **told}))
        for answer in answers:
            expect_silence(answer)
            refused += answer.status_code == 400
    assert refused > 3 * len(contract.features)


@pytest.mark.parametrize("text", [MAIL, NAME])
def test_every_place_of_a_document(
    client: httpx.Client, contract: Contract, leads: list[dict[str, Any]], text: str
) -> None:
    """Every key renamed and every value replaced, one after the other, in V1 and V2."""

    def places(value: Any) -> Iterator[tuple[Any, Any]]:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in items:
            yield value, key
            yield from places(inner)

    options = {"as_of": contract.golden.as_of, "explain": True, "reasons": 2}
    v2 = payloads.named(contract, leads[:1], **options)
    v2.update(id="1", inputs=v2["inputs"][:4], outputs=[{"name": "score", "parameters": {"binary_data": False}}])
    v1 = payloads.records(contract, leads[:1], **options)
    for path, good in (
        (f"/v2/models/{contract.model.name}/infer", v2),
        (f"/v1/models/{contract.model.name}:predict", v1),
    ):
        for number, _ in enumerate(places(good)):
            for rename in (False, True):
                spoilt = copy.deepcopy(good)
                container, key = list(places(spoilt))[number]
                if not rename:
                    container[key] = text
                elif isinstance(container, dict):
                    container[text] = container.pop(key)
                expect_silence(client.post(path, content=orjson.dumps(spoilt), headers=JSON))
    for body in (
        text.encode(),
        orjson.dumps(text),
        orjson.dumps([text]),
        b'{"inputs": ' + text.encode(),
        b"\xff" + text.encode(),
    ):
        expect_silence(client.post(path, content=body, headers=JSON))


@pytest.mark.parametrize("text", [MAIL, NAME])
def test_every_header_path_and_query(
    client: httpx.Client, stack: Stack, contract: Contract, leads: list[dict[str, Any]], text: str
) -> None:
    infer = f"/v2/models/{contract.model.name}/infer"
    good = orjson.dumps(payloads.named(contract, leads))
    for header in (
        "x-lead-key", "x-request-id", "x-lead-variant", "x-lead-split", "user-agent", "referer", "cookie", "authorization",  # noqa: E501
        "traceparent", "tracestate", "baggage", "x-forwarded-for", "x-envoy-expected-rq-timeout-ms", "content-type",
        "content-encoding", LENGTH, "accept", "from", "x-b3-traceid", "x-client-trace-id", "te", "origin", "x-" + TRACE,
    ):  # fmt: skip
        for body in (good, b"{}"):
            expect_silence(client.post(infer, content=body, headers={**JSON, header: text}))
    for path in (
        f"/v2/models/{text}/infer", f"/v2/models/{contract.model.name}/versions/{text}/infer", f"/{text}", f"{infer}?mail={text}",  # noqa: E501
        f"{infer}#{text}", f"/v1/models/{text}:predict", f"/v1/models/{text}", "/v2/health/ready?" + text,
    ):  # fmt: skip
        for method in ("POST", "GET"):
            expect_silence(client.request(method, path, content=good if method == "POST" else b"", headers=JSON))
    # What is no HTTP at all, or only half of it, at the gateway and at a transformer.
    for port in (stack.port, stack.state.variant("stable").rest_port):
        for raw in (
            text.encode() + b"\r\n\r\n",
            b"GET /" + text.encode() + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + text.encode() + b"\r\n\r\n",
        ):
            assert not traces(asyncio.run(talk("127.0.0.1", port, raw, within_s=60)))


@pytest.mark.parametrize("text", [MAIL, NAME])
def test_every_field_over_grpc(stack: Stack, contract: Contract, leads: list[dict[str, Any]], text: str) -> None:
    raw = text.encode()
    messages = []
    good = payloads.typed_message(contract, leads, as_of=contract.golden.as_of)
    for position in range(len(good.inputs)):
        for change in ("name", "datatype", "value", "contents"):
            spoilt = copy.deepcopy(good)
            tensor = spoilt.inputs[position]
            if change in ("name", "datatype"):
                setattr(tensor, change, text)
            else:
                if change == "value":
                    tensor.datatype = "BYTES"
                tensor.contents.Clear()
                tensor.contents.bytes_contents.extend([raw, raw])
            messages.append(spoilt)
    in_raw = payloads.raw_message(contract, leads)
    for position in range(len(in_raw.raw_input_contents)):
        spoilt = copy.deepcopy(in_raw)
        spoilt.raw_input_contents[position] = (len(raw).to_bytes(4, "little") + raw) * 2
        messages.append(spoilt)
    for change in ("id", "model_name", "model_version"):
        spoilt = copy.deepcopy(good)
        setattr(spoilt, change, text)
        messages.append(spoilt)
    spoilt = copy.deepcopy(good)
    spoilt.outputs.add(name=text)
    messages.append(spoilt)
    for name in ("as_of", "explain", text):
        spoilt = copy.deepcopy(good)
        spoilt.parameters[name].string_param = text
        messages.append(spoilt)
    refused = 0
    with grpc.insecure_channel(stack.grpc) as channel:
        method = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer", request_serializer=bytes, response_deserializer=bytes
        )
        asked: list[tuple[bytes, Any]] = [(message.SerializeToString(), ()) for message in messages]
        asked += [(raw, ()), (b"\xff" + raw, ()), (b"\x0a\x03" + raw, ())]
        asked += [
            (body, ((name, text),))
            for body in (
                good.SerializeToString(),
                pb.ModelInferRequest(model_name=contract.model.name).SerializeToString(),
            )
            for name in ("x-request-id", "x-lead-key", "traceparent", "x-lead-variant", "authorization", "x-" + TRACE)
        ]
        for body, metadata in asked:
            try:
                method(body, metadata=metadata, timeout=20)
            except grpc.RpcError as error:
                refused += error.code() not in BUSY_GRPC
                assert error.code() not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)  # noqa: PT017
                assert not traces(f"{error.details()} {error.trailing_metadata()} {error.initial_metadata()}")  # noqa: PT017
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(f"/inference.GRPCInferenceService/{TRACE}")(b"", timeout=20)
        assert not traces(f"{caught.value.details()} {caught.value.trailing_metadata()}")
    assert refused > 3 * len(contract.features)
