"""How far apart two distributions over the same bins are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["population_stability", "stability_noise"]

_CREDIT = 0.5
"""Rows added to every bin, so that an empty one doesn't make the index infinite."""


def population_stability(expected: Sequence[float], found: Sequence[float]) -> float:
    """Return the population stability index of counts over the same k bins: 0 for equal shares; NaN if one has no rows.

    ``sum((q - p) ln(q / p))`` over shares p, q; symmetric. By convention 0.1 is a moderate and 0.25 a large shift.
    Source: Siddiqi (2006), "Credit Risk Scorecards".
    """
    p, q = _shares(expected), _shares(found)
    return float(((q - p) * np.log(q / p)).sum())


def stability_noise(expected: Sequence[float], found: Sequence[float]) -> float:
    """Return the index that chance alone leaves on average between two samples of the same distribution; inf if empty.

    ``(k - 1) (1/n + 1/m)`` for k bins that either has rows in. Source: Yurdakul and Naranjo (2020), "Statistical
    properties of the population stability index".
    """
    n, m = float(sum(expected)), float(sum(found))
    if min(n, m) <= 0:
        return float("inf")
    bins = sum(1 for e, f in zip(expected, found, strict=True) if e or f)
    return max(bins - 1, 0) * (1 / n + 1 / m)


def _shares(counts: Sequence[float]) -> NDArray[np.float64]:
    rows = np.asarray(counts, dtype=np.float64)
    if rows.sum() <= 0:
        return np.full(rows.shape, np.nan)
    shares: NDArray[np.float64] = (rows + _CREDIT) / (rows + _CREDIT).sum()
    return shares
