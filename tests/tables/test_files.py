"""Files come as people's programs write them; what is in them is the same."""

from __future__ import annotations

import csv
import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.errors import TableError
from lead_scoring.tables.dialect import column_names, sniff
from lead_scoring.tables.files import decimal_of, open_table, read_table

HEADER = ["Lead no.", "Größe, m", 'a "quoted" name', "Ville"]
ROWS = [["1", "1.5", "x;y", "Orléans"], ["2", "2.25", "two\nlines", "Besançon"], ["3", "", "a|b", ""]]


def write(path: Path, *, separator: str = ",", encoding: str = "utf-8", quoting: int = csv.QUOTE_MINIMAL) -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=separator, quoting=quoting).writerows([HEADER, *ROWS])
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_any_separator_and_encoding(tmp_path: Path, separator: str, encoding: str, quoting: int) -> None:
    table, _ = read_table(write(tmp_path / "t.csv", separator=separator, encoding=encoding, quoting=quoting))
    assert table.column_names == HEADER
    assert [list(row.values()) for row in table.to_pylist()] == ROWS


def test_windows_line_ends_and_empty_lines(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,b\r\n1,2\r\n\r\n3,4\r\n")
    assert read_table(tmp_path / "t.csv")[0].to_pylist() == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_a_byte_that_no_windows_program_writes_is_latin_1(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,b\n\x81,\xe9\n")
    assert read_table(tmp_path / "t.csv")[0].to_pylist() == [{"a": "\x81", "b": "é"}]


def test_utf8_is_told_by_the_whole_file(tmp_path: Path) -> None:
    """A million plain letters before the first é must not make it anything else."""
    (tmp_path / "t.csv").write_text("a,b\n" + "x,yyyyyyyyyyyyyyyyyy\n" * 60_000 + "é,z\n", encoding="utf-8")
    table, _ = read_table(tmp_path / "t.csv")
    assert table.slice(table.num_rows - 1).to_pylist() == [{"a": "é", "b": "z"}]


@pytest.mark.parametrize(
    ("separator", "cells", "decimal"),
    [
        (";", ["1,5", "2,25", "1.234,5"], ","),
        (";", ["1.5", "2.25", "7"], "."),
        ("\t", ["1,5", "x", ""], ","),
        (",", ['"1,5"', '"2,5"', "3"], "."),
    ],
)
def test_decimal_commas_are_looked_for_where_commas_are_free(
    tmp_path: Path, separator: str, cells: list[str], decimal: str
) -> None:
    (tmp_path / "t.csv").write_text(f"a{separator}b\n" + "".join(f"{cell}{separator}z\n" for cell in cells))
    table, _ = read_table(tmp_path / "t.csv")
    assert decimal_of(table) == decimal
    assert decimal_of(table.take(pa.array([0])).filter(pa.array([True]))) == decimal


def test_names_that_no_feature_can_have_are_changed_the_same_way_every_time() -> None:
    written = ["a [EUR]", "<50k", "", " b ", "b", "features", "x\ty", "n" * 200, "a (EUR)"]
    names = column_names(written)
    assert names == ["a (EUR)", "‹50k", "column 3", "b", "b (2)", "features_", "x y", "n" * 128, "a (EUR) (2)"]
    assert column_names(written) == names


def test_rows_keep_their_numbers_when_others_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,1\n2\n3,3\n4,4,4\n5,5\n6,6\n7\n")
    source = open_table(tmp_path / "t.csv")
    pieces = list(source.pieces(2))
    assert [number for piece in pieces for number in piece.number.tolist()] == [1, 3, 5, 6]
    assert [cell for piece in pieces for cell in piece.table.column("a").to_pylist()] == ["1", "3", "5", "6"]
    assert source.ragged == {2: 1, 4: 3, 7: 1}
    with pytest.raises(
        TableError, match="3 rows have more or fewer cells than the header's 2, the first is row 2 with 1"
    ):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"  \n \n", "is empty"),
        (b"one column\nonly\n", "no comma, semicolon, tab or bar"),
        (b"1,2\n3,4\n", "its first row is numbers"),
        (b"a,b\0\n1,2\n", "is no text file"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(TableError, match=expected):
        sniff(tmp_path / "t.csv")


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet", "broken.parquet"])
def test_a_file_that_can_t_be_read_is_refused_without_quoting_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 jane.doe@example.com")
    with pytest.raises(TableError, match="can't be read as a table") as refusal:
        read_table(tmp_path / name)
    assert "jane" not in str(refusal.value)


def test_parquet_keeps_its_types_and_says_how_many_rows(tmp_path: Path) -> None:
    rows = {"a [x]": [1, None, 3], "day": [datetime.date(2026, 1, day) for day in (1, 2, 3)], "w": ["x", "y", None]}
    pq.write_table(pa.table(rows), tmp_path / "t.parquet")
    source = open_table(tmp_path / "t.parquet")
    assert (source.rows, source.names) == (3, ["a (x)", "day", "w"])
    sizes = [piece.table.num_rows for piece in source.pieces(2)]
    assert sizes == [2, 1]
    assert [str(kind) for kind in read_table(tmp_path / "t.parquet")[0].schema.types] == [
        "int64",
        "date32[day]",
        "string",
    ]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table_without_rows_has_columns(tmp_path: Path, name: str) -> None:
    (tmp_path / "t.csv").write_text("a,b\n")
    pq.write_table(pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.string())}), tmp_path / "t.parquet")
    table, sha256 = read_table(tmp_path / name)
    assert (table.column_names, table.num_rows, len(sha256)) == (["a", "b"], 0, 64)
