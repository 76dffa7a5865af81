"""Tables read from CSV and Parquet files, whole or in pieces, with the number of every row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lead_scoring.errors import TableError
from lead_scoring.tables.dialect import Dialect, column_names, sniff

__all__ = ["Piece", "Source", "decimal_of", "open_table", "read_table"]

_DECIMAL = b"lead-scoring.decimal"
_BLOCK_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a table.

    Attributes:
        table: the rows; of a CSV file all columns are texts, of a Parquet file what they are there.
        number: `(n,)` of each row in the file, from 1; the header doesn't count.
    """

    table: pa.Table
    number: NDArray[np.int64]


@dataclass
class Source:
    """A file that is a table.

    Attributes:
        path: where it is.
        names: its columns, as `dialect.column_names` gives them.
        written: its columns as they are written.
        dialect: of a CSV file; None for Parquet.
        rows: how many there are, where the file says so (Parquet).
        ragged: rows met so far that have more or fewer cells than the header, and how many: they are in no piece.
    """

    path: Path
    names: list[str]
    written: list[str]
    dialect: Dialect | None
    rows: int | None
    ragged: dict[int, int] = field(default_factory=dict)

    def pieces(self, rows: int) -> Iterator[Piece]:
        """Read the table in pieces of at most `rows` rows.

        Raises:
            TableError: the file is not what its beginning promised.
        """
        number = 0
        try:
            for batch in self._batches(rows):
                for start in range(0, batch.num_rows, rows):
                    part = batch.slice(start, rows)
                    numbers, number = self._number(number, part.num_rows)
                    yield Piece(self._named(part), numbers)
        except (OSError, UnicodeError, pa.ArrowException) as error:
            raise TableError(f"{self.path}: can't be read as a table: {_cause(error)}") from error

    def _batches(self, rows: int) -> Iterator[pa.Table]:
        if self.dialect is None:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(batch_size=rows):
                    yield pa.Table.from_batches([batch])
            return
        reader = pcsv.open_csv(
            self.path,
            read_options=pcsv.ReadOptions(
                encoding=self.dialect.encoding.removesuffix("-sig"), use_threads=False, block_size=_BLOCK_BYTES
            ),
            parse_options=pcsv.ParseOptions(
                delimiter=self.dialect.separator, newlines_in_values=True, invalid_row_handler=self._skip
            ),
            convert_options=pcsv.ConvertOptions(
                column_types={name: pa.string() for name in self.dialect.header}, strings_can_be_null=False
            ),
        )
        with reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])

    def _skip(self, row: pcsv.InvalidRow) -> str:
        self.ragged[row.number - 1] = row.actual_columns  # the header is row 1
        return "skip"

    def _number(self, last: int, count: int) -> tuple[NDArray[np.int64], int]:
        """Return the numbers of the next rows: rows that were skipped keep theirs."""
        found = np.arange(last + 1, last + 1 + count + len(self.ragged))
        if self.ragged:
            found = found[~np.isin(found, list(self.ragged))]
        found = found[:count]
        return found, int(found[-1]) if count else last

    def _named(self, table: pa.Table) -> pa.Table:
        decimal = self.dialect.decimal if self.dialect else "."
        return table.rename_columns(self.names).replace_schema_metadata({_DECIMAL: decimal.encode()})


def open_table(path: Path) -> Source:
    """Look at a file's beginning and say what its columns are. `.parquet` and `.pq` are Parquet, all else is CSV.

    Raises:
        TableError: it can't be read as a table.
    """
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            with pq.ParquetFile(path) as file:
                written = [str(name) for name in file.schema_arrow.names]
                return Source(path, column_names(written), written, None, file.metadata.num_rows)
        dialect = sniff(path)
    except (OSError, UnicodeError, pa.ArrowException) as error:
        raise TableError(f"{path}: can't be read as a table: {_cause(error)}") from error
    return Source(path, column_names(dialect.header), list(dialect.header), dialect, None)


def read_table(path: Path) -> tuple[pa.Table, str]:
    """Read a whole file; return its table and the file's SHA-256.

    Raises:
        TableError: it can't be read as a table, or rows have more or fewer cells than the header.
    """
    source = open_table(path)
    tables = [piece.table for piece in source.pieces(1_000_000)]
    if source.ragged:
        number, cells = next(iter(source.ragged.items()))
        raise TableError(
            f"{path}: {len(source.ragged)} rows have more or fewer cells than the header's {len(source.names)}, the "
            f"first is row {number} with {cells}; quote cells that hold the separator"
        )
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if not tables:
        empty = pa.table({name: pa.array([], pa.string()) for name in source.written})
        if source.dialect is None:
            empty = pq.read_table(path).slice(0, 0)
        return source._named(empty), sha256
    return pa.concat_tables(tables, promote_options="permissive"), sha256


def decimal_of(table: pa.Table) -> str:
    """Return the decimal mark of the texts in a table that this module read."""
    mark: bytes = (table.schema.metadata or {}).get(_DECIMAL, b".")
    return mark.decode()


def _cause(error: Exception) -> str:
    """Return the reason without what the file holds: Arrow quotes whole rows."""
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return type(error).__name__
