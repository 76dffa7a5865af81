"""Compressed request bodies, unpacked within a bound."""

from __future__ import annotations

import zlib

from lead_scoring.errors import RequestError

__all__ = ["decompress"]

_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_MAX_MEMBERS = 64  # a gzip body may be several one after the other; each costs a copy of what follows it


def decompress(body: bytes, encoding: str, *, limit: int) -> bytes:
    """Undo a ``Content-Encoding`` of gzip, deflate or identity (also the empty text).

    It stops at the limit: a small body that would become a huge one costs no more than `limit` bytes and one.

    Args:
        body: as received.
        encoding: value of the header, in any case.
        limit: most bytes that the result may have.

    Raises:
        RequestError: 413 for more than `limit` bytes, 400 for a corrupt body, 415 for another encoding.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return _within(limit, body)
        case "gzip" | "x-gzip":
            return _unpack(body, _GZIP, limit)
        case "deflate":
            return _unpack(body, _ZLIB if _has_zlib_header(body) else _RAW, limit)
    raise RequestError(
        "Content-Encoding: expected gzip, deflate or identity, got another; send one of these",
        status=415,
        reason="unknown_encoding",
    )


def _unpack(body: bytes, window: int, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    for _ in range(_MAX_MEMBERS if window == _GZIP else 1):
        stream = zlib.decompressobj(window)
        try:
            parts.append(stream.decompress(body, limit + 1 - size))
        except zlib.error:
            raise _corrupt() from None
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not stream.eof:
            raise _corrupt()
        body = stream.unused_data
        if not body:
            return b"".join(parts)
    raise _corrupt()


def _has_zlib_header(body: bytes) -> bool:
    """Tell the deflate of the standard (in a zlib frame) from the bare one that some clients send."""
    return len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0


def _within(limit: int, body: bytes) -> bytes:
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> RequestError:
    return RequestError(
        f"the body: expected at most {limit} bytes after decompression, got more; send fewer leads at a time",
        status=413,
        reason="body_too_large",
    )


def _corrupt() -> RequestError:
    return RequestError(
        "the body: expected what Content-Encoding says, got bytes that do not decompress; correct one of them",
        reason="corrupt_encoding",
    )
