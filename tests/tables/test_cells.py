"""A cell is read the same way whatever stands beside it."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lead_scoring.contract.types import DaysSince, Feature, InFiles, Ordinal
from lead_scoring.tables import cells

NAN = float("nan")


def column(values: list[Any], kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


def expect(found: cells.Cells, value: list[float], bad: list[int] = ()) -> None:  # type: ignore[assignment]
    np.testing.assert_array_equal(found.value, value)
    assert np.flatnonzero(found.bad).tolist() == list(bad)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), (" 2.5 ", 2.5), ("+3", 3), ("-4e-1", -0.4), (".5", 0.5), ("5.", 5), ("1,234", 1234),
        ("1,234.5", 1234.5), ("-1,234,567", -1234567),
    ],
)  # fmt: skip
def test_numbers(text: str, value: float) -> None:
    expect(cells.numbers(column([text])), [value])
    expect(cells.numbers(column([text, "nonsense"])), [value, NAN], [1])


@pytest.mark.parametrize("text", ["abc", "12,3", "1,23,456", "inf", "-Infinity", "1e999", "0x10", "1 2", "٣"])
def test_texts_that_are_no_numbers(text: str) -> None:
    expect(cells.numbers(column([text, "1"])), [NAN, 1], [0])


@pytest.mark.parametrize("text", ["", " ", "NA", "n/a", "NaN", "null", "None", "?", "-", "."])
def test_usual_gaps_are_neither_numbers_nor_faults(text: str) -> None:
    expect(cells.numbers(column([text, "1"])), [NAN, 1])
    expect(cells.truths(column([text, "true"])), [NAN, 1])
    expect(cells.moments(column([text, "1970-01-02"])), [NAN, 86_400])


@pytest.mark.parametrize(
    ("text", "value"), [("1,5", 1.5), ("1.234,5", 1234.5), ("1.234", 1234), ("12.5", 12.5), ("7", 7), ("-0,25", -0.25)]
)
def test_decimal_commas(text: str, value: float) -> None:
    expect(cells.numbers(column([text, "1,5,5"]), decimal=","), [value, NAN], [1])


def test_stated_gaps_are_gaps() -> None:
    feature = Feature(name="x", type="number", in_files=InFiles(missing=["unknown", "k.A."]))
    expect(cells.read(feature, column(["unknown", "k.A.", "2", "Unknown"])), [NAN, NAN, 2, NAN], [3])


@pytest.mark.parametrize(
    ("values", "kind", "expected", "bad"),
    [
        ([1, None], pa.int64(), [1, NAN], []),
        ([1.5, NAN, float("inf")], pa.float32(), [1.5, NAN, NAN], [2]),
        ([Decimal("1.25"), None], pa.decimal128(10, 2), [1.25, NAN], []),
        ([True, None], pa.bool_(), [NAN, NAN], [0]),
        ([["a"], None], pa.list_(pa.string()), [NAN, NAN], [0]),
    ],
)
def test_typed_columns_as_numbers(values: list[Any], kind: pa.DataType, expected: list[float], bad: list[int]) -> None:
    expect(cells.numbers(column(values, kind)), expected, bad)


def test_truths() -> None:
    words = ["TRUE", "yes", "Y", "1", "f", "No", "0.0", "maybe", None]
    expect(cells.truths(column(words)), [1, 1, 1, 1, 0, 0, 0, NAN, NAN], [7])
    expect(cells.truths(column([True, False, None])), [1, 0, NAN])
    expect(cells.truths(column([1, 0, 2])), [1, 0, 2])  # encoding refuses the 2
    expect(cells.truths(column([datetime.date(2026, 1, 1)])), [NAN], [0])


def test_moments() -> None:
    words = [
        "2026-01-01",
        "2026-01-01T00:00:10Z",
        "2026-01-01 01:00:00+01:00",
        "1767225600",
        "20260101",
        "01/02/2026",
        None,
    ]
    start = 1_767_225_600
    expect(cells.moments(column(words)), [start, start + 10, start, start, NAN, NAN, NAN], [4, 5])
    expect(cells.moments(column([datetime.date(2026, 1, 1), None])), [start, NAN])
    expect(cells.moments(column([start, None])), [start, NAN])
    expect(cells.moments(column([True])), [NAN], [0])
    feature = Feature(name="x", type="timestamp", encoder=DaysSince(), in_files=InFiles(date_format="%d/%m/%Y"))
    expect(cells.read(feature, column(["02/01/2026", "13/13/2026", ""])), [start + 86_400, NAN, NAN], [1])


def test_categories() -> None:
    feature = Feature(name="x", type="category", categories=["a", "b c"], missing_values=["Select"], encoder=Ordinal())
    expect(cells.read(feature, column([" a", "b c ", "A", "Select", "", None, "NA"])), [0, 1, -1, NAN, NAN, NAN, -1])
    expect(cells.read(feature, column(["a", "z"]).dictionary_encode()), [0, -1])
    numbered = Feature(name="x", type="category", categories=["1", "2"], encoder=Ordinal())
    expect(cells.read(numbered, column([1.0, 2.0, 3.0, None])), [0, 1, -1, NAN])
    expect(cells.read(feature, column([1, 2])), [NAN, NAN], [0, 1])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, None], ["1", None]),
        ([1.0, 2.5, NAN], ["1", "2.5", None]),
        ([" a ", ""], ["a", None]),
        ([True], ["true"]),
        ([["a"]], [None]),
    ],
)
def test_words(values: list[Any], expected: list[str | None]) -> None:
    assert cells.texts(column(values)).to_pylist() == expected


@pytest.mark.parametrize("read", [cells.numbers, cells.truths, cells.moments])
def test_no_rows(read: Any) -> None:
    expect(read(column([], pa.string())), [])
