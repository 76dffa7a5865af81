"""Errors as the two protocols say them; the one table of statuses."""

from __future__ import annotations

import grpc

__all__ = ["to_grpc", "to_http"]


def to_http(error: BaseException, request_id: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return status, headers (``content-type``, ``retry-after`` when overloaded) and JSON body, the same for V1 and V2.

    Anything that is not one of our own errors is a 500 that says nothing of its cause.
    """
    raise NotImplementedError


def to_grpc(error: BaseException) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]:
    """Return status code, message and trailing metadata (``retry-after`` when overloaded)."""
    raise NotImplementedError
