"""V2 (Open Inference) over REST: JSON bodies, with or without the binary tensor data extension."""

from __future__ import annotations

from collections.abc import Mapping

from lead_transformer.messages import Answer, ScoreRequest

__all__ = ["HEADER_LENGTH", "decode", "encode"]

HEADER_LENGTH = "inference-header-content-length"
"""The header that says how much of the body is JSON, in both directions."""


def decode(body: bytes, headers: Mapping[str, str]) -> ScoreRequest:
    """Parse the body of ``POST /v2/models/{name}/infer``.

    Only the envelope is checked here; names, datatypes, shapes and values are `core.assembly`'s.

    Args:
        body: the whole body, already decompressed.
        headers: lower-case names; only `HEADER_LENGTH` is read.

    Raises:
        RequestError: not JSON, not an object (400).
        InvalidLeads: tensors, parameters or outputs that are not of the protocol's form (400).
    """
    raise NotImplementedError


def encode(request: ScoreRequest, answer: Answer) -> tuple[bytes, list[tuple[str, str]]]:
    """Return the response body and its headers: ``content-type`` and, with binary outputs, `HEADER_LENGTH`."""
    raise NotImplementedError
