"""A contract's features compiled to arrays, so that a batch is checked and encoded column-wise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Contract, Feature, TargetRate

__all__ = ["FeaturePlan"]

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
        """Column of each feature name."""
        return {name: column for column, name in enumerate(self.names)}

    @cached_property
    def minimum(self) -> NDArray[np.float64]:
        """Smallest allowed raw value (days for timestamps); float32's lowest where there is none, so that infinity is outside."""
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
    def category_columns(self) -> NDArray[np.intp]:
        """Columns that hold positions of categories."""
        return self._where(lambda feature: feature.type == "category")

    @cached_property
    def required(self) -> NDArray[np.bool_]:
        """Mask of features that may not be missing."""
        return np.array([not feature.nullable for feature in self.features])

    @cached_property
    def clipped(self) -> NDArray[np.bool_]:
        """Mask of features whose values out of range are moved to the bound."""
        return np.array([feature.out_of_range == "clip" and feature.type != "category" for feature in self.features])

    @cached_property
    def dropped(self) -> NDArray[np.bool_]:
        """Mask of features whose values out of range count as missing."""
        return np.array([feature.out_of_range == "missing" and feature.type != "category" for feature in self.features])

    @cached_property
    def imputed(self) -> NDArray[np.float64]:
        """Raw value that stands in for a missing one; NaN where the model gets the gap itself."""
        values = [feature.imputation.value for feature in self.features]
        return np.array([np.nan if value is None else value for value in values])

    @cached_property
    def unknown_to(self) -> NDArray[np.float64]:
        """What an unknown category becomes: a position, NaN for missing, -1 for refused."""
        return np.array([_unknown_to(feature) for feature in self.features])

    @cached_property
    def codes(self) -> dict[int, dict[str | bytes, int]]:
        """For each category column, the position of every category, by text and by its UTF-8 bytes."""
        found: dict[int, dict[str | bytes, int]] = {}
        for column in self.category_columns.tolist():
            table: dict[str | bytes, int] = {}
            for position, category in enumerate(self.features[column].categories or []):
                table[category] = position
                table[category.encode()] = position
            found[column] = table
        return found

    @cached_property
    def encoded(self) -> dict[int, NDArray[np.float64]]:
        """For each category column that is not encoded by position, the value of every position."""
        return {
            column: np.array(feature.encoder.values)
            for column, feature in enumerate(self.features)
            if isinstance(feature.encoder, TargetRate)
        }

    def _where(self, holds) -> NDArray[np.intp]:  # type: ignore[no-untyped-def]
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
    if feature.unknown_category == "missing":
        return np.nan
    if feature.unknown_category == "other" and feature.categories and feature.other_category:
        return float(feature.categories.index(feature.other_category))
    return -1.0
