"""Compressed request bodies, unpacked within a bound."""

from __future__ import annotations

__all__ = ["decompress"]


def decompress(body: bytes, encoding: str, *, limit: int) -> bytes:
    """Undo a ``Content-Encoding`` of gzip, deflate or identity (also the empty text).

    Never holds more than `limit` + 64 KiB of output.

    Raises:
        RequestError: 413 for more than `limit` bytes, 400 for a corrupt body, 415 for another encoding.
    """
    raise NotImplementedError
