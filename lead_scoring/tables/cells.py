"""Cells of a table as a feature sees them: the raw numbers that `core.features.encode` takes, or not readable.

The same cell is read the same way in training, in offline scoring and in reports, whatever stands beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lead_scoring.contract.types import Feature
from lead_scoring.core.moments import seconds

__all__ = ["USUAL_GAPS", "Cells", "is_text", "moments", "numbers", "read", "texts", "truths"]

USUAL_GAPS = frozenset(("", "-", "--", ".", "?", "#n/a", "n/a", "na", "nan", "nil", "none", "null"))
"""Texts that are a gap in columns of numbers, booleans and times, in small letters. In categories only "" is one."""

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
_THOUSANDS = {
    ".": (r"^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$", ",", "."),
    ",": (r"^[+-]?\d{1,3}(\.\d{3})+(,\d+)?$", ".", ","),
}
_EPOCH = re.compile(r"\d{9,}(\.\d+)?")
"""Seconds since some day in 1973: eight digits would rather be a date."""
_TRUE, _FALSE = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")


@dataclass(frozen=True, slots=True)
class Cells:
    """A column that was read: `value` `(n,)` float64, NaN where there is none; `bad` marks what can't be read."""

    value: NDArray[np.float64]
    bad: NDArray[np.bool_]


def read(feature: Feature, column: pa.ChunkedArray, *, decimal: str = ".") -> Cells:
    """Read a column as a feature: numbers, 0 and 1, positions of categories (-1 for unknown), seconds since the epoch.

    Numbers that count as missing by `missing_values` stay as they are: encoding knows them, as it does a client's.
    """
    spelling = feature.in_files or None
    gaps = spelling.missing if spelling else ()
    if feature.type == "category":
        return _positions(feature, column)
    if feature.type == "timestamp":
        return moments(column, gaps=gaps, date_format=spelling.date_format if spelling else None)
    if feature.type == "boolean":
        return truths(column, gaps=gaps)
    return numbers(column, gaps=gaps, decimal=decimal)


def texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as words without blanks at their ends, null for nothing; whole numbers have no point."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        found = column.cast(pa.float64(), safe=False).to_pylist()
        words = [None if x is None or x != x else f"{int(x)}" if float(x).is_integer() else repr(x) for x in found]
        return pa.chunked_array([pa.array(words, pa.string())])
    if not is_text(kind):
        try:
            column = column.cast(pa.string())
        except pa.ArrowException:
            return pa.chunked_array([pa.nulls(len(column), pa.string())])
    trimmed = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column holds texts."""
    return any(fits(kind) for fits in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def numbers(column: pa.ChunkedArray, *, gaps: Iterable[str] = (), decimal: str = ".") -> Cells:
    """Read numbers; in texts, thousands may be grouped and the decimal mark is `decimal`. Infinities can't be read."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        value = _filled(column.cast(pa.float64(), safe=False))
        return Cells(np.where(np.isinf(value), np.nan, value), np.isinf(value))
    if not (is_text(kind) or pa.types.is_dictionary(kind)):
        return _unreadable(column)
    words = _without_gaps(texts(column), gaps)
    grouped, group, mark = _THOUSANDS[decimal]
    if decimal == "," or not _all(pc.match_substring_regex(words, _NUMBER)):
        has_groups = pc.match_substring_regex(words, grouped)
        words = pc.if_else(has_groups, pc.replace_substring(words, group, ""), words)
        if mark == ",":
            one_mark = pc.equal(pc.count_substring(words, ","), 1)
            words = pc.if_else(one_mark, pc.replace_substring(words, ",", "."), words)
    sound = pc.fill_null(pc.match_substring_regex(words, _NUMBER), False)
    plain = pc.replace_substring_regex(pc.if_else(sound, words, None), r"^\+", "")
    value = _filled(plain.cast(pa.float64()))
    bad = _mask(pc.and_(pc.is_valid(words), pc.invert(sound))) | np.isinf(value)
    return Cells(np.where(np.isinf(value), np.nan, value), bad)


