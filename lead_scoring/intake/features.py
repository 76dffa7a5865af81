"""From what a column holds to what the contract should say about it."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import FeatureType, InFiles, OnUnknownCategory
from lead_scoring.core.findings import MAX_TEXT_BYTES
from lead_scoring.intake.profile import Profile
from lead_scoring.intake.words import names_the_rest
from lead_scoring.training.draft import FeatureDraft, ImputationDraft

__all__ = ["LARGEST", "MOST_LEVELS", "draft_feature", "kept_levels"]

LARGEST = float(np.finfo(np.float32).max) / 2
"""Largest number that the model takes, with room for a range around it."""
MOST_LEVELS = 100
"""Categories that a draft lists; the rest is `other`."""
_FEWEST_ROWS = 10
_FEWEST_SHARE = 0.001
_HEADROOM = 0.25
_SCALE = 12
"""Numbers of at most so many values are a scale, and keep just its range."""
_LEARNABLE_GAPS = 20
_LEARNABLE_SHARE = 0.005
_SECONDS_PER_DAY = 86_400


def draft_feature(found: Profile, moment_s: NDArray[np.float64]) -> FeatureDraft:
    """Return the draft of a feature for a column whose rows are scored at `moment_s` `(n,)`; of nothing else if empty.

    The rules behind it are in docs/any-table.md.
    """
    nullable = found.gaps > 0
    spelling = InFiles(missing=list(found.gap_words), date_format=found.date_format)
    kind: FeatureType = "number" if found.kind == "empty" else found.kind
    if not found.present.size or (kind in ("number", "integer") and np.abs(found.present).max() > LARGEST):
        return FeatureDraft(name=found.name, type=kind)
    feature = FeatureDraft(
        name=found.name,
        type=kind,
        nullable=nullable,
        imputation=_imputation(found) if nullable else ImputationDraft(),
        missing_values=list(found.missing_values),
        in_files=None if spelling == InFiles() else spelling,
    )
    if kind == "category":
        return _category(feature, found)
    if kind in ("number", "integer"):
        return _number(feature, found)
    if kind == "timestamp":
        return _timestamp(feature, found, moment_s)
    return feature


def kept_levels(found: Profile) -> list[str]:
    """Return the categories that have rows enough to be told apart, the most frequent first, two if there are two.

    Words that are too long for a request are never among them.
    """
    fewest = max(_FEWEST_ROWS, _FEWEST_SHARE * len(found.value))
    fit = [
        (level, rows)
        for level, rows in zip(found.levels, found.counts, strict=True)
        if len(level.encode()) <= MAX_TEXT_BYTES
    ]
    kept = [level for level, rows in fit if rows >= fewest]
    return kept[:MOST_LEVELS] if len(kept) >= 2 else [level for level, _ in fit[:2]]


def _category(feature: FeatureDraft, found: Profile) -> FeatureDraft:
    kept = kept_levels(found)
    rest = next((level for level in found.levels if names_the_rest(level)), None)
    unknown: OnUnknownCategory
    if rest is not None:
        unknown = "other"
        kept = kept if rest in kept else [*kept, rest]
    elif len(kept) < len(found.levels) or (len(kept) > 2 and not feature.nullable):
        unknown, rest = "other", "other"
        kept = [*kept, rest]
    else:
        unknown = "missing" if feature.nullable else "reject"
    two = len(kept) == 2
    return _changed(
        feature,
        categories=sorted(kept) if two else kept,
        unknown_category=unknown,
        other_category=rest,
        encoder="ordinal" if two else None,
    )


def _number(feature: FeatureDraft, found: Profile) -> FeatureDraft:
    values = np.unique(found.present)
    low, high = float(values[0]), float(values[-1])
    if found.kind == "integer" and values.size <= 2:
        return _changed(feature, minimum=low, maximum=high, out_of_range="reject")
    if low >= 0 and high <= 1:
        return _changed(feature, minimum=0.0, maximum=1.0, out_of_range="clip")
    if values.size <= _SCALE:
        return _changed(feature, minimum=low, maximum=high, out_of_range="clip")
    room = _HEADROOM * (high - low)
    floor = 0.0 if 0 <= low <= 2 * room else _outward(low - room, -1)
    ceiling = _outward(high + room, 1)
    if found.kind == "integer":
        floor, ceiling = float(math.floor(floor)), float(math.ceil(ceiling))
    return _changed(feature, minimum=max(floor, 0.0) if low >= 0 else floor, maximum=ceiling, out_of_range="clip")


def _timestamp(feature: FeatureDraft, found: Profile, moment_s: NDArray[np.float64]) -> FeatureDraft:
    days = np.floor((moment_s - found.value) / _SECONDS_PER_DAY)
    low, high = float(np.nanmin(days)), float(np.nanmax(days))
    room = max(_HEADROOM * (high - low), 30.0)
    return _changed(
        feature,
        unit="days",
        minimum=0.0 if low >= 0 else float(math.floor(_outward(low - room, -1))),
        maximum=float(math.ceil(_outward(max(high, 0.0) + room, 1))),
        out_of_range="clip",
    )


def _imputation(found: Profile) -> ImputationDraft:
    """Leave gaps to XGBoost if there are enough of them to learn from; else fill them in."""
    if found.gaps >= max(_LEARNABLE_GAPS, _LEARNABLE_SHARE * len(found.value)):
        return ImputationDraft()
    return ImputationDraft(strategy="most_frequent" if found.kind in ("category", "boolean") else "median")


def _outward(value: float, direction: int) -> float:
    """Round away from the data to two digits."""
    if value == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    found = math.floor(value / step) if direction < 0 else math.ceil(value / step)
    return float(f"{found * step:.12g}") if step < 1 else float(round(found * step))


def _changed(feature: FeatureDraft, **changes: object) -> FeatureDraft:
    return msgspec.structs.replace(feature, **changes)
