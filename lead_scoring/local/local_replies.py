"""What Envoy itself answers when no pod does: the V2 protocol's error body, and nothing about the inside."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["config"]

_TEXTS = {
    400: "the request is malformed",
    404: "no such path, or not with this method",
    408: "the request did not arrive in time",
    413: "the request body is too large",
    431: "the request headers are too large",
    502: "the service is unavailable; try again",
    503: "the service is unavailable; try again",
    504: "the service did not answer in time",
}
_COME_BACK = {503}


def config() -> dict[str, Any]:
    """Return the `local_reply_config`: a text per status, as ``{"error": …}`` over REST and grpc-message over gRPC."""
    return {
        "mappers": [_mapper(status, text, grpc=grpc) for status, text in _TEXTS.items() for grpc in (True, False)],
        "body_format": _body_format('{"error": "the request was refused"}\n', "application/json"),
    }


def _mapper(status: int, text: str, *, grpc: bool) -> dict[str, Any]:
    of_status: dict[str, Any] = {
        "status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": "unused"}}}
    }
    is_grpc = {
        "header_filter": {
            "header": {"name": "content-type", "string_match": {"prefix": "application/grpc"}},
        }
    }
    mapper: dict[str, Any] = {
        "filter": {"and_filter": {"filters": [of_status, is_grpc]}} if grpc else of_status,
        "body_format_override": _body_format(text, "text/plain")
        if grpc
        else _body_format(json.dumps({"error": text}) + "\n", "application/json"),
    }
    if status in _COME_BACK:
        mapper["headers_to_add"] = [{"header": {"key": "retry-after", "value": "1"}, "append_action": "ADD_IF_ABSENT"}]
    return mapper


def _body_format(text: str, content_type: str) -> dict[str, Any]:
    return {"text_format_source": {"inline_string": text.replace("%", "%%")}, "content_type": content_type}
