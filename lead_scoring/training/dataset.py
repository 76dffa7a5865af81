"""A table of leads with outcomes, read once and held as arrays."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lead_scoring.contract.types import Feature
from lead_scoring.core.assembly import seconds
from lead_scoring.core.features import Encoded, encode
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.errors import TrainingError
from lead_scoring.training.draft import ContractDraft

__all__ = ["Dataset", "load", "raw_matrix", "read_table"]

MOST_REFUSED = 0.02
"""Training stops if serving would refuse more than this share of the rows: then table and draft don't fit."""


@dataclass(frozen=True)
class Dataset:
    """n rows that serving would accept, oldest first.

    Attributes:
        table: the rows as they were read.
        group: `(n,)` which lead a row is about, numbered from 0.
        moment_s: `(n,)` moment of scoring in seconds since the epoch, never falling.
        target: `(n,)` the outcome.
        raw: `(n, f)` float64 as `core.features.encode` takes it.
        refused: how many rows were left out because serving would refuse them, by ``feature: reason``.
        sha256: of the file that the rows came from.
    """

    table: pa.Table
    group: NDArray[np.intp]
    moment_s: NDArray[np.float64]
    target: NDArray[np.bool_]
    raw: NDArray[np.float64]
    refused: dict[str, int]
    sha256: str

    def __len__(self) -> int:
        return len(self.target)

    def encode(self, features: Sequence[Feature], rows: NDArray[np.intp], id_field: str = "lead_id") -> Encoded:
        """Encode some rows, each as of its own moment of scoring, exactly as serving does."""
        return encode(FeaturePlan(tuple(features), id_field), self.raw[rows], self.moment_s[rows])


def load(path: Path, draft: ContractDraft, features: Sequence[Feature]) -> Dataset:
    """Read a Parquet or CSV file (`.csv`) that has the draft's columns.

    Args:
        path: the file.
        draft: names the id, time and target columns.
        features: the draft's features in outline, in order.

    Raises:
        TrainingError: the file can't be read, a column is absent or of the wrong kind, an id, time or outcome is
            missing, or serving would refuse more than 2 % of the rows.
    """
    table, sha256 = read_table(path, features)
    for name in (draft.id_field, draft.time_field, draft.target_field):
        column = _column(table, name)
        if column.null_count:
            raise TrainingError(f"{name}: missing in {column.null_count} of {table.num_rows} rows; every row needs one")
    if table.num_rows == 0:
        raise TrainingError("the table has no rows")
    moment_s = _seconds(_column(table, draft.time_field), draft.time_field)
    target = _target(_column(table, draft.target_field), draft.target_field)
    order = np.argsort(moment_s, kind="stable")
    table, moment_s, target = table.take(pa.array(order)), moment_s[order], target[order]
    raw = raw_matrix(features, table)
    keep, refused = _acceptable(features, raw, moment_s)
    table = table.filter(pa.array(keep))
    ids = _column(table, draft.id_field).combine_chunks().dictionary_encode()
    ids = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    group = ids.indices.to_numpy(zero_copy_only=False).astype(np.intp)
    return Dataset(table, group, moment_s[keep], target[keep], raw[keep], refused, sha256)


def read_table(path: Path, features: Sequence[Feature]) -> tuple[pa.Table, str]:
    """Read a file; return its table and its SHA-256.

    Raises:
        TrainingError: it can't be read.
    """
    texts = {feature.name: pa.string() for feature in features if feature.type == "category"}
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if path.suffix.lower() == ".csv":
            options = pcsv.ConvertOptions(column_types=texts, strings_can_be_null=True)
            return pcsv.read_csv(path, convert_options=options), sha256
        return pq.read_table(path), sha256
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(f"{path}: can't be read as a table: {error}") from error


