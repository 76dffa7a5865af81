"""Defects that feeds, labels and models really have, planted on purpose so that somebody can be seen to notice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lead_scoring.errors import TrainingError

__all__ = ["DEFECTS", "plant"]

Mask = NDArray[np.bool_]
Defect = Callable[[pa.Table, str, Mask, np.random.Generator], pa.Table]


def plant(table: pa.Table, defect: str, *, column: str | None = None, since: float = 0.7, seed: int = 0) -> pa.Table:
    """Return a table of leads with one defect in its newest rows, or in all with ``since=0``.

    Args:
        table: from `leads.generate`.
        defect: a name from `DEFECTS`.
        column: where; None for the defect's usual column.
        since: share of the rows, oldest first, that stay as they were.
        seed: of whatever the defect draws.

    Raises:
        TrainingError: there is no such defect or column, or the column's type can't have the defect.
    """
    if defect not in DEFECTS:
        raise TrainingError(f"there is no defect {defect!r}; there are {', '.join(sorted(DEFECTS))}")
    usual, apply = DEFECTS[defect]
    name = column or usual
    if name not in table.column_names:
        raise TrainingError(f"{defect}: the table has no column {name!r}")
    rng = np.random.default_rng([seed, sorted(DEFECTS).index(defect)])
    try:
        return apply(table, name, np.arange(table.num_rows) >= since * table.num_rows, rng)
    except pa.ArrowException as error:
        raise TrainingError(f"{defect}: a column of {table.column(name).type} can't have it") from error


def _unit_change(table: pa.Table, name: str, hit: Mask, _: np.random.Generator) -> pa.Table:
    """Send thousands where units were agreed."""
    column = table.column(name)
    thousands = pc.divide(column, pa.scalar(1000, column.type))
    return _replace(table, name, pc.if_else(pa.array(hit), thousands, column))


def _null_burst(table: pa.Table, name: str, hit: Mask, rng: np.random.Generator) -> pa.Table:
    """Lose most values of a column."""
    lost = hit & (rng.random(len(hit)) < 0.9)
    return _replace(
        table, name, pc.if_else(pa.array(lost), pa.scalar(None, table.column(name).type), table.column(name))
    )


def _category_rename(table: pa.Table, name: str, hit: Mask, _: np.random.Generator) -> pa.Table:
    """Spell categories in another way: `us_east` becomes `US EAST`."""
    renamed = pc.replace_substring(pc.utf8_upper(table.column(name)), "_", " ")
    return _replace(table, name, pc.if_else(pa.array(hit), renamed, table.column(name)))


def _constant_column(table: pa.Table, name: str, hit: Mask, _: np.random.Generator) -> pa.Table:
    """Repeat one value for ever."""
    column = table.column(name)
    first = pc.drop_null(column)[0]
    return _replace(table, name, pc.if_else(pa.array(hit), first, column))


def _stale_timestamps(table: pa.Table, name: str, hit: Mask, _: np.random.Generator) -> pa.Table:
    """Stop updating a timestamp: nothing after the first affected row's moment of scoring is known."""
    column = table.column(name)
    if not pa.types.is_timestamp(column.type) or not hit.any():
        raise pa.ArrowInvalid("no timestamps")
    frozen = table.column("scored_at")[int(np.argmax(hit))]
    late = pc.and_(pc.greater(column, frozen), pa.array(hit))
    return _replace(table, name, pc.if_else(late, frozen, column))


def _duplicates(table: pa.Table, _name: str, hit: Mask, rng: np.random.Generator) -> pa.Table:
    """Deliver a third of the rows twice."""
    times = np.where(hit & (rng.random(len(hit)) < 1 / 3), 2, 1)
    return table.take(pa.array(np.repeat(np.arange(len(hit)), times)))


def _label_leakage(table: pa.Table, name: str, hit: Mask, rng: np.random.Generator) -> pa.Table:
    """Fill a column from the outcome, as a field that sales edit after the deal."""
    column = table.column(name)
    won = table.column("converted").to_numpy()
    leaked = np.where(won, 0.8, 0.2) + rng.normal(0, 0.1, len(won))
    return _replace(table, name, pc.if_else(pa.array(hit), pa.array(np.clip(leaked, 0, 1)).cast(column.type), column))


def _shuffled_labels(table: pa.Table, name: str, hit: Mask, rng: np.random.Generator) -> pa.Table:
    """Join outcomes to the wrong leads."""
    outcome = table.column(name).to_numpy().copy()
    outcome[hit] = rng.permutation(outcome[hit])
    return _replace(table, name, pa.array(outcome))


DEFECTS: dict[str, tuple[str, Defect]] = {
    "unit_change": ("account_revenue", _unit_change),
    "null_burst": ("email_engagement_score", _null_burst),
    "category_rename": ("geography", _category_rename),
    "constant_column": ("website_sessions", _constant_column),
    "stale_timestamps": ("last_campaign_interaction", _stale_timestamps),
    "duplicates": ("lead_id", _duplicates),
    "label_leakage": ("custom_feature_13", _label_leakage),
    "shuffled_labels": ("converted", _shuffled_labels),
}
"""Each defect with the column it usually strikes."""


def _replace(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)
