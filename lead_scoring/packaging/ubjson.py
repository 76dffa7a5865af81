"""Read a model file's UBJSON without XGBoost: an empty or broken one would abort the whole process there."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from lead_scoring.errors import PackageError

__all__ = ["decode"]

MAX_DEPTH = 32
_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_CONSTANTS = {"Z": None, "T": True, "F": False}


def decode(data: bytes) -> Any:
    """Decode one whole UBJSON value (https://ubjson.org, big-endian), as far as XGBoost writes it.

    Returns:
        dicts, lists, texts, numbers; arrays with a stated element type as NumPy arrays.

    Raises:
        PackageError: truncated, followed by something else, nested too deeply or no UBJSON at all.
    """
    reader = _Reader(data)
    try:
        value = reader.value(reader.marker(), MAX_DEPTH)
    except (IndexError, ValueError, struct.error, KeyError) as error:
        raise PackageError(f"no sound UBJSON at byte {reader.position} of {len(data)}") from error
    if reader.position != len(data):
        raise PackageError(f"{len(data) - reader.position} bytes follow the end of the UBJSON")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def take(self, length: int) -> bytes:
        if length > len(self._data) - self.position:
            raise ValueError("past the end")
        self.position += length
        return self._data[self.position - length : self.position]

    def marker(self) -> str:
        return self.take(1).decode("latin-1")

    def peek(self) -> str:
        return chr(self._data[self.position])

    def number(self, marker: str) -> Any:
        kind = np.dtype(_NUMBERS[marker])
        return np.frombuffer(self.take(kind.itemsize), kind)[0].item()

    def length(self) -> int:
        marker = self.marker()
        if marker not in "iUIlL":
            raise ValueError("a length must be an integer")
        length = int(self.number(marker))
        if length < 0:
            raise ValueError("a length must not be negative")
        return length

    def text(self) -> str:
        return self.take(self.length()).decode()

    def value(self, marker: str, depth: int) -> Any:
        if depth == 0:
            raise ValueError("nested too deeply")
        if marker in _NUMBERS:
            return self.number(marker)
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker == "S":
            return self.text()
        if marker == "C":
            return self.take(1).decode()
        if marker == "[":
            return self.array(depth - 1)
        if marker == "{":
            return self.object(depth - 1)
        raise ValueError("unknown marker")

    def array(self, depth: int) -> Any:
        element = None
        if self.peek() == "$":
            self.take(1)
            element = self.marker()
            if self.peek() != "#":
                raise ValueError("a typed array needs a count")
        if self.peek() != "#":
            return self._until("]", lambda: self.value(self.marker(), depth))
        self.take(1)
        count = self.length()
        if element is not None:
            kind = np.dtype(_NUMBERS[element])
            return np.frombuffer(self.take(count * kind.itemsize), kind)
        if count > len(self._data) - self.position:
            raise ValueError("more elements than bytes")
        return [self.value(self.marker(), depth) for _ in range(count)]

    def object(self, depth: int) -> dict[str, Any]:
        pairs = self._until("}", lambda: (self.text(), self.value(self.marker(), depth)))
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key appears twice")
        return found

    def _until(self, end: str, read: Any) -> list[Any]:
        found = []
        while self.peek() != end:
            found.append(read())
        self.take(1)
        return found
