"""Errors as the two protocols say them; the one table of statuses."""

from __future__ import annotations

from typing import Any

import grpc
import orjson

from lead_scoring.core.findings import MAX_PROBLEMS
from lead_scoring.errors import (
    DeadlineExceeded,
    InvalidLeads,
    NotReady,
    Overloaded,
    PredictorFailed,
    RequestError,
    ServiceError,
)

__all__ = ["MAX_GRPC_MESSAGE_BYTES", "to_grpc", "to_http"]

MAX_GRPC_MESSAGE_BYTES = 3000
"""gRPC sends the message in a header, percent-encoded, and clients refuse more than 8 KiB of headers in all."""

_INTERNAL = "internal error; nothing was wrong with the request as far as we know"
_RETRY_AFTER_S = 1

_SERVICE_ERRORS: tuple[tuple[type[ServiceError], str, grpc.StatusCode], ...] = (
    (Overloaded, "overloaded", grpc.StatusCode.RESOURCE_EXHAUSTED),
    (DeadlineExceeded, "deadline_exceeded", grpc.StatusCode.DEADLINE_EXCEEDED),
    (NotReady, "not_ready", grpc.StatusCode.UNAVAILABLE),
    (PredictorFailed, "predictor_failed", grpc.StatusCode.UNAVAILABLE),
)
"""Our own faults: word and gRPC code. The HTTP status is the class's own."""

_GRPC_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
}
"""What a caller's fault becomes over gRPC, by HTTP status; INVALID_ARGUMENT otherwise."""


def to_http(error: BaseException, request_id: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return status, headers and JSON body, the same for V1 and V2.

    Anything that is not one of our own errors is a 500 that says nothing of its cause.

    Returns:
        The status; ``content-type`` and, when it makes sense to come back, ``retry-after`` in seconds; and an object of
        `error` (one line), `code` (a stable word), `request_id` and, for invalid leads, `problems` (at most 100) and
        `problems_total`.
    """
    status, code, _, line, retry_after_s = _describe(error)
    document: dict[str, Any] = {"error": line, "code": code, "request_id": request_id}
    if isinstance(error, InvalidLeads):
        document["problems"] = [
            {
                "path": problem.path,
                "reason": problem.reason,
                "expected": problem.expected,
                "got": problem.got,
                "remedy": problem.remedy,
            }
            for problem in error.problems[:MAX_PROBLEMS]
        ]
        document["problems_total"] = error.total
    headers = [("content-type", "application/json")]
    if retry_after_s is not None:
        headers.append(("retry-after", str(retry_after_s)))
    return status, headers, orjson.dumps(document)


def to_grpc(error: BaseException) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]:
    """Return status code, message and trailing metadata.

    Returns:
        The code; one line with as many problems as fit `MAX_GRPC_MESSAGE_BYTES`, then how many more there are; and
        ``retry-after`` in seconds when it makes sense to come back.
    """
    _, _, code, line, retry_after_s = _describe(error)
    if isinstance(error, InvalidLeads):
        line = _listed(error)
    trailers = () if retry_after_s is None else (("retry-after", str(retry_after_s)),)
    return code, _cut(line, MAX_GRPC_MESSAGE_BYTES), trailers


def _describe(error: BaseException) -> tuple[int, str, grpc.StatusCode, str, int | None]:
    """Return HTTP status, word, gRPC code, line and the seconds after which to come back."""
    if isinstance(error, RequestError):
        grpc_code = _GRPC_CODES.get(error.status, grpc.StatusCode.INVALID_ARGUMENT)
        return error.status, error.reason, grpc_code, _one_line(str(error)), None
    for kind, word, grpc_code in _SERVICE_ERRORS:
        if isinstance(error, kind):
            retry_after_s = error.retry_after_s if isinstance(error, Overloaded) else _RETRY_AFTER_S
            come_back = None if isinstance(error, DeadlineExceeded) else retry_after_s
            return error.status, word, grpc_code, _one_line(str(error)), come_back
    return 500, "internal", grpc.StatusCode.INTERNAL, _INTERNAL, None


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _listed(error: InvalidLeads) -> str:
    """Join as many problems as fit, always at least one."""
    room = MAX_GRPC_MESSAGE_BYTES - 60  # for the count at the end
    lines: list[str] = []
    for problem in error.problems:
        line = _cut(_one_line(str(problem)), room)
        size = _size_in_header(line) + 3
        if size > room:
            break
        lines.append(line)
        room -= size
    more = error.total - len(lines)
    return " | ".join(lines) + (f" | and {more} more problem{'s' if more > 1 else ''}" if more else "")


def _size_in_header(text: str) -> int:
    """Return the bytes of a text in a grpc-message header: one for printable ASCII other than %, else three."""
    raw = text.encode("utf-8", "replace")
    return sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in raw)


def _cut(text: str, size: int) -> str:
    """Shorten a text so that it takes at most `size` bytes in a header."""
    if _size_in_header(text) <= size:
        return text
    room, kept = size - 9, []  # the ellipsis takes nine
    for character in text:
        room -= _size_in_header(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept) + "…"
