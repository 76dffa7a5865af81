"""V1 over REST: lead records in, one object per lead out."""

from __future__ import annotations

from lead_transformer.messages import Answer, ScoreRequest

__all__ = ["decode", "encode"]


def decode(body: bytes) -> ScoreRequest:
    """Parse the body of ``POST /v1/models/{name}:predict``.

    Raises:
        RequestError: not JSON, not an object (400).
        InvalidLeads: no `instances`, unknown keys beside it, or wrong parameters (400).
    """
    raise NotImplementedError


def encode(request: ScoreRequest, answer: Answer) -> bytes:
    """Return the JSON response body (``application/json``)."""
    raise NotImplementedError
