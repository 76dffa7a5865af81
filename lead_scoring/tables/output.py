"""Tables written piece by piece, whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from lead_scoring.errors import TableError

__all__ = ["TableWriter"]


class TableWriter:
    """Writes Parquet, CSV or JSON (a list of objects), as the file's name says, under another name until all is there.

    Raises:
        TableError: another kind of file, or it can't be written.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in (".parquet", ".csv", ".json"):
            raise TableError(f"{path}: call it .parquet, .csv or .json")
        self._path, self._kind = path, path.suffix.lower()
        self._unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        self._file: IO[bytes] | None = None
        self._writer: Any = None
        self._begun = False

    def __enter__(self) -> TableWriter:
        """Open the file under its other name."""
        try:
            self._file = self._unfinished.open("wb")
        except OSError as error:
            raise self._failed(error) from error
        return self

    def write(self, table: pa.Table) -> None:
        """Add rows; all pieces have the same columns."""
        assert self._file is not None  # noqa: S101 # nosec B101 - only inside `with`
        try:
            if self._kind == ".json":
                self._write_json(self._file, table)
                return
            if self._writer is None:
                make = pq.ParquetWriter if self._kind == ".parquet" else pcsv.CSVWriter
                self._writer = make(self._file, table.schema)
            self._writer.write_table(table)
        except (OSError, pa.ArrowException) as error:
            raise self._failed(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the file its name, or remove what there is of it after an error."""
        try:
            if self._writer is not None:
                self._writer.close()
            if self._file is not None:
                if self._kind == ".json":
                    self._file.write(b"\n]\n" if self._begun else b"[]\n")
                self._file.close()
            if kind is None:
                self._unfinished.replace(self._path)
        except (OSError, pa.ArrowException) as failure:
            raise self._failed(failure) from failure
        finally:
            self._unfinished.unlink(missing_ok=True)

    def _write_json(self, file: IO[bytes], table: pa.Table) -> None:
        for record in table.to_pylist():
            file.write(b",\n" if self._begun else b"[\n")
            file.write(json.dumps(record, ensure_ascii=False).encode())
            self._begun = True

    def _failed(self, error: Exception) -> TableError:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        return TableError(f"{self._path}: can't be written: {reason}")
