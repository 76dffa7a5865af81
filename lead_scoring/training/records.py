"""Rows of a table as V1 records, as a client would send them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lead_scoring.contract.types import Feature
from lead_scoring.tables import cells
from lead_scoring.training.dataset import Dataset

__all__ = ["to_records"]


def to_records(
    features: Sequence[Feature], id_field: str, data: Dataset, rows: NDArray[np.intp]
) -> list[dict[str, Any]]:
    """Return one JSON-ready object per row: the id as text, then every feature, null where it is missing.

    `core.assembly.from_records` makes the very raw matrix of them that the data set has.
    """
    table = data.table.take(pa.array(rows))
    columns: dict[str, list[Any]] = {id_field: cells.texts(table.column(id_field)).to_pylist()}
    for position, feature in enumerate(features):
        raw = data.raw[rows, position].tolist()
        if feature.type == "category":
            columns[feature.name] = cells.texts(table.column(feature.name)).to_pylist()
        else:
            say = _WORDS[feature.type]
            columns[feature.name] = [None if value != value else say(value) for value in raw]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _whole(value: float) -> int | float:
    return int(value) if value.is_integer() else value


def _moment(value: float) -> str:
    return datetime.fromtimestamp(value, UTC).isoformat().replace("+00:00", "Z")


_WORDS: dict[str, Callable[[float], Any]] = {"number": float, "integer": _whole, "boolean": bool, "timestamp": _moment}
