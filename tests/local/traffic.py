"""Open-loop traffic over REST and gRPC at once, every answer checked: status, score, variant in header and body."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from lead_scoring.contract.types import Contract
from lead_scoring.core.plan import ACCEPTED
from tests.support.stack import Stack

CONTENTS = {"FP64": "fp64_contents", "INT64": "int64_contents", "BOOL": "bool_contents", "BYTES": "bytes_contents"}


@dataclass(frozen=True)
class Question:
    """A golden lead as both protocols say it, and the right answer of each variant: score and probability."""

    rest: bytes
    grpc: Any
    right: Mapping[str, tuple[int, float]]


@dataclass(frozen=True)
class Answer:
    """What came back."""

    protocol: str
    key: str
    question: Question
    sent_s: float
    done_s: float
    status: str
    """`ok`, or how it failed."""
    header: str = ""
    variant: str = ""
    result: tuple[int, float] = (0, 0.0)

    @property
    def faults(self) -> list[str]:
        """Everything that is wrong with it by itself."""
        if self.status != "ok":
            return [f"{self.protocol}: {self.status}"]
        found = [] if self.header == self.variant else [f"{self.protocol}: header {self.header}, body {self.variant}"]
        if self.result != self.question.right[self.variant]:
            found.append(f"{self.protocol}: {self.variant} said {self.result}, not {self.question.right[self.variant]}")
        return found


def questions(stack: Stack, count: int = 20) -> list[Question]:
    """Return golden leads of stable; what each variant answers is asked of its own transformer, past Envoy."""
    contract = stack.contract()
    found = []
    for golden in contract.golden.leads[:count]:
        rest, right = _rest(contract, golden.lead), {}
        for variant in stack.state.variants:
            url = f"http://127.0.0.1:{variant.rest_port}/v2/models/{contract.model.name}/infer"
            request = urllib.request.Request(url, data=rest, headers={"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own transformer
                outputs = {output["name"]: output["data"][0] for output in json.load(answer)["outputs"]}
            right[variant.name] = (outputs["score"], outputs["probability"])
        assert right[stack.state.variant("stable").name] == (golden.score, golden.probability)
        found.append(Question(rest, _grpc(contract, golden.lead), right))
    return found


async def open_loop(
    stack: Stack,
    asked: list[Question],
    *,
    rate_hz: float,
    until: Callable[[], bool],
    keys: int = 61,
    protocols: tuple[str, ...] = ("rest", "grpc"),
) -> list[Answer]:
    """Send at a steady rate whether answers come or not, until told to stop; return all answers.

    With an odd number of keys, each of them is sent over both protocols.
    """
    options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with AsyncExitStack() as exits:
        client = await exits.enter_async_context(httpx.AsyncClient(base_url=stack.url, timeout=60, limits=limits))
        channel = await exits.enter_async_context(grpc.aio.insecure_channel(stack.grpc, options=options))
        stub, path = GRPCInferenceServiceStub(channel), f"/v2/models/{stack.state.model}/infer"
        ask: dict[str, Callable[[str, Question], Awaitable[tuple[str, str, tuple[int, float]]]]] = {
            "rest": lambda key, question: _ask_rest(client, path, key, question),
            "grpc": lambda key, question: _ask_grpc(stub, key, question),
        }
        running: list[asyncio.Task[Answer]] = []
        begin = time.monotonic()
        for number in itertools.count():
            if until():
                break
            await asyncio.sleep(begin + number / rate_hz - time.monotonic())
            protocol, key = protocols[number % len(protocols)], f"lead-{number % keys}"
            running.append(asyncio.create_task(_answer(ask[protocol], protocol, key, asked[number % len(asked)])))
        return list(await asyncio.gather(*running))


async def _answer(
    ask: Callable[[str, Question], Awaitable[tuple[str, str, tuple[int, float]]]],
    protocol: str,
    key: str,
    question: Question,
) -> Answer:
    sent_s = time.monotonic()
    try:
        header, variant, result = await ask(key, question)
    except httpx.HTTPStatusError as error:
        status = f"status {error.response.status_code}"
    except httpx.ConnectError:
        status = "refused"
    except httpx.HTTPError as error:
        status = f"broken: {type(error).__name__}"
    except grpc.aio.AioRpcError as error:
        status = "refused" if _is_refusal(error) else f"{error.code().name}: {error.details()}"
    else:
        return Answer(protocol, key, question, sent_s, time.monotonic(), "ok", header, variant, result)
    return Answer(protocol, key, question, sent_s, time.monotonic(), status)


def _is_refusal(error: grpc.aio.AioRpcError) -> bool:
    """Return whether no connection could be made at all."""
    return error.code() is grpc.StatusCode.UNAVAILABLE and "failed to connect to all addresses" in (
        error.details() or ""
    )


async def _ask_rest(
    client: httpx.AsyncClient, path: str, key: str, question: Question
) -> tuple[str, str, tuple[int, float]]:
    headers = {"content-type": "application/json", "x-lead-key": key}
    answer = (await client.post(path, content=question.rest, headers=headers)).raise_for_status()
    outputs = {output["name"]: output["data"][0] for output in answer.json()["outputs"]}
    return answer.headers["x-lead-variant"], outputs["variant"], (outputs["score"], outputs["probability"])


async def _ask_grpc(stub: GRPCInferenceServiceStub, key: str, question: Question) -> tuple[str, str, tuple[int, float]]:
    call = stub.ModelInfer(question.grpc, timeout=60, metadata=[("x-lead-key", key)])
    answer = await call
    outputs = {output.name: output.contents for output in answer.outputs}
    variant = outputs["variant"].bytes_contents[0].decode()
    result = (outputs["score"].int_contents[0], outputs["probability"].fp64_contents[0])
    return dict(await call.initial_metadata())["x-lead-variant"], variant, result


def _rest(contract: Contract, lead: Mapping[str, Any]) -> bytes:
    types = {contract.id_field: "BYTES", **{f.name: ACCEPTED[f.type][0] for f in contract.features}}
    inputs = [
        {"name": name, "datatype": types[name], "shape": [1], "data": [value]}
        for name, value in lead.items()
        if value is not None
    ]
    return json.dumps({"inputs": inputs, "parameters": {"as_of": contract.golden.as_of}}).encode()


def _grpc(contract: Contract, lead: Mapping[str, Any]) -> Any:
    types = {contract.id_field: "BYTES", **{f.name: ACCEPTED[f.type][0] for f in contract.features}}
    request = pb.ModelInferRequest(model_name=contract.model.name)
    request.parameters["as_of"].string_param = contract.golden.as_of
    for name, value in lead.items():
        if value is not None:
            tensor = request.inputs.add(name=name, datatype=types[name], shape=[1])
            getattr(tensor.contents, CONTENTS[types[name]]).append(value.encode() if isinstance(value, str) else value)
    return request
