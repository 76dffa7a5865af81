"""Columns, words and gaps that know the outcome: usually because they were written after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lead_scoring.core.calibration import logit
from lead_scoring.core.statistics import roc_auc
from lead_scoring.intake.profile import Profile

__all__ = ["GIVES_AWAY", "SUSPICIOUS", "Giveaway", "giveaways", "single_auc"]

GIVES_AWAY = 0.97
"""AUC of one column alone from which no honest feature is expected."""
SUSPICIOUS = 0.80
_BINS = 50
_SMOOTHING = 10.0
_LARGEST_RISE, _LARGEST_FALL = 3.0, 4.0
"""In log-odds, from the base rate to a level's own: 10 % to 69 %, or 0.2 %. Many honest levels hardly ever convert."""
_CHANCE = 1e-6
"""That as many rows end the same way by chance must be less likely than this: a table has many levels."""
_FEWEST_REPEATS = 20
_MOST_REPEATED = 50


@dataclass(frozen=True, slots=True)
class Giveaway:
    """Some rows of a column, described in words, nearly all of which have the same outcome."""

    what: str
    rows: int
    positive: int


def single_auc(found: Profile, target: NDArray[np.bool_]) -> float:
    """Return how well a column alone tells the outcome: 0.5 not at all, 1 entirely, in whichever direction.

    Each value (or one of 50 bins of equally many rows; gaps are a bin too) predicts with the share of positive outcomes
    that it has in the other half of the rows, so that a column of many words gains nothing by learning rows by heart.
    """
    codes = _codes(found)
    half = np.arange(len(target)) % 2 == 0
    score = np.empty(len(target))
    for rows, others in ((half, ~half), (~half, half)):
        base = target[others].mean() if others.any() else 0.0
        size = np.bincount(codes[others], minlength=codes.max() + 1)
        won = np.bincount(codes[others], weights=target[others], minlength=codes.max() + 1)
        score[rows] = ((won + _SMOOTHING * base) / (size + _SMOOTHING))[codes[rows]]
    aucs = [float(roc_auc(target[part], score[part])) for part in (half, ~half)]
    return float(np.nanmean(aucs)) if np.isfinite(aucs).any() else 0.5


def giveaways(found: Profile, target: NDArray[np.bool_]) -> Iterator[Giveaway]:
    """Yield the levels, repeated numbers, gaps and presence of a column whose rows nearly all end the same way."""
    gap = np.isnan(found.value)
    for what, rows in _groups(found, gap):
        size, positive = int(rows.sum()), int(target[rows].sum())
        if size < len(target) and _is_giveaway(positive, size, float(target.mean())):
            yield Giveaway(what, size, positive)


def _groups(found: Profile, gap: NDArray[np.bool_]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    if gap.any():
        yield "a gap", gap
        yield "any value", ~gap
    if found.kind == "timestamp":
        return
    values, rows = np.unique(found.present, return_counts=True)
    order = np.argsort(-rows, kind="stable")[: _MOST_REPEATED if found.kind != "category" else None]
    for position in order.tolist():
        if found.kind == "category" or rows[position] >= _FEWEST_REPEATS:
            value = values[position]
            yield found.levels[int(value)] if found.kind == "category" else f"{value:g}", found.value == value


def _is_giveaway(positive: int, size: int, base: float) -> bool:
    shift = float(logit((positive + 0.5) / (size + 1)) - logit(base))
    if shift > 0:
        return shift > _LARGEST_RISE and float(stats.binom.sf(positive - 1, size, base)) < _CHANCE
    return shift < -_LARGEST_FALL and float(stats.binom.cdf(positive, size, base)) < _CHANCE


def _codes(found: Profile) -> NDArray[np.intp]:
    """Return each row's bin; gaps have one of their own."""
    gap = np.isnan(found.value)
    present = found.value[~gap]
    values, place = np.unique(present, return_inverse=True)
    if found.kind != "category" and values.size > _BINS:
        edges = np.unique(np.quantile(present, np.linspace(0, 1, _BINS + 1)[1:-1]))
        place = np.searchsorted(edges, present, side="right")
    codes = np.zeros(len(gap), dtype=np.intp)
    codes[~gap] = place + 1
    return codes
