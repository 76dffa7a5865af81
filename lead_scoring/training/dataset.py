"""A table of leads with outcomes, read once and held as arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from lead_scoring.contract.types import Feature
from lead_scoring.core.assembly import seconds
from lead_scoring.core.features import Encoded, encode
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.errors import TableError, TrainingError
from lead_scoring.tables import cells
from lead_scoring.tables.files import decimal_of, read_table
from lead_scoring.training.draft import ContractDraft

__all__ = ["Dataset", "chance_of", "load", "raw_matrix"]

MOST_REFUSED = 0.02
"""Training stops if serving would refuse more than this share of the rows: then table and draft don't fit."""


@dataclass(frozen=True)
class Dataset:
    """n rows that serving would accept, oldest first; where the table has no time, in the order of `chance`.

    Attributes:
        table: the rows as they were read.
        group: `(n,)` which lead a row is about, numbered from 0.
        moment_s: `(n,)` moment of scoring in seconds since the epoch, never falling.
        target: `(n,)` the outcome.
        raw: `(n, f)` float64 as `core.features.encode` takes it.
        refused: how many rows were left out because serving would refuse them, by ``feature: reason``.
        sha256: of the file that the rows came from.
        chance: `(n,)` in [0, 1), the same for all rows of a lead, never falling: what leads are split by where the
            table has no time; else None.
    """

    table: pa.Table
    group: NDArray[np.intp]
    moment_s: NDArray[np.float64]
    target: NDArray[np.bool_]
    raw: NDArray[np.float64]
    refused: dict[str, int]
    sha256: str
    chance: NDArray[np.float64] | None = None

    @property
    def order(self) -> NDArray[np.float64]:
        """What the rows are in order of, and split by: their moments, or chance."""
        return self.moment_s if self.chance is None else self.chance

    def __len__(self) -> int:
        return len(self.target)

    def encode(self, features: Sequence[Feature], rows: NDArray[np.intp], id_field: str = "lead_id") -> Encoded:
        """Encode some rows, each as of its own moment of scoring, exactly as serving does."""
        return encode(FeaturePlan(tuple(features), id_field), self.raw[rows], self.moment_s[rows])


def load(path: Path, draft: ContractDraft, features: Sequence[Feature]) -> Dataset:
    """Read a Parquet or CSV file that has the draft's columns.

    Args:
        path: the file.
        draft: names the id, time and target columns.
        features: the draft's features in outline, in order.

    Raises:
        TrainingError: the file can't be read, a column is absent or of the wrong kind, an id, time or outcome is
            missing, or serving would refuse more than 2 % of the rows.
    """
    try:
        table, sha256 = read_table(path)
    except TableError as error:
        raise TrainingError(str(error)) from error
    if draft.id_from == "row":
        if draft.id_field in table.column_names:
            raise TrainingError(f"{draft.id_field}: is a column of the table, so ids need not be row numbers")
        table = table.append_column(draft.id_field, pa.array([str(row + 1) for row in range(table.num_rows)]))
    if draft.without_outcome == "leave_out":
        table = table.filter(cells.texts(_column(table, draft.target_field)).is_valid())
    for name in (draft.id_field, draft.time_field, draft.target_field):
        gaps = 0 if name is None else cells.texts(_column(table, name)).null_count
        if gaps:
            raise TrainingError(f"{name}: missing in {gaps} of {table.num_rows} rows; every row needs one")
    if table.num_rows == 0:
        raise TrainingError("the table has no rows")
    target = _target(_column(table, draft.target_field), draft.target_field, draft.positive)
    ids = cells.texts(_column(table, draft.id_field)).combine_chunks().dictionary_encode()
    chance = None
    if draft.time_field is None:
        moment_s = np.full(table.num_rows, seconds(draft.as_of or ""))
        chance = chance_of(ids)
        order = np.argsort(chance, kind="stable")
        chance = chance[order]
    else:
        moment_s = _moments(_column(table, draft.time_field), draft.time_field, draft.time_format)
        order = np.argsort(moment_s, kind="stable")
    table, moment_s, target = table.take(pa.array(order)), moment_s[order], target[order]
    raw = raw_matrix(features, table)
    keep, refused = _acceptable(features, raw, moment_s)
    group = ids.indices.to_numpy(zero_copy_only=False).astype(np.intp)[order][keep]
    return Dataset(
        table.filter(pa.array(keep)), group, moment_s[keep], target[keep], raw[keep], refused, sha256,
        chance if chance is None else chance[keep],
    )  # fmt: skip


