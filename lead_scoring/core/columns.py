"""One feature's values for all leads at a time: whatever a client sent becomes a column of numbers, or a finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.core.findings import MAX_ID_BYTES, MAX_TEXT_BYTES, Finding, Report
from lead_scoring.core.moments import seconds
from lead_scoring.core.plan import ID, FeaturePlan

__all__ = ["Columns", "kind_of", "lead_ids"]

_NUMBERS: frozenset[type] = frozenset((int, float, type(None)))
_BOOLEANS: frozenset[type] = frozenset((bool, type(None)))
_EMPTY = ("", b"")


class Columns:
    """Collects the columns of `count` leads; what can't be read is reported once and marked as known to be bad."""

    def __init__(self, plan: FeaturePlan, count: int, report: Report) -> None:
        self._plan, self._count, self._report = plan, count, report
        self._arrays: list[tuple[int, NDArray[Any]]] = []
        self._numbers: dict[int, Sequence[Any]] = {}  # as sent: their types are looked at all together
        self._clean: dict[int, Sequence[float]] = {}
        self._whole: NDArray[Any] | None = None
        self.known_bad: NDArray[np.bool_] | None = None

    def put(self, column: int, values: Sequence[Any] | NDArray[Any], datatype: str) -> None:
        """Add a feature's values, as JSON values or as a numeric array, under the V2 datatype they came as."""
        if isinstance(values, np.ndarray) and values.dtype.kind in "biuf" and datatype != "BYTES":
            self._arrays.append((column, values))
            return
        listed = values if type(values) is list else list(values)
        if self._plan.features[column].type == "category":
            self._clean[column] = self._positions(column, listed)
        elif datatype == "BYTES":
            self._clean[column] = self._moments(column, listed)
        elif datatype == "BOOL":
            sound = _BOOLEANS.issuperset(map(type, listed))
            self._clean[column] = listed if sound else self._mend(column, listed, _BOOLEANS)
        else:
            self._numbers[column] = listed

    def put_all(self, values: Sequence[Any] | NDArray[Any]) -> None:
        """Add all features of all leads at once, flat, row after row."""
        width = len(self._plan.features)
        if isinstance(values, np.ndarray):
            self._whole = values.reshape(self._count, width)
        elif (array := _as_array(values)) is not None:
            self._whole = array.reshape(self._count, width)
        else:
            for column in range(width):
                self._numbers[column] = values[column::width]

    def refuse(self, rows: Sequence[int] | slice, columns: int | Sequence[int] | slice) -> None:
        """Mark values as reported already."""
        if self.known_bad is None:
            self.known_bad = np.zeros((self._count, len(self._plan.features)), dtype=bool)
        self.known_bad[rows, columns] = True

    def matrix(self) -> NDArray[np.float64]:
        """Return the raw matrix `(n, f)`, NaN where nothing usable was put; it may be a view of what was put."""
        if self._whole is not None:
            return self._whole.astype(np.float64, copy=False)
        raw = np.full((self._count, len(self._plan.features)), np.nan)
        for column, values in self._arrays:
            raw[:, column] = values
        numbers, clean = self._numbers, self._clean
        if not numbers and not clean:
            return raw
        try:
            if not _NUMBERS.issuperset(map(type, chain.from_iterable(numbers.values()))):
                raise TypeError
            block = np.array([*numbers.values(), *clean.values()], dtype=np.float64)
        except (TypeError, OverflowError):
            mended = [self._mend(column, values, _NUMBERS) for column, values in numbers.items()]
            block = np.array([*mended, *clean.values()], dtype=np.float64)
        raw[:, [*numbers, *clean]] = block.T
        return raw

    def _mend(self, column: int, values: Sequence[Any], types: frozenset[type]) -> list[float]:
        """Return the numbers among the values, NaN for the rest, which is reported."""
        found, wrong = [], []
        for row, value in enumerate(values):
            if value is None:
                found.append(np.nan)
            elif type(value) in types:
                found.append(_as_float(value))
            else:
                found.append(np.nan)
                wrong.append(row)
        if wrong:
            self._report_wrong(column, values, {"wrong_type": wrong})
        return found

    def _positions(self, column: int, values: Sequence[Any]) -> Sequence[float]:
        codes = self._plan.codes[column]
        try:
            return [codes[value] for value in values]
        except (KeyError, TypeError):
            pass  # something is missing, unknown or no text: look at each
        return self._texts(column, values, lambda value: codes.get(value, -1))

    def _moments(self, column: int, values: Sequence[Any]) -> Sequence[float]:
        return self._texts(column, values, seconds)

    def _texts(self, column: int, values: Sequence[Any], read: Any) -> Sequence[float]:
        found: list[float] = []
        wrong: dict[str, list[int]] = {}
        for row, value in enumerate(values):
            number = np.nan
            if value is not None and value not in _EMPTY:
                reason = _text_fault(value, MAX_TEXT_BYTES)
                if reason is None:
                    try:
                        number = read(value)
                    except ValueError:
                        reason = "wrong_type"
                if reason is not None:
                    wrong.setdefault(reason, []).append(row)
            found.append(number)
        self._report_wrong(column, values, wrong)
        return found

    def _report_wrong(self, column: int, values: Sequence[Any], wrong: Mapping[str, list[int]]) -> None:
        for reason, rows in wrong.items():
            self.refuse(rows, column)
            got = [kind_of(values[row]) for row in rows]
            self._report.extend([Finding(reason, column, np.array(rows, dtype=np.intp), got)])


