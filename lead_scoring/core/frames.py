"""The fast way between transformer and predictor: raw float32 frames over a unix socket, many under way at once.

Both directions carry frames of one header (16 bytes, little-endian) and a payload:

=========  ======  ==========================================================================================
field      type    request                                    answer
=========  ======  ==========================================================================================
length     uint32  bytes of payload                           bytes of payload
number     uint32  chosen by the sender                       that of the request; answers come in any order
rows       uint32  leads in the payload                       leads in the payload
columns    uint16  features f                                 0, or f + 1 when contributions follow the margins
kind       uint16  `Ask`                                      `Status`
payload            `rows * columns` float32, row after row    `rows` margins, then `rows * columns` contributions;
                                                              UTF-8 text when the status is not `OK`
=========  ======  ==========================================================================================
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MAX_PAYLOAD_BYTES",
    "Ask",
    "Frame",
    "FrameError",
    "FrameReader",
    "Status",
    "answer",
    "cancellation",
    "question",
    "refusal",
]

_HEADER = struct.Struct("<IIIHH")
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024


class Ask(IntEnum):
    """What a request wants."""

    MARGIN = 1
    CONTRIBUTIONS = 2
    """Margins too."""
    CANCEL = 3
    """Nobody waits for the request of this number any more; it gets no answer."""


class Status(IntEnum):
    """How a request went."""

    OK = 0
    REFUSED = 1
    """The request is not one that can be answered."""
    FAILED = 2


class FrameError(ValueError):
    """Bytes that are no frame: the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it came; `payload` is a view, not a copy."""

    number: int
    rows: int
    columns: int
    kind: int
    payload: memoryview


class FrameReader:
    """Cuts a stream of bytes into frames; a frame that arrives whole is not copied."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete with `data`.

        Raises:
            FrameError: a payload larger than `MAX_PAYLOAD_BYTES`.
        """
        if self._rest:
            self._rest += data
            data = bytes(self._rest) if self._is_whole(self._rest) else b""
            if not data:
                return
            self._rest.clear()
        view, position, end = memoryview(data), 0, len(data)
        while end - position >= _HEADER.size:
            length, number, rows, columns, kind = _HEADER.unpack_from(view, position)
            if length > MAX_PAYLOAD_BYTES:
                raise FrameError(f"a payload of {length} bytes, at most {MAX_PAYLOAD_BYTES} are allowed")
            begin = position + _HEADER.size
            if end - begin < length:
                break
            yield Frame(number, rows, columns, kind, view[begin : begin + length])
            position = begin + length
        self._rest += view[position:]

    @staticmethod
    def _is_whole(data: bytearray) -> bool:
        if len(data) < _HEADER.size:
            return False
        length = _HEADER.unpack_from(data)[0]
        return bool(len(data) >= _HEADER.size + length or length > MAX_PAYLOAD_BYTES)


def question(number: int, matrix: NDArray[np.float32], ask: Ask) -> bytes:
    """Return the bytes of a request for the encoded matrix `(n, f)`."""
    rows, columns = matrix.shape
    payload = np.ascontiguousarray(matrix, dtype="<f4").tobytes()
    return _HEADER.pack(len(payload), number, rows, columns, ask) + payload


def cancellation(number: int) -> bytes:
    """Return the bytes that call a request off."""
    return _HEADER.pack(0, number, 0, 0, Ask.CANCEL)


def answer(number: int, margin: NDArray[np.float32], contributions: NDArray[np.float32] | None = None) -> bytes:
    """Return the bytes of an answer: margins `(n,)` and, where asked for, contributions `(n, f + 1)`."""
    payload = margin.astype("<f4", copy=False).tobytes()
    columns = 0
    if contributions is not None:
        columns = contributions.shape[1]
        payload += contributions.astype("<f4", copy=False).tobytes()
    return _HEADER.pack(len(payload), number, len(margin), columns, Status.OK) + payload


def refusal(number: int, status: Status, message: str) -> bytes:
    """Return the bytes of an answer that is none."""
    payload = message.encode()
    return _HEADER.pack(len(payload), number, 0, 0, status) + payload