def truths(column: pa.ChunkedArray, *, gaps: Iterable[str] = ()) -> Cells:
    """Read booleans: also 0 and 1, yes and no, their first letters, in any case."""
    if pa.types.is_boolean(column.type):
        return _sound(_filled(column.cast(pa.float64())))
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return numbers(column)  # encoding refuses what is neither 0 nor 1
    if not (is_text(column.type) or pa.types.is_dictionary(column.type)):
        return _unreadable(column)
    words = _without_gaps(texts(column), gaps)
    small = pc.utf8_lower(words)
    yes, no = (_mask(pc.is_in(small, value_set=pa.array(spelt))) for spelt in (_TRUE, _FALSE))
    value = np.where(yes, 1.0, np.where(no, 0.0, np.nan))
    return Cells(value, _mask(pc.is_valid(words)) & ~yes & ~no)


def moments(column: pa.ChunkedArray, *, gaps: Iterable[str] = (), date_format: str | None = None) -> Cells:
    """Read times as seconds since the epoch: RFC 3339, or as `date_format` says; UTC if no zone is told."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        whole = column.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False).cast(pa.int64())
        return _sound(_filled(whole.cast(pa.float64(), safe=False)) / 1e6)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return numbers(column)
    if not (is_text(kind) or pa.types.is_dictionary(kind)):
        return _unreadable(column)
    words = _without_gaps(texts(column), gaps).combine_chunks()
    coded = words.dictionary_encode()
    found, bad = _parsed(coded.dictionary.to_pylist(), _reader(date_format))
    place = coded.indices.fill_null(len(found) - 1).to_numpy(zero_copy_only=False)
    return Cells(found[place], bad[place])


def _parsed(words: Sequence[str], parse: Callable[[str], float]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return every word's moment and whether it is none, with one more place at the end for nothing at all."""
    found, bad = np.full(len(words) + 1, np.nan), np.zeros(len(words) + 1, dtype=bool)
    for position, word in enumerate(words):
        try:
            found[position] = parse(word)
        except (ValueError, OverflowError):
            bad[position] = True
    return found, bad


def _reader(date_format: str | None) -> Callable[[str], float]:
    if date_format is None:
        return _rfc3339_or_epoch

    def parse(text: str) -> float:
        moment = datetime.strptime(text, date_format)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    return parse


def _rfc3339_or_epoch(text: str) -> float:
    try:
        return seconds(text)
    except ValueError:
        if _EPOCH.fullmatch(text):
            return float(text)
        raise


def _positions(feature: Feature, column: pa.ChunkedArray) -> Cells:
    words = texts(column)
    known = feature.categories or []
    found = pc.fill_null(pc.index_in(words, value_set=pa.array(known, pa.string())), -1).to_numpy().astype(np.float64)
    gaps = [str(value) for value in feature.missing_values or []]
    gaps += feature.in_files.missing if feature.in_files else []
    absent = pc.or_(pc.is_null(words), pc.is_in(words, value_set=pa.array(gaps, pa.string())))
    value = np.where(_mask(absent), np.nan, found)
    plain_words = is_text(column.type) or pa.types.is_dictionary(column.type)
    if not plain_words and not (value >= 0).any():
        return _unreadable(column)  # numbers none of which is a category: not this column
    return _sound(value)


def _without_gaps(words: pa.ChunkedArray, gaps: Iterable[str]) -> pa.ChunkedArray:
    usual = pc.is_in(pc.utf8_lower(words), value_set=pa.array(sorted(USUAL_GAPS)))
    stated = pc.is_in(words, value_set=pa.array(list(gaps), pa.string()))
    return pc.if_else(pc.or_(usual, stated), pa.scalar(None, pa.string()), words)


def _all(mask: pa.ChunkedArray) -> bool:
    found: bool = pc.all(mask, min_count=0).as_py()
    return found


def _sound(value: NDArray[np.float64]) -> Cells:
    return Cells(value, np.zeros(len(value), dtype=bool))


def _unreadable(column: pa.ChunkedArray) -> Cells:
    return Cells(np.full(len(column), np.nan), _mask(pc.is_valid(column)))


def _filled(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return a float64 column as an array, NaN for null."""
    found: NDArray[np.float64] = pc.fill_null(column, np.nan).to_numpy()
    return found


def _mask(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.fill_null(column, False).to_numpy().astype(bool)
    return found
