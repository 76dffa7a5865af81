"""What a column of somebody's table holds: its type, its values as numbers, its gaps and how they are spelt."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lead_scoring.intake.words import DATE_FORMATS, SENTINEL_NUMBERS, is_nothing
from lead_scoring.tables import cells

__all__ = ["Kind", "Profile", "profile"]

Kind = Literal["number", "integer", "boolean", "category", "timestamp", "empty"]
Floats = NDArray[np.float64]

_MOSTLY = 0.95
"""Of the cells that are not gaps must be numbers (or times) for the column to be of numbers; the rest are gaps too."""
_MOST_ODD_WORDS = 20
_FEWEST_SENTINELS = 5
_SENTINEL_SHARE = 0.005
_FEWEST_VALUES = 4
"""A column of few values (-1, 0, 1) means all of them."""
_SAMPLE = 200
_CODE = re.compile(r"[+-]?0\d+")
_WHOLE = re.compile(r"[+-]?\d+|[+-]?\d{1,3}([,.]\d{3})+")


@dataclass(frozen=True)
class Profile:
    """One column of n rows.

    Attributes:
        kind: what it is best read as; `empty` without any value.
        value: `(n,)` numbers, 0 and 1, positions in `levels`, seconds since the epoch; NaN for a gap.
        levels: of a category, all its words, the most frequent first.
        counts: of each level.
        missing_values: numbers or words that were taken for gaps and that clients may send too.
        gap_words: words that were taken for gaps in a column of numbers or times.
        date_format: how times are written; None for RFC 3339 or a column of times.
        ambiguous: day and month could also be the other way round.
    """

    name: str
    kind: Kind
    value: Floats
    levels: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    missing_values: tuple[float | str, ...] = ()
    gap_words: tuple[str, ...] = ()
    date_format: str | None = None
    ambiguous: bool = False

    @property
    def gaps(self) -> int:
        """How many rows have no value."""
        return int(np.isnan(self.value).sum())

    @property
    def present(self) -> Floats:
        """The values that there are."""
        found: Floats = self.value[~np.isnan(self.value)]
        return found


def profile(name: str, column: pa.ChunkedArray, *, decimal: str) -> Profile:
    """Look at one column; texts are looked at word by word, so that a column of few words costs little."""
    kind = column.type
    if column.null_count == len(column) or pa.types.is_nested(kind) or pa.types.is_binary(kind):
        return Profile(name, "empty", np.full(len(column), np.nan))
    if pa.types.is_boolean(kind):
        return Profile(name, "boolean", cells.truths(column).value)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return Profile(name, "timestamp", cells.moments(column).value)
    if pa.types.is_integer(kind):
        return _without_sentinels(Profile(name, "integer", cells.numbers(column).value))
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        found = _without_sentinels(Profile(name, "number", cells.numbers(column).value))
        return found if found.present.size else replace(found, kind="empty")
    return _of_words(name, cells.texts(column).combine_chunks().dictionary_encode(), decimal)


def _of_words(name: str, coded: pa.DictionaryArray, decimal: str) -> Profile:
    words = coded.dictionary
    place = coded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False).astype(np.intp)
    rows = np.bincount(place, minlength=len(words) + 1)[:-1]
    spelt: list[str] = words.to_pylist()
    gap = np.array([word.casefold() in cells.USUAL_GAPS for word in spelt], dtype=bool)
    if gap.all():
        return Profile(name, "empty", np.full(len(place), np.nan))
    small = {word.casefold() for word, nothing in zip(spelt, gap, strict=True) if not nothing}
    if small <= {"true", "false"}:
        return Profile(name, "boolean", _spread(cells.truths(pa.chunked_array([words])).value, place))
    codes = any(_CODE.fullmatch(word) for word in spelt)
    found = None if codes else cells.numbers(pa.chunked_array([words]), decimal=decimal)
    if found is not None and (odd := _odd_words(spelt, found.bad, rows, gap)) is not None:
        whole = all(_WHOLE.fullmatch(word) for word, bad in zip(spelt, gap | found.bad, strict=True) if not bad)
        value = _spread(found.value, place)
        return _without_sentinels(Profile(name, "integer" if whole else "number", value, gap_words=odd))
    return _times(name, words, spelt, rows, gap, place) or _levels(name, spelt, rows, place)


def _odd_words(
    spelt: list[str], bad: NDArray[np.bool_], rows: NDArray[np.intp], gap: NDArray[np.bool_]
) -> tuple[str, ...] | None:
    """Return the words that are not of the column's type if they are few enough to be gaps, else None."""
    bad = bad & ~gap
    if rows[bad].sum() > (1 - _MOSTLY) * rows[~gap].sum() or bad.sum() > _MOST_ODD_WORDS:
        return None
    return tuple(word for word, odd in zip(spelt, bad, strict=True) if odd)


