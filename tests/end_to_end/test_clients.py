"""Clients that others wrote, and one made of nothing but the model's metadata, get the right answers through Envoy."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from kserve import (
    InferenceGRPCClient,
    InferenceRESTClient,
    InferInput,
    InferRequest,
    InferResponse,
    RESTConfig,
)
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.infer_type import RequestedOutput
from tritonclient.utils import InferenceServerException

from lead_scoring.core.assembly import seconds
from tests.end_to_end.conftest import Offline
from tests.end_to_end.doors import Doors, patiently
from tests.end_to_end.payloads import Column, columns
from tests.support.stack import Stack

AS_OF = "2026-11-21T00:00:00Z"
PARAMETERS = {"as_of": AS_OF}
MODEL = "lead-scoring"
OUTPUTS = ("score", "probability", "confidence", "features_used", "model_version", "variant")


@pytest.fixture(scope="module")
def asked(stack: Stack, leads: list[dict[str, Any]]) -> list[Column]:
    return columns(stack.contract(), leads[:25])


@pytest.fixture(scope="module")
def right(offline_models: dict[str, Offline], leads: list[dict[str, Any]]) -> dict[str, Any]:
    scored = offline_models["1"].score(leads[:25], seconds(AS_OF))
    return {
        "score": scored.scores.score.tolist(),
        "probability": scored.scores.probability.tolist(),
        "confidence": scored.scores.confidence.tolist(),
        "features_used": scored.encoded.used.tolist(),
        "model_version": ["1"] * 25,
        "variant": ["v1"] * 25,
    }


def told(as_numpy: Callable[[str], Any]) -> dict[str, Any]:
    found = {name: as_numpy(name).tolist() for name in OUTPUTS}
    return {
        name: [value.decode() if isinstance(value, bytes) else value for value in values]
        for name, values in found.items()
    }


def busy(outcome: Any) -> bool:
    """Whether an attempt failed only because the machine is too busy."""
    return isinstance(outcome, Exception) and any(
        word in str(outcome) for word in ("503", "504", "UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED")
    )


def answered(ask: Callable[[], Any]) -> Any:
    """Ask, again if the machine was too busy."""

    def attempt() -> Any:
        try:
            return ask()
        except (InferenceServerException, httpx.HTTPStatusError) as error:
            return error

    found = patiently(attempt, busy)
    if isinstance(found, Exception):
        raise found
    return found


def triton_inputs(asked: list[Column], *, binary: bool) -> list[triton.InferInput]:
    inputs = []
    for column in asked:
        values = column.array().astype(np.bool_) if column.datatype == "BOOL" else column.array()
        tensor = triton.InferInput(column.name, list(values.shape), column.datatype)
        gaps = column.datatype == "FP64" and bool(np.isnan(values).any())  # which it can't say in JSON
        tensor.set_data_from_numpy(values, binary_data=binary or gaps)
        inputs.append(tensor)
    return inputs


@pytest.mark.parametrize("binary_out", [True, False], ids=["binary out", "JSON out"])
@pytest.mark.parametrize("binary_in", [True, False], ids=["binary in", "JSON in"])
def test_triton_over_http(
    stack: Stack, asked: list[Column], right: dict[str, Any], binary_in: bool, binary_out: bool
) -> None:
    outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in OUTPUTS]
    with triton.InferenceServerClient(stack.grpc, network_timeout=60) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(MODEL)
        inputs = triton_inputs(asked, binary=binary_in)
        result = answered(
            lambda: client.infer(MODEL, inputs, outputs=outputs, request_id="triton-1", parameters=PARAMETERS)
        )
    assert told(result.as_numpy) == right
    assert result.get_response()["id"] == "triton-1"
    assert all(("data" in output) is not binary_out for output in result.get_response()["outputs"])


def test_triton_over_http_with_its_defaults_and_compression(
    stack: Stack, asked: list[Column], right: dict[str, Any]
) -> None:
    with triton.InferenceServerClient(stack.grpc, network_timeout=60) as client:
        for algorithm in (None, "gzip", "deflate"):
            result = answered(
                lambda algorithm=algorithm: client.infer(
                    MODEL,
                    triton_inputs(asked, binary=True),
                    parameters=PARAMETERS,
                    request_compression_algorithm=algorithm,
                    response_compression_algorithm=algorithm,
                )
            )
            assert told(result.as_numpy) == right


def test_triton_over_http_reads_metadata_and_refusals(stack: Stack, asked: list[Column]) -> None:
    with triton.InferenceServerClient(stack.grpc, network_timeout=60) as client:
        server, model = client.get_server_metadata(), client.get_model_metadata(MODEL)
        assert "binary_tensor_data" in server["extensions"]
        assert (model["name"], model["versions"]) == (MODEL, ["1"])
        assert [tensor["name"] for tensor in model["inputs"]] == [column.name for column in asked]
        assert not client.is_model_ready("another")
        with pytest.raises(InferenceServerException) as refused:
            client.infer("another", triton_inputs(asked, binary=True))
        assert "404" in str(refused.value.status())
        with pytest.raises(InferenceServerException) as refused:
            answered(lambda: client.infer(MODEL, triton_inputs(asked[:-1] + asked[:1], binary=True)))
        assert "lead_id" in refused.value.message() or "$.inputs" in refused.value.message()
        with pytest.raises(InferenceServerException):
            client.unload_model(MODEL)


def test_triton_over_http_asynchronously(stack: Stack, asked: list[Column], right: dict[str, Any]) -> None:
    async def ask(*, binary: bool) -> Any:
        async with triton_aio.InferenceServerClient(stack.grpc, conn_timeout=60) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready(MODEL)
            assert (await client.get_model_metadata(MODEL))["versions"] == ["1"]
            return await client.infer(MODEL, triton_inputs(asked, binary=binary), parameters=PARAMETERS)

    for binary in (True, False):
        result = answered(lambda binary=binary: asyncio.run(ask(binary=binary)))
        assert told(result.as_numpy) == right


def test_triton_over_grpc(stack: Stack, asked: list[Column], right: dict[str, Any]) -> None:
    """Its inputs travel as raw contents."""
    question = {
        "target": stack.grpc,
        "columns": [[column.name, column.datatype, column.array().tolist()] for column in asked],
        "outputs": OUTPUTS,
        "parameters": PARAMETERS,
    }
    command = [sys.executable, "-m", "tests.end_to_end.triton_client"]

    def ask() -> Any:
        done = subprocess.run(
            command, input=json.dumps(question), capture_output=True, text=True, timeout=120, check=False
        )
        return json.loads(done.stdout) if done.returncode == 0 else RuntimeError(done.stderr)

    found = patiently(ask, busy)
    assert not isinstance(found, Exception), found
    assert found["sync"] == found["aio"] == right
    assert (found["live"], found["ready"], found["model_ready"]) == (True, True, True)
    assert "binary_tensor_data" in found["server"]["extensions"]
    assert found["model"]["name"] == MODEL
    assert [tensor["name"] for tensor in found["model"]["inputs"]] == [column.name for column in asked]
    assert found["unknown"].startswith("StatusCode.NOT_FOUND: not found")


def sdk_request(asked: list[Column], *, binary: bool) -> InferRequest:
    inputs = []
    for column in asked:
        values = column.array().astype(np.bool_) if column.datatype == "BOOL" else column.array()
        tensor = InferInput(column.name, list(values.shape), column.datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        inputs.append(tensor)
    outputs = [RequestedOutput(name, {"binary_data": binary}) for name in OUTPUTS]
    return InferRequest(MODEL, inputs, request_id="sdk-1", parameters=PARAMETERS, request_outputs=outputs)


def sdk_told(response: InferResponse) -> dict[str, Any]:
    assert response.id == "sdk-1"
    assert response.model_version in ("1", None)  # over REST, the SDK reads all of an answer but this
    return told(lambda name: response.get_output_by_name(name).as_numpy())


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
def test_the_kserve_sdk_over_rest(stack: Stack, asked: list[Column], right: dict[str, Any], binary: bool) -> None:
    async def ask() -> InferResponse:
        async with InferenceRESTClient(RESTConfig(protocol="v2", retries=3, timeout=60)) as client:
            assert await client.is_server_live(stack.url)
            assert await client.is_server_ready(stack.url)
            assert await client.is_model_ready(stack.url, MODEL)
            assert not await client.is_model_ready(stack.url, "another")
            return await client.infer(stack.url, sdk_request(asked, binary=binary), model_name=MODEL)

    assert sdk_told(answered(lambda: asyncio.run(ask()))) == right


def test_the_kserve_sdk_over_v1(stack: Stack, leads: list[dict[str, Any]], right: dict[str, Any]) -> None:
    async def ask() -> Any:
        async with InferenceRESTClient(RESTConfig(protocol="v1", retries=3, timeout=60)) as client:
            assert await client.is_model_ready(stack.url, MODEL)
            body = {"instances": leads[:25], "parameters": PARAMETERS}
            return await client.infer(stack.url, body, model_name=MODEL)

    rows = answered(lambda: asyncio.run(ask()))["predictions"]
    assert {name: [row[name] for row in rows] for name in OUTPUTS} == right


@pytest.mark.parametrize("binary", [True, False], ids=["raw", "typed"])
def test_the_kserve_sdk_over_grpc(stack: Stack, asked: list[Column], right: dict[str, Any], binary: bool) -> None:
    async def ask() -> InferResponse:
        async with InferenceGRPCClient(stack.grpc, timeout=60) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready(MODEL)
            return await client.infer(sdk_request(asked, binary=binary))

    assert sdk_told(asyncio.run(ask())) == right


def test_state_and_metadata_over_plain_http_and_grpc(stack: Stack, doors: Doors) -> None:
    for path in (
        "/v2/health/live",
        "/v2/health/ready",
        f"/v2/models/{MODEL}/ready",
        "/v1/models",
        f"/v1/models/{MODEL}",
    ):
        assert doors.http.get(path).status_code == 200
    assert doors.stub.ServerLive(pb.ServerLiveRequest(), timeout=60).live
    assert doors.stub.ServerReady(pb.ServerReadyRequest(), timeout=60).ready
    assert doors.stub.ModelReady(pb.ModelReadyRequest(name=MODEL), timeout=60).ready
    rest = doors.http.get(f"/v2/models/{MODEL}").json()
    proto = doors.stub.ModelMetadata(pb.ModelMetadataRequest(name=MODEL), timeout=60)
    for side in ("inputs", "outputs"):
        assert [(t["name"], t["datatype"], t["shape"]) for t in rest[side]] == [
            (t.name, t.datatype, list(t.shape)) for t in getattr(proto, side)
        ]
    contract = stack.contract()
    assert [tensor["name"] for tensor in rest["inputs"]] == [contract.id_field, *(f.name for f in contract.features)]
    server = doors.stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=60)
    assert doors.http.get("/v2").json() == {
        "name": server.name,
        "version": server.version,
        "extensions": list(server.extensions),
    }


class Generated:
    """A client that knows the protocol and reads the metadata; it has never heard of leads."""

    def __init__(self, url: str, model: str) -> None:
        self._http, self._url = httpx.Client(timeout=60), f"{url}/v2/models/{model}"
        self.metadata = self._http.get(self._url).raise_for_status().json()

    def value(self, tensor: dict[str, Any], chance: np.random.Generator) -> Any:
        """Make up a value that the metadata allow."""
        about = tensor["parameters"]
        if not about["required"] and chance.random() < 0.2:
            return None
        low, high = about.get("minimum", 0), about.get("maximum", 1e6)
        match about["type"]:
            case "id":
                return f"made-up-{chance.integers(10**9)}"
            case "number":
                return float(chance.uniform(low, high))
            case "integer":
                return int(chance.integers(int(low), int(high), endpoint=True))
            case "boolean":
                return bool(chance.random() < 0.5)
            case "category":
                return str(chance.choice(about["categories"]))
            case "timestamp":
                days = int(chance.uniform(max(low, 1), min(high, 3000)))
                return str(np.datetime64("2026-11-21T00:00:00", "s") - np.timedelta64(days, "D")) + "Z"
        raise AssertionError(about["type"])

    def request(self, count: int, chance: np.random.Generator, *, packed: bool) -> dict[str, Any]:
        """Make up a request of `count` rows."""
        rows = {t["name"]: [self.value(t, chance) for _ in range(count)] for t in self.metadata["inputs"]}
        tensors = {t["name"]: t for t in self.metadata["inputs"]}
        form = self.metadata["parameters"]["packed_input"]
        sent = [name for name in rows if not packed or name not in form["order"]]
        inputs = [
            {"name": name, "datatype": tensors[name]["datatype"], "shape": [count], "data": rows[name]} for name in sent
        ]
        if packed:
            data = [[self._number(tensors[name], rows[name][row]) for name in form["order"]] for row in range(count)]
            shape = [count, *form["shape"][1:]]
            inputs.append({"name": form["name"], "datatype": form["datatype"], "shape": shape, "data": data})
        return {"inputs": inputs, "parameters": {"as_of": AS_OF}}

    @staticmethod
    def _number(tensor: dict[str, Any], value: Any) -> Any:
        about = tensor["parameters"]
        if value is None:
            return None
        if about["type"] == "category":
            return about["categories"].index(value)
        return seconds(value) if about["type"] == "timestamp" else float(value)

    def infer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask; check the answer against the metadata."""
        response = patiently(
            lambda: self._http.post(f"{self._url}/infer", json=request), lambda got: got.status_code in (503, 504)
        )
        assert response.status_code == 200, response.text
        outputs = {output["name"]: output for output in response.json()["outputs"]}
        promised = {tensor["name"]: tensor for tensor in self.metadata["outputs"] if tensor["parameters"]["default"]}
        assert outputs.keys() == promised.keys()
        for name, output in outputs.items():
            about = promised[name]["parameters"]
            assert output["datatype"] == promised[name]["datatype"]
            assert all(about.get("minimum", value) <= value <= about.get("maximum", value) for value in output["data"])
        return {name: output["data"] for name, output in outputs.items()}


def test_a_client_made_of_metadata_alone(stack: Stack) -> None:
    chance = np.random.default_rng(17)
    client = Generated(stack.url, MODEL)
    for count in (1, 30, client.metadata["parameters"]["max_leads"]):
        request = client.request(count, chance, packed=False)
        assert len(client.infer(request)["score"]) == count
    assert client.infer(client.request(30, chance, packed=True))["variant"] == ["v1"] * 30


def test_both_forms_of_that_client_mean_the_same(stack: Stack) -> None:
    client = Generated(stack.url, MODEL)
    forms = [client.request(20, np.random.default_rng(4), packed=packed) for packed in (False, True)]
    assert orjson.dumps(forms[0]) != orjson.dumps(forms[1])
    assert client.infer(forms[0]) == client.infer(forms[1])
