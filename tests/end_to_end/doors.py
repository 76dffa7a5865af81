"""Every way into the service, one way to ask and one form of answer, so that answers can be compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import httpx
import numpy as np
import orjson
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from lead_scoring.contract.types import Contract
from tests.end_to_end import payloads
from tests.end_to_end.payloads import LENGTH, Lead
from tests.support.stack import DEADLINE_S

T = TypeVar("T")

BUSY_HTTP = {503, 504}
BUSY_GRPC = {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
"""What a request may get because this machine is too busy for it; it is then asked again."""

_DOCUMENTS = {"V1": payloads.records, "V2 JSON": payloads.named, "V2 packed JSON": payloads.packed_json}
_BODIES = {"V2 binary": payloads.named_binary, "V2 packed binary": payloads.packed_binary}
_MESSAGES = {
    "gRPC typed": payloads.typed_message,
    "gRPC raw": payloads.raw_message,
    "gRPC packed": payloads.packed_message,
}
ALL = (*_DOCUMENTS, *_BODIES, *_MESSAGES)
"""The doors by name."""

_DTYPES = {"INT32": "<i4", "FP64": "<f8"}
_CONTENTS = {"INT32": "int_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents"}


@dataclass(frozen=True)
class Answer:
    """What came back: columns by name with one value per lead, reasons as objects."""

    columns: dict[str, list[Any]]
    parameters: dict[str, Any]
    model_version: str
    id: str
    headers: dict[str, str]

    def bits(self, *more: str) -> list[tuple[Any, ...]]:
        """Return a tuple per lead that is equal only to the very same answer."""
        names = ("score", "probability", "confidence", "features_used", "model_version", "variant", *more)
        chosen = [[_exactly(value) for value in self.columns[name]] for name in names]
        return list(zip(*chosen, strict=True))


class Doors:
    """Asks through Envoy; may be shared by threads."""

    def __init__(
        self, url: str, target: str, contract: Contract, *, rest_host: str | None = None, grpc_host: str | None = None
    ) -> None:
        """Open them; the host names are those that the gateway routes by, where it serves others too."""
        self._contract = contract
        self.http = httpx.Client(base_url=url, timeout=60, headers={"host": rest_host} if rest_host else None)
        options: list[tuple[str, Any]] = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        if grpc_host:
            options.append(("grpc.default_authority", grpc_host))
        self._channel = grpc.insecure_channel(target, options=[*options, ("grpc.max_receive_message_length", -1)])
        self.stub = GRPCInferenceServiceStub(self._channel)
        name = contract.model.name
        self.infer, self.predict = f"/v2/models/{name}/infer", f"/v1/models/{name}:predict"

    def close(self) -> None:
        self.http.close()
        self._channel.close()

    def ask(
        self,
        door: str,
        leads: Sequence[Lead],
        *,
        id: str | None = None,  # noqa: A002 - the protocol's word
        headers: dict[str, str] | None = None,
        outputs: Sequence[str] | None = None,
        **parameters: Any,
    ) -> Answer:
        """Score leads through a door; ids and chosen outputs are V2's only."""
        headers = headers or {}
        if door in _MESSAGES:
            message = _MESSAGES[door](self._contract, leads, **parameters)
            message.id = id or ""
            for name in outputs or ():
                message.outputs.add(name=name)
            return self._call(message, headers)
        if door in _BODIES:
            body, told = _BODIES[door](self._contract, leads, binary_data_output=True, **parameters)
            length = int(told[LENGTH])
            document, tail = orjson.loads(body[:length]), body[length:]
        else:
            document, tail = _DOCUMENTS[door](self._contract, leads, **parameters), b""
        if id is not None:
            document["id"] = id
        if outputs is not None:
            document["outputs"] = [{"name": name} for name in outputs]
        text = orjson.dumps(document)
        told = {LENGTH: str(len(text))} if tail else {}
        path = self.predict if door == "V1" else self.infer
        kind = "application/octet-stream" if tail else "application/json"
        response = self.post(path, text + tail, {"content-type": kind, **told, **headers})
        assert response.status_code == 200, response.text
        return _from_v1(response) if door == "V1" else _from_v2(response)

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """Send a body, again if the machine was too busy; return whatever else came back."""
        return patiently(
            lambda: self.http.post(path, content=body, headers=headers), lambda got: got.status_code in BUSY_HTTP
        )

    def refusal(self, message: Any, method: str = "ModelInfer") -> grpc.RpcError | None:
        """Send a message that may be refused; return the refusal, None if it was answered."""

        def attempt() -> grpc.RpcError | None:
            try:
                getattr(self.stub, method)(message, timeout=60)
            except grpc.RpcError as error:
                return error
            return None

        return patiently(attempt, lambda error: error is not None and error.code() in BUSY_GRPC)

    def raw_refusal(self, path: str, raw: bytes) -> grpc.RpcError | None:
        """Send bytes to any gRPC method; return the refusal, None if it was answered."""
        method = self._channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes)

        def attempt() -> grpc.RpcError | None:
            try:
                method(raw, timeout=60)
            except grpc.RpcError as error:
                return error
            return None

        return patiently(attempt, lambda error: error is not None and error.code() in BUSY_GRPC)

    def _call(self, message: Any, headers: dict[str, str]) -> Answer:
        metadata = [(name.lower(), value) for name, value in headers.items()]

        def attempt() -> tuple[Any, Any]:
            try:
                return self.stub.ModelInfer.with_call(message, timeout=60, metadata=metadata)  # type: ignore[no-any-return]
            except grpc.RpcError as error:
                return None, error

        answer, call = patiently(attempt, lambda got: got[0] is None and got[1].code() in BUSY_GRPC)
        assert answer is not None, call.details()
        told = dict(call.initial_metadata()) | dict(call.trailing_metadata())
        return _from_grpc(answer, told)