def raw_matrix(features: Sequence[Feature], table: pa.Table) -> NDArray[np.float64]:
    """Return the raw matrix `(n, f)`: what `core.assembly` makes of the same leads as tensors or records.

    Raises:
        TrainingError: a column is absent or of the wrong kind.
    """
    raw = np.full((table.num_rows, len(features)), np.nan)
    for position, feature in enumerate(features):
        column = _column(table, feature.name)
        if column.null_count == len(column):
            continue
        if feature.type == "category":
            raw[:, position] = _positions(column, feature)
        elif feature.type == "timestamp":
            raw[:, position] = _seconds(column, feature.name)
        else:
            raw[:, position] = _numbers(column, feature.name, feature.type)
    return raw


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if table.schema.get_all_field_indices(name) and len(table.schema.get_all_field_indices(name)) == 1:
        return table.column(name)
    raise TrainingError(f"the table needs exactly one column {name!r}")


def _numbers(column: pa.ChunkedArray, name: str, kind: str) -> NDArray[np.float64]:
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)):
        raise TrainingError(f"{name}: expected a column of {kind}s, got {column.type}")
    if pa.types.is_boolean(column.type) != (kind == "boolean") and pa.types.is_boolean(column.type):
        raise TrainingError(f"{name}: expected a column of {kind}s, got booleans")
    return _filled(column.cast(pa.float64(), safe=False))


def _positions(column: pa.ChunkedArray, feature: Feature) -> NDArray[np.float64]:
    texts = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        raise TrainingError(f"{feature.name}: expected a column of texts, got {column.type}")
    known = pa.array(feature.categories or [], type=texts.type)
    found = pc.fill_null(pc.index_in(texts, value_set=known), -1)
    absent = pc.or_(pc.is_null(texts), pc.equal(pc.fill_null(texts, ""), ""))
    return np.where(_mask(absent), np.nan, found.to_numpy().astype(np.float64))


def _seconds(column: pa.ChunkedArray, name: str) -> NDArray[np.float64]:
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        whole = column.cast(pa.timestamp("us", tz=getattr(column.type, "tz", None)), safe=False).cast(pa.int64())
        return _filled(whole.cast(pa.float64(), safe=False)) / 1e6
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return _filled(column.cast(pa.float64(), safe=False))
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        try:
            return np.array([np.nan if text in (None, "") else seconds(text) for text in column.to_pylist()])
        except (ValueError, OverflowError) as error:
            raise TrainingError(f"{name}: holds a text that is no RFC 3339 time") from error
    raise TrainingError(f"{name}: expected a column of times, got {column.type}")


def _target(column: pa.ChunkedArray, name: str) -> NDArray[np.bool_]:
    if not (pa.types.is_boolean(column.type) or pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise TrainingError(f"{name}: expected outcomes true and false (or 1 and 0), got {column.type}")
    values = column.cast(pa.float64(), safe=False).to_numpy()
    if not np.isin(values, (0.0, 1.0)).all():
        raise TrainingError(f"{name}: an outcome is neither true nor false (1 nor 0)")
    found: NDArray[np.bool_] = values > 0
    return found


def _acceptable(
    features: Sequence[Feature], raw: NDArray[np.float64], moment_s: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Return a mask of the rows that serving would accept, and how many fail by feature and reason."""
    keep = np.ones(len(raw), dtype=bool)
    refused: Counter[str] = Counter()
    for finding in encode(FeaturePlan(tuple(features), ""), raw, moment_s).findings:
        keep[finding.rows] = False
        refused[f"{features[finding.column].name}: {finding.reason}"] += len(finding.rows)
    share = 1 - keep.mean()
    if share > MOST_REFUSED:
        worst = ", ".join(f"{what} in {count} rows" for what, count in refused.most_common(3))
        raise TrainingError(f"serving would refuse {share:.1%} of the rows ({worst}); mend the table or the draft")
    return keep, dict(sorted(refused.items()))


def _filled(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return a float64 column as an array, NaN for null."""
    found: NDArray[np.float64] = pc.fill_null(column, np.nan).to_numpy()
    return found


def _mask(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = column.to_numpy().astype(bool)
    return found
