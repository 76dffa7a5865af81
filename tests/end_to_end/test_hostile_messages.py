"""The same over gRPC: INVALID_ARGUMENT with where, what was expected and what to do."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from lead_scoring.contract.types import Contract
from lead_scoring.local.envoy import MAX_BODY_BYTES
from tests.end_to_end import payloads
from tests.end_to_end.conftest import LONG, MARK
from tests.end_to_end.doors import Doors


def expect_rpc_refusal(error: grpc.RpcError | None, path: str) -> str:
    assert error is not None
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error.details()
    details: str = error.details()
    assert f"{path}: expected " in details
    assert ", got " in details
    assert "; " in details  # what to do
    assert MARK not in details
    assert len(details) <= 3000
    assert dict(error.trailing_metadata())["x-request-id"]
    return details


def member(message: Any, name: str) -> Any:
    return next(found for found in message.inputs if found.name == name)


def contents(name: str, field: str, values: list[Any]) -> Callable[[Any], Any]:
    def spoil(message: Any) -> None:
        found = member(message, name)
        found.contents.Clear()
        getattr(found.contents, field).extend(values)

    return spoil


def rename(old: str, new: str) -> Callable[[Any], Any]:
    return lambda message: setattr(member(message, old), "name", new)


MESSAGES: list[tuple[str, Callable[[Any], Any], str]] = [
    ("empty text where required", contents("company_size", "bytes_contents", [b"", b"1-10", b"1-10"]),
     "$.inputs[1].data[0]"),
    ("infinity", contents("account_revenue", "fp64_contents", [1.0, math.inf, 1.0]), "$.inputs[14].data[1]"),
    ("minus infinity", contents("account_revenue", "fp64_contents", [1.0, -math.inf, 1.0]), "$.inputs[14].data[1]"),
    ("unknown category", contents("company_size", "bytes_contents", [MARK.encode()] * 3), "$.inputs[1].data[0]"),
    ("no UTF-8", contents("company_size", "bytes_contents", [b"\xff" + MARK.encode()] * 3), "$.inputs[1].data[0]"),
    ("a text of 1 MiB", contents("company_size", "bytes_contents", [LONG.encode(), b"1-10", b"1-10"]),
     "$.inputs[1].data[0]"),
    ("values in the wrong field", contents("company_size", "fp64_contents", [1.0] * 3), "$.inputs[1].contents"),
    ("too few values", contents("company_size", "bytes_contents", [b"1-10"]), "$.inputs[1].data"),
    ("out of range", contents("custom_feature_1", "fp64_contents", [-1.0] * 3), "$.inputs[17].data[0]"),
    ("unknown tensor", rename("geography", MARK), "$.inputs[5].name"),
    ("duplicate tensor", rename("geography", "company_size"), "$.inputs[5].name"),
    ("wrong datatype", lambda m: setattr(member(m, "lead_id"), "datatype", MARK), "$.inputs[0].datatype"),
    ("ragged", lambda m: (member(m, "company_size").shape.__setitem__(0, 2),
                          contents("company_size", "bytes_contents", [b"1-10"] * 2)(m)), "$.inputs[1].shape"),
    ("negative shape", lambda m: member(m, "company_size").shape.__setitem__(0, -3), "$.inputs[1].shape"),
    ("enormous shape", lambda m: member(m, "company_size").shape.__setitem__(0, 2**62), "$.inputs[1].shape"),
    ("no shape", lambda m: member(m, "company_size").ClearField("shape"), "$.inputs[1].shape"),
    ("no inputs", lambda m: m.ClearField("inputs"), "$.inputs"),
    ("raw and typed", lambda m: m.raw_input_contents.append(b"x"), "$.raw_input_contents"),
    ("an unknown output", lambda m: m.outputs.add(name=MARK), "$.outputs[0].name"),
    ("no as_of", lambda m: setattr(m.parameters["as_of"], "string_param", MARK), "$.parameters.as_of"),
    ("a long id", lambda m: setattr(m, "id", LONG), "$.id"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "path"), [case[1:] for case in MESSAGES], ids=[case[0] for case in MESSAGES])
def test_grpc_refuses(
    doors: Doors, contract: Contract, few: list[dict[str, Any]], spoil: Callable[[Any], Any], path: str
) -> None:
    message = payloads.typed_message(contract, few)
    spoil(message)
    expect_rpc_refusal(doors.refusal(message), path)


def test_grpc_refuses_0_and_501_leads_and_lying_raw_sizes(
    doors: Doors, contract: Contract, few: list[dict[str, Any]]
) -> None:
    for count in (0, 501):
        expect_rpc_refusal(doors.refusal(payloads.typed_message(contract, (few * 167)[:count])), "$.inputs")
        expect_rpc_refusal(doors.refusal(payloads.raw_message(contract, (few * 167)[:count])), "$.inputs")
    message = payloads.raw_message(contract, few)
    message.raw_input_contents[14] = message.raw_input_contents[14][:-1]
    expect_rpc_refusal(doors.refusal(message), "$.raw_input_contents[14]")
    message = payloads.raw_message(contract, few)
    message.raw_input_contents[1] = struct.pack("<I", 2**31) + message.raw_input_contents[1][4:]
    expect_rpc_refusal(doors.refusal(message), "$.raw_input_contents[1]")
    message = payloads.raw_message(contract, few)
    message.raw_input_contents.pop()
    expect_rpc_refusal(doors.refusal(message), "$.raw_input_contents")


def test_a_message_that_is_too_large_is_refused_by_the_gateway(
    doors: Doors, contract: Contract, few: list[dict[str, Any]]
) -> None:
    message = payloads.typed_message(contract, few)
    message.inputs[1].contents.bytes_contents[0] = bytes(MAX_BODY_BYTES)
    error = doors.refusal(message)
    assert error is not None
    assert error.code() is not grpc.StatusCode.INTERNAL
    assert "large" in (error.details() or "")


@pytest.mark.parametrize("raw", [b"\xff\xff\xff", MARK.encode(), b"\x0a\x03\xff\xff\xff"])
def test_bytes_that_are_no_message_are_refused(doors: Doors, raw: bytes) -> None:
    error = doors.raw_refusal("/inference.GRPCInferenceService/ModelInfer", raw)
    assert error is not None
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert MARK not in (error.details() or "")