def patiently(attempt: Callable[[], T], busy: Callable[[T], bool]) -> T:
    """Repeat an attempt for as long as the machine is too busy for it."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        found = attempt()
        if not busy(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _from_v1(response: httpx.Response) -> Answer:
    document = response.json()
    rows = document["predictions"]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    about = document["parameters"]
    return Answer(columns, about, about["model_version"], "", dict(response.headers))


def _from_v2(response: httpx.Response) -> Answer:
    length = int(response.headers.get(LENGTH, len(response.content)))
    document, tail, offset = orjson.loads(response.content[:length]), response.content[length:], 0
    columns = {}
    for output in document["outputs"]:
        if "data" in output:
            columns[output["name"]] = output["data"]
        else:
            size = output["parameters"]["binary_data_size"]
            columns[output["name"]] = _unpack(output["datatype"], tail[offset : offset + size])
            offset += size
        assert output["shape"] == [len(columns[output["name"]])]
    assert offset == len(tail)
    return Answer(
        _read(columns),
        document["parameters"],
        document["model_version"],
        document.get("id", ""),
        dict(response.headers),
    )


def _from_grpc(answer: pb.ModelInferResponse, headers: dict[str, str]) -> Answer:
    columns: dict[str, list[Any]] = {}
    for position, output in enumerate(answer.outputs):
        if answer.raw_output_contents:
            columns[output.name] = _unpack(output.datatype, answer.raw_output_contents[position])
        else:
            values = list(getattr(output.contents, _CONTENTS[output.datatype]))
            columns[output.name] = [v.decode() for v in values] if output.datatype == "BYTES" else values
        assert list(output.shape) == [len(columns[output.name])]
    parameters = {
        name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in answer.parameters.items()
    }
    return Answer(_read(columns), parameters, answer.model_version, answer.id, headers)


def _unpack(datatype: str, raw: bytes) -> list[Any]:
    if datatype != "BYTES":
        return np.frombuffer(raw, _DTYPES[datatype]).tolist()
    texts, offset = [], 0
    while offset < len(raw):
        size = int.from_bytes(raw[offset : offset + 4], "little")
        texts.append(raw[offset + 4 : offset + 4 + size].decode())
        offset += 4 + size
    return texts


def _read(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    if "reasons" in columns:
        columns["reasons"] = [orjson.loads(text) for text in columns["reasons"]]
    return columns


def _exactly(value: Any) -> Any:
    return value.hex() if isinstance(value, float) else value