def lead_ids(values: Iterable[Any], report: Report, *, skip: frozenset[int] = frozenset()) -> list[str]:
    """Return the ids as texts, empty where one can't be used: those are reported, except for rows to `skip`."""
    listed = list(values)
    if _are_plain(listed):
        return listed
    found: list[str] = []
    wrong: dict[str, list[int]] = {}
    for row, value in enumerate(listed):
        reason = "missing" if value is None or value in _EMPTY else _text_fault(value, MAX_ID_BYTES)
        if reason is None:
            found.append(value.decode() if isinstance(value, bytes) else value)
            continue
        found.append("")
        if row not in skip:
            wrong.setdefault(reason, []).append(row)
    for reason, rows in wrong.items():
        got = [kind_of(listed[row]) for row in rows]
        report.extend([Finding(reason, ID, np.array(rows, dtype=np.intp), got)])
    return found


def _are_plain(values: list[Any]) -> bool:
    """Return whether all values are ids of ASCII letters in a str: nearly always, and quickly seen."""
    if set(map(type, values)) != {str}:
        return False
    lengths = set(map(len, values))
    return min(lengths) > 0 and max(lengths) <= MAX_ID_BYTES and "".join(values).isascii()


def kind_of(value: Any) -> str:
    """Name what a JSON value is without repeating it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return f"a text of {len(value)} characters"
    if isinstance(value, bytes):
        return f"a text of {len(value)} bytes"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "an object" if isinstance(value, dict) else "something else"


def _text_fault(value: Any, limit: int) -> str | None:
    """Return why a value is no acceptable text, or None."""
    if not isinstance(value, str | bytes):
        return "wrong_type"
    if len(value) > limit:
        return "too_long"
    try:
        if isinstance(value, bytes):
            value.decode()
        elif not value.isascii() and len(value.encode()) > limit:
            return "too_long"
    except UnicodeError:  # a lone surrogate in a str is as little UTF-8 as stray bytes
        return "not_utf8"
    return None


def _as_array(values: Sequence[Any]) -> NDArray[np.float64] | None:
    """Return values that are all numbers or null, and none of them beyond all floats; None for others."""
    if not _NUMBERS.issuperset(map(type, values)):
        return None
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        return None


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond all floats
        return np.inf if value > 0 else -np.inf
