"""A contract's features compiled to arrays, so that a batch is checked and encoded column-wise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import RESERVED_NAME, Contract, Feature, TargetRate

__all__ = ["ACCEPTED", "ALL", "ID", "FeaturePlan"]

ID = -1
"""Stands for the column of lead ids where features have their number."""
ALL = -2
"""Stands for the packed tensor, which is all columns."""

_FLOATS = ("FP64", "FP32")
_INTEGERS = ("INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8")
ACCEPTED: dict[str, tuple[str, ...]] = {
    "number": (*_FLOATS, *_INTEGERS),
    "integer": (*_INTEGERS, *_FLOATS),
    "boolean": ("BOOL", "UINT8", "INT8", *_FLOATS),
    "category": ("BYTES",),
    "timestamp": ("BYTES", "INT64", "FP64"),
}
"""Datatypes that each type of feature accepts, the advertised one first. FP* carry missing values in binary as NaN."""

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class FeaturePlan:
    """Everything per feature that checking and encoding need, as arrays of shape `(f,)` in contract order."""

    features: tuple[Feature, ...]
    id_field: str

    @classmethod
    def of(cls, contract: Contract) -> FeaturePlan:
        """Compile a contract."""
        return cls(features=tuple(contract.features), id_field=contract.id_field)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Feature names in contract order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def position(self) -> dict[str, int]:
        """Column of each tensor by name: of each feature, `ID`, and `ALL` for the packed one."""
        return {RESERVED_NAME: ALL, self.id_field: ID, **{name: column for column, name in enumerate(self.names)}}

    @cached_property
    def accepted(self) -> dict[int, tuple[str, ...]]:
        """Datatypes that each column's tensor may have, the advertised one first; also of `ID` and `ALL`."""
        columns = {column: ACCEPTED[feature.type] for column, feature in enumerate(self.features)}
        return {ID: ("BYTES",), ALL: _FLOATS, **columns}

    @cached_property
    def datatypes(self) -> tuple[str, ...]:
        """The advertised datatype of each feature: what values in records count as."""
        return tuple(ACCEPTED[feature.type][0] for feature in self.features)

    @cached_property
    def minimum(self) -> NDArray[np.float64]:
        """Smallest allowed raw value (days for timestamps); float32's lowest where there is none, so -inf is out."""
        return np.array([_lowest(feature) for feature in self.features])

    @cached_property
    def maximum(self) -> NDArray[np.float64]:
        """Largest allowed raw value (days for timestamps); float32's largest where there is none."""
        return np.array([_highest(feature) for feature in self.features])

    @cached_property
    def whole(self) -> NDArray[np.intp]:
        """Columns whose values must be whole numbers."""
        return self._where(lambda feature: feature.type in ("integer", "boolean", "category"))

    @cached_property
    def timestamps(self) -> NDArray[np.intp]:
        """Columns that hold seconds since the epoch and become days."""
        return self._where(lambda feature: feature.type == "timestamp")

    @cached_property
    def categories(self) -> NDArray[np.bool_]:
        """Mask of features that hold positions of categories."""
        return np.array([feature.type == "category" for feature in self.features])

    @cached_property
    def strict(self) -> NDArray[np.bool_]:
        """Mask of features that refuse an unknown category."""
        return np.array(
            [feature.type == "category" and feature.unknown_category == "reject" for feature in self.features]
        )

    @cached_property
    def required(self) -> NDArray[np.bool_]:
        """Mask of features that may not be missing."""
        return np.array([not feature.nullable for feature in self.features])

    @cached_property
    def required_columns(self) -> tuple[int, ...]:
        """Columns that may not be missing."""
        return tuple(np.flatnonzero(self.required).tolist())

    @cached_property
    def clipped(self) -> NDArray[np.bool_]:
        """Mask of features whose values out of range are moved to the bound."""
        return np.array([feature.out_of_range == "clip" and feature.type != "category" for feature in self.features])

    @cached_property
    def dropped(self) -> NDArray[np.bool_]:
        """Mask of features whose values out of range count as missing."""
        return np.array([feature.out_of_range == "missing" and feature.type != "category" for feature in self.features])

    @cached_property
    def guarded(self) -> NDArray[np.bool_]:
        """Mask of features whose values out of range are refused."""
        return ~(self.clipped | self.dropped | self.categories)

    @cached_property
    def imputed(self) -> NDArray[np.float64]:
        """Raw value that stands in for a missing one; NaN where the model gets the gap itself."""
        values = [feature.imputation.value for feature in self.features]
        return np.array([np.nan if value is None else value for value in values])

    @cached_property
    def unknown_to(self) -> NDArray[np.float64]:
        """What an unknown category becomes where it is not refused: a position, or NaN for missing."""
        return np.array([_unknown_to(feature) for feature in self.features])

    @cached_property
    def codes(self) -> dict[int, dict[str | bytes, float]]:
        """For each category column, the position of every category, by text and by its UTF-8 bytes; NaN for gaps."""
        found: dict[int, dict[str | bytes, float]] = {}
        for column in np.flatnonzero(self.categories).tolist():
            table: dict[str | bytes, float] = {}
            for position, category in enumerate(self.features[column].categories or []):
                table[category] = position
                table[category.encode()] = position
            for text in self.features[column].missing_values or []:
                table[str(text)] = table[str(text).encode()] = np.nan
            found[column] = table
        return found

    @cached_property
    def sentinels(self) -> tuple[tuple[int, NDArray[np.float64]], ...]:
        """The columns of numbers some of which count as missing, with those numbers."""
        return tuple(
            (column, np.array(feature.missing_values, dtype=np.float64))
            for column, feature in enumerate(self.features)
            if feature.missing_values and feature.type != "category"
        )

    @cached_property
    def fills(self) -> NDArray[np.bool_]:
        """Mask of features with a value that stands in for a missing one."""
        return ~np.isnan(self.imputed)

    @cached_property
    def rated(self) -> NDArray[np.intp]:
        """Category columns that are encoded by a rate and not by position."""
        return self._where(lambda feature: isinstance(feature.encoder, TargetRate))

    @cached_property
    def rates(self) -> NDArray[np.float64]:
        """The rates of all `rated` columns, one after the other, and NaN at the end."""
        tables = [feature.encoder.values for feature in self.features if isinstance(feature.encoder, TargetRate)]
        return np.array([*chain.from_iterable(tables), np.nan])

    @cached_property
    def rates_from(self) -> NDArray[np.float64]:
        """Where in `rates` each `rated` column begins."""
        tables = [feature.encoder.values for feature in self.features if isinstance(feature.encoder, TargetRate)]
        return np.cumsum([0.0, *map(len, tables)])[:-1]

    def _where(self, holds: Callable[[Feature], bool]) -> NDArray[np.intp]:
        return np.array([column for column, feature in enumerate(self.features) if holds(feature)], dtype=np.intp)


def _lowest(feature: Feature) -> float:
    if feature.type in ("boolean", "category"):
        return 0.0
    return -_LARGEST if feature.minimum is None else feature.minimum


def _highest(feature: Feature) -> float:
    if feature.type == "boolean":
        return 1.0
    if feature.type == "category":
        return len(feature.categories or []) - 1.0
    return _LARGEST if feature.maximum is None else feature.maximum


def _unknown_to(feature: Feature) -> float:
    if feature.unknown_category == "other" and feature.categories and feature.other_category:
        return float(feature.categories.index(feature.other_category))
    return np.nan