def _times(
    name: str,
    words: pa.StringArray,
    spelt: list[str],
    rows: NDArray[np.intp],
    gap: NDArray[np.bool_],
    place: NDArray[np.intp],
) -> Profile | None:
    candidates = pa.array([word for word, nothing in zip(spelt, gap, strict=True) if not nothing][:_SAMPLE])
    fitting = []
    for date_format in (None, *DATE_FORMATS):
        sample = cells.moments(pa.chunked_array([candidates]), date_format=date_format)
        if sample.bad.mean() > 1 - _MOSTLY:
            continue
        found = cells.moments(pa.chunked_array([words]), date_format=date_format)
        odd = _odd_words(spelt, found.bad, rows, gap)
        if odd is not None and not np.isnan(found.value).all():
            fitting.append((len(odd), date_format, odd, found.value))
        if date_format is None and fitting:
            break
    if not fitting:
        return None
    fewest = min(count for count, *_ in fitting)
    best = [entry for entry in fitting if entry[0] == fewest]
    _, date_format, odd, value = best[0]
    return Profile(
        name, "timestamp", _spread(value, place), gap_words=odd, date_format=date_format, ambiguous=len(best) > 1
    )


def _levels(name: str, spelt: list[str], rows: NDArray[np.intp], place: NDArray[np.intp]) -> Profile:
    nothing = [is_nothing(word) for word in spelt]
    if all(nothing):
        return Profile(name, "empty", np.full(len(place), np.nan))
    order = sorted((i for i, none in enumerate(nothing) if not none), key=lambda i: (-rows[i], spelt[i]))
    position = np.full(len(spelt), np.nan)
    position[order] = np.arange(len(order))
    return Profile(
        name, "category", _spread(position, place),
        levels=tuple(spelt[i] for i in order), counts=tuple(int(rows[i]) for i in order),
        missing_values=tuple(word for word, none in zip(spelt, nothing, strict=True) if none),
    )  # fmt: skip


def _without_sentinels(found: Profile) -> Profile:
    """Take numbers for gaps that are far from all others and written by convention where nothing is known."""
    taken: list[float] = []
    value = found.value
    while True:
        present = value[~np.isnan(value)]
        values, rows = np.unique(present, return_counts=True)
        enough = max(_FEWEST_SENTINELS, _SENTINEL_SHARE * len(value))
        sentinel = None
        if (
            values.size > _FEWEST_VALUES
            and values[0] in SENTINEL_NUMBERS
            and values[0] < 0 <= values[1]
            and rows[0] >= enough
        ):
            sentinel = float(values[0])
        elif (
            values.size > _FEWEST_VALUES
            and values[-1] in SENTINEL_NUMBERS
            and values[-1] > 0
            and 2 * max(values[-2], 1) < values[-1]
            and rows[-1] >= enough
        ):
            sentinel = float(values[-1])
        if sentinel is None:
            return replace(found, value=value, missing_values=tuple(taken)) if taken else found
        taken.append(sentinel)
        value = np.where(value == sentinel, np.nan, value)


def _spread(of_word: Floats, place: NDArray[np.intp]) -> Floats:
    """Return each row's number from its word's; NaN where a row has no word."""
    found: Floats = np.append(of_word, np.nan)[place]
    return found
