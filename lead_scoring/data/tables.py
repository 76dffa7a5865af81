"""Tables as files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from lead_scoring.errors import TrainingError

__all__ = ["write_table"]


def write_table(table: pa.Table, path: Path) -> None:
    """Write Parquet, or CSV where the file is called so; the same table gives the same bytes.

    Raises:
        TrainingError: another kind of file, or it can't be written.
    """
    try:
        if path.suffix.lower() == ".csv":
            pcsv.write_csv(table, path)
        elif path.suffix.lower() == ".parquet":
            pq.write_table(table, path)
        else:
            raise TrainingError(f"{path}: call it .parquet or .csv")
    except OSError as error:
        raise TrainingError(f"{path}: {error.strerror or error}") from error
