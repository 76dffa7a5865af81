"""How a table changes over time: whether its oldest rows can teach anything about its newest."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from lead_scoring.core.shift import population_stability, stability_noise
from lead_scoring.intake.profile import Profile

__all__ = ["DRIFTS", "drift", "rate_change"]

DRIFTS = 0.2
"""Population stability index between oldest and newest part from which a column is reported."""
_BINS = 10


def drift(found: Profile, early: NDArray[np.intp], late: NDArray[np.intp]) -> float | None:
    """Return the population stability index of a column between two sets of rows; None if it may be chance."""
    counts = _counts(found, early), _counts(found, late)
    index = population_stability(*counts)
    return index if np.isfinite(index) and index > 4 * stability_noise(*counts) else None


def rate_change(target: NDArray[np.bool_], early: NDArray[np.intp], late: NDArray[np.intp]) -> float:
    """Return by how many standard errors the share of positive outcomes differs between two sets of rows."""
    first, last = target[early], target[late]
    pooled = (first.sum() + last.sum()) / (len(first) + len(last))
    error = sqrt(pooled * (1 - pooled) * (1 / len(first) + 1 / len(last)))
    return float((last.mean() - first.mean()) / error) if error else 0.0


def _counts(found: Profile, rows: NDArray[np.intp]) -> list[float]:
    value = found.value[rows]
    gaps = np.isnan(value)
    present = value[~gaps]
    if found.kind in ("category", "boolean"):
        size = max(len(found.levels), 2)
        counts = np.bincount(present.astype(np.intp), minlength=size).astype(float)
    else:
        edges = np.unique(np.nanquantile(found.value, np.linspace(0, 1, _BINS + 1)[1:-1]))
        counts = np.bincount(np.searchsorted(edges, present, side="right"), minlength=edges.size + 1).astype(float)
    return [*counts.tolist(), float(gaps.sum())]