def chance_of(ids: pa.DictionaryArray) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each row that only its lead's id decides: the same in whatever table it comes."""
    of_word = np.array(
        [xxhash.xxh64_intdigest(word.encode(), seed=1) for word in ids.dictionary.to_pylist()], dtype=np.float64
    )
    found: NDArray[np.float64] = of_word[ids.indices.to_numpy(zero_copy_only=False)] / 2.0**64
    return np.minimum(found, np.nextafter(1.0, 0.0))


def raw_matrix(features: Sequence[Feature], table: pa.Table) -> NDArray[np.float64]:
    """Return the raw matrix `(n, f)`: what `core.assembly` makes of the same leads as tensors or records.

    Raises:
        TrainingError: a column is absent or of the wrong kind.
    """
    raw = np.full((table.num_rows, len(features)), np.nan)
    decimal = decimal_of(table)
    for position, feature in enumerate(features):
        column = _column(table, feature.name)
        if column.null_count == len(column):
            continue
        found = cells.read(feature, column, decimal=decimal)
        if found.bad.any():
            raise TrainingError(_unreadable(feature, column, found.bad))
        raw[:, position] = found.value
    return raw


def _unreadable(feature: Feature, column: pa.ChunkedArray, bad: NDArray[np.bool_]) -> str:
    kind = _WORDS[feature.type]
    if bad.sum() == len(column) - column.null_count:
        got = "booleans" if pa.types.is_boolean(column.type) and kind != "times" else column.type
        return f"{feature.name}: expected a column of {kind}, got {got}"
    return (
        f"{feature.name}: {bad.sum()} of {len(bad)} cells can't be read as {kind}; name their words in "
        "in_files.missing if they stand for gaps, or choose another type"
    )


_WORDS = {
    "number": "numbers", "integer": "integers", "boolean": "booleans", "category": "texts", "timestamp": "times",
}  # fmt: skip


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if len(table.schema.get_all_field_indices(name)) == 1:
        return table.column(name)
    raise TrainingError(f"the table needs exactly one column {name!r}")


def _moments(column: pa.ChunkedArray, name: str, date_format: str | None) -> NDArray[np.float64]:
    found = cells.moments(column, date_format=date_format)
    if not found.bad.any() and not np.isnan(found.value).any():
        return found.value
    if cells.is_text(column.type):
        raise TrainingError(f"{name}: holds a text that is no {date_format or 'RFC 3339'} time")
    raise TrainingError(f"{name}: expected a column of times, got {column.type}")


def _target(column: pa.ChunkedArray, name: str, positive: str | None) -> NDArray[np.bool_]:
    if positive is not None:
        words = np.array(cells.texts(column).to_pylist(), dtype=object)
        chosen: NDArray[np.bool_] = words == positive
        if not chosen.any():
            raise TrainingError(f"{name}: no outcome is {positive!r}")
        return chosen
    found = cells.truths(column)
    if found.bad.all():
        raise TrainingError(f"{name}: expected outcomes true and false (or 1 and 0), got {column.type}")
    if found.bad.any() or not np.isin(found.value, (0.0, 1.0)).all():
        raise TrainingError(f"{name}: an outcome is neither true nor false (1 nor 0)")
    return found.value > 0


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
