from __future__ import annotations

from urllib.parse import quote

import grpc
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lead_transformer.error_bodies import MAX_GRPC_MESSAGE_BYTES, to_grpc, to_http

from lead_scoring import errors
from lead_scoring.errors import InvalidLeads, Problem, RequestError

CODE = grpc.StatusCode
PROBLEM = Problem(
    "$.inputs[3].data[17]", "out_of_range", "revenue: a finite number of at least 0 USD", "-4", "send null"
)


@pytest.mark.parametrize(
    ("error", "status", "word", "code", "retry_after"),
    [
        (RequestError("no"), 400, "malformed", CODE.INVALID_ARGUMENT, None),
        (RequestError("no", status=401, reason="r"), 401, "r", CODE.UNAUTHENTICATED, None),
        (RequestError("no", status=403, reason="r"), 403, "r", CODE.PERMISSION_DENIED, None),
        (RequestError("no", status=404, reason="r"), 404, "r", CODE.NOT_FOUND, None),
        (RequestError("no", status=405, reason="r"), 405, "r", CODE.UNIMPLEMENTED, None),
        (RequestError("no", status=408, reason="r"), 408, "r", CODE.DEADLINE_EXCEEDED, None),
        (RequestError("no", status=413, reason="r"), 413, "r", CODE.INVALID_ARGUMENT, None),
        (RequestError("no", status=415, reason="r"), 415, "r", CODE.INVALID_ARGUMENT, None),
        (RequestError("no", status=429, reason="r"), 429, "r", CODE.RESOURCE_EXHAUSTED, None),
        (RequestError("no", status=499, reason="r"), 499, "r", CODE.CANCELLED, None),
        (InvalidLeads([PROBLEM]), 400, "out_of_range", CODE.INVALID_ARGUMENT, None),
        (errors.Overloaded("full", retry_after_s=3), 503, "overloaded", CODE.RESOURCE_EXHAUSTED, "3"),
        (errors.DeadlineExceeded("late"), 504, "deadline_exceeded", CODE.DEADLINE_EXCEEDED, None),
        (errors.NotReady("soon"), 503, "not_ready", CODE.UNAVAILABLE, "1"),
        (errors.PredictorFailed("away"), 503, "predictor_failed", CODE.UNAVAILABLE, "1"),
        (errors.ServiceError("hidden"), 500, "internal", CODE.INTERNAL, None),
        (errors.ContractError("hidden"), 500, "internal", CODE.INTERNAL, None),
        (KeyError("hidden"), 500, "internal", CODE.INTERNAL, None),
        (ZeroDivisionError("hidden"), 500, "internal", CODE.INTERNAL, None),
    ],
)
def test_every_error_has_its_status_in_both_protocols(
    error: Exception, status: int, word: str, code: grpc.StatusCode, retry_after: str | None
) -> None:
    got_status, headers, body = to_http(error, "request-1")
    got_code, message, trailers = to_grpc(error)
    document = orjson.loads(body)
    assert (got_status, got_code) == (status, code)
    assert document["code"] == word
    assert document["request_id"] == "request-1"
    assert dict(headers) == {"content-type": "application/json"} | ({"retry-after": retry_after} if retry_after else {})
    assert dict(trailers) == ({"retry-after": retry_after} if retry_after else {})
    assert "hidden" not in body.decode() + message
    assert document["error"]
    assert message


def test_each_of_our_service_errors_is_in_the_table() -> None:
    """An error added to the tree without a status of its own would be an internal one."""
    arguments = {"Overloaded": "full"}
    for kind in errors.ServiceError.__subclasses__():
        assert orjson.loads(to_http(kind(arguments.get(kind.__name__, "x")), "")[2])["code"] != "internal"


def test_problems_are_told_in_full_over_http() -> None:
    document = orjson.loads(to_http(InvalidLeads([PROBLEM] * 2, 250), "r")[2])
    assert document["problems_total"] == 250
    assert document["problems"] == [
        {
            "path": "$.inputs[3].data[17]",
            "reason": "out_of_range",
            "expected": "revenue: a finite number of at least 0 USD",
            "got": "-4",
            "remedy": "send null",
        }
    ] * 2  # fmt: skip
    assert document["error"] == f"{PROBLEM} (and 249 more problems)"


def test_lists_at_most_a_hundred_problems() -> None:
    assert len(orjson.loads(to_http(InvalidLeads([PROBLEM] * 300), "r")[2])["problems"]) == 100


def test_the_line_is_one_line() -> None:
    problem = Problem("$", "r", "a\nb", "c", "d")
    assert orjson.loads(to_http(InvalidLeads([problem]), "r")[2])["error"] == "$: expected a b, got c; d"
    assert to_grpc(InvalidLeads([problem]))[1] == "$: expected a b, got c; d"


def test_problems_are_told_over_grpc_as_far_as_they_fit() -> None:
    message = to_grpc(InvalidLeads([PROBLEM] * 100, 150))[1]
    parts = message.split(" | ")
    assert parts[0] == str(PROBLEM)
    assert 10 < len(parts) < 100
    assert parts[-1] == f"and {150 - len(parts) + 1} more problems"


def test_a_long_message_is_cut_over_grpc_alone() -> None:
    error = RequestError("é" * 5000)
    message = to_grpc(error)[1]
    assert message == "é" * (len(message) - 1) + "…"
    assert MAX_GRPC_MESSAGE_BYTES - 6 < len(quote(message)) <= MAX_GRPC_MESSAGE_BYTES
    assert orjson.loads(to_http(error, "r")[2])["error"] == "é" * 5000


def test_few_problems_are_told_without_a_count() -> None:
    assert to_grpc(InvalidLeads([PROBLEM, PROBLEM]))[1] == f"{PROBLEM} | {PROBLEM}"


ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=4000)


@given(st.lists(ANY, min_size=1, max_size=5), st.integers(0, 10**6))
def test_grpc_messages_fit_a_header_whatever_they_say(texts: list[str], more: int) -> None:
    problems = [Problem("$.x", "r", text, "got", "remedy") for text in texts]
    message = to_grpc(InvalidLeads(problems, len(problems) + more))[1]
    assert message.startswith("$.x: expected")
    assert len(quote(message, safe="".join(map(chr, range(0x20, 0x7F))).replace("%", ""))) <= MAX_GRPC_MESSAGE_BYTES
    assert len(to_grpc(RequestError(texts[0] + "x"))[1].encode()) <= MAX_GRPC_MESSAGE_BYTES
