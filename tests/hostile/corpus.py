"""Good requests to be spoilt: golden leads in every form, and the examples of `docs/openapi.yaml`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import yaml

from lead_scoring.contract.types import Contract
from tests.end_to_end import payloads
from tests.end_to_end.payloads import LENGTH

OPENAPI = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
PROTOCOLS = ("json", "binary", "v1", "grpc")


@dataclass(frozen=True)
class Case:
    """One request.

    Attributes:
        protocol: one of `PROTOCOLS`.
        body: of the REST request, or the gRPC message.
        headers: of the REST request, in order; the length of the body is added when it is sent.
        good: nothing was spoilt: it must be answered.
    """

    protocol: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    good: bool = False


@dataclass(frozen=True)
class Document:
    """A REST request before it is text: its JSON, and the bytes behind that."""

    protocol: str
    json: dict[str, Any]
    tail: bytes = b""

    def case(self, *, good: bool = False) -> Case:
        """Return it as it goes over the wire."""
        return as_case(self.protocol, self.json, self.tail, good=good)


def as_case(protocol: str, json: Any, tail: bytes, *, good: bool = False) -> Case:
    """Write a document down."""
    text = orjson.dumps(json, option=orjson.OPT_PASSTHROUGH_SUBCLASS)
    if protocol == "binary":
        headers = {"content-type": "application/octet-stream", LENGTH: str(len(text))}
        return Case(protocol, text + tail, headers, good)
    return Case(protocol, text, {"content-type": "application/json"}, good)


@dataclass(frozen=True)
class Corpus:
    """Everything that is good: REST documents and gRPC messages."""

    documents: list[Document]
    messages: list[Any]

    def goods(self) -> list[Case]:
        """Return every request unspoilt."""
        found = [document.case(good=True) for document in self.documents]
        return found + [Case("grpc", message.SerializeToString(), good=True) for message in self.messages]


def corpus(contract: Contract) -> Corpus:
    """Return requests of one to twelve leads made of the contract's golden leads, with options of every kind."""
    golden = [dict(lead.lead) for lead in contract.golden.leads]
    as_of = contract.golden.as_of
    documents: list[Document] = []
    messages: list[Any] = []
    for number, (begin, count) in enumerate([(0, 1), (1, 1), (2, 2), (4, 3), (7, 12), (20, 2)]):
        leads = golden[begin : begin + count] or golden[:1]
        options: dict[str, Any] = {} if number == 5 else {"as_of": as_of}
        if number % 2:
            options.update(explain=True, reasons=3)
        for form in (payloads.named, payloads.packed_json):
            document = form(contract, leads, **options)
            if number % 3 == 1:
                document.update(id="crm-1", outputs=[{"name": name} for name in ("lead_id", "score", "probability")])
            documents.append(Document("json", document))
        for make in (payloads.named_binary, payloads.packed_binary):
            body, told = make(contract, leads, binary_data_output=bool(number % 2), **options)
            length = int(told[LENGTH])
            documents.append(Document("binary", orjson.loads(body[:length]), body[length:]))
        documents.append(Document("v1", payloads.records(contract, leads, **options)))
        for write in (payloads.typed_message, payloads.raw_message, payloads.packed_message):
            messages.append(write(contract, leads, **options))  # noqa: PERF401 (beside the documents)
    documents += _examples()
    return Corpus(documents, messages)


def _examples() -> list[Document]:
    """Return the request examples of the API's description."""
    found: list[Document] = []
    described = yaml.safe_load(OPENAPI.read_text())
    for path, methods in described["paths"].items():
        contents = methods.get("post", {}).get("requestBody", {}).get("content", {})
        for example in contents.get("application/json", {}).get("examples", {}).values():
            protocol = "v1" if path.endswith(":predict") else "json"
            found.append(Document(protocol, example["value"]))
    assert len(found) >= 4
    return found
