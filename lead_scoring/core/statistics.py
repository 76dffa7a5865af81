"""How good scores are, as numbers. Each measure takes many sets of weights at once, so that it can be bootstrapped."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

__all__ = ["average_precision", "brier", "calibration_error", "log_loss", "roc_auc", "wilson"]

Floats = NDArray[np.float64]
Weights = NDArray[np.float64] | None
"""`(n,)`, or `(b, n)` for b results at once; None for 1 everywhere. Not negative."""

_Z95 = 1.959963984540054


def roc_auc(target: NDArray[np.bool_], score: Floats, weights: Weights = None) -> Floats:
    """Return the chance that a conversion outscores a non-conversion, ties counting half.

    Shape `()`, or `(b,)` for `(b, n)` weights; NaN where either outcome has no weight. Source: Mann and Whitney (1947).
    """
    won, lost = _by_score(target, score, weights, descending=False)
    below = np.cumsum(lost, axis=-1) - lost / 2
    return _divide((won * below).sum(axis=-1), won.sum(axis=-1) * lost.sum(axis=-1))


def average_precision(target: NDArray[np.bool_], score: Floats, weights: Weights = None) -> Floats:
    """Return the area under the precision-recall steps, tied scores taken together; shapes and NaN as `roc_auc`."""
    won, lost = _by_score(target, score, weights, descending=True)
    found = np.cumsum(won, axis=-1)
    precision = _divide(found, found + np.cumsum(lost, axis=-1))
    return _divide(np.nansum(won * precision, axis=-1), won.sum(axis=-1))


def log_loss(target: NDArray[np.bool_], probability: Floats, weights: Weights = None) -> Floats:
    """Return the mean negative log-likelihood in nats; a certain wrong answer costs about 36. Shapes as `roc_auc`."""
    p = np.clip(np.where(target, probability, 1 - probability), np.finfo(np.float64).eps, 1.0)
    return _mean(-np.log(p), weights)


def brier(target: NDArray[np.bool_], probability: Floats, weights: Weights = None) -> Floats:
    """Return the mean squared difference between probability and outcome. Shapes as `roc_auc`."""
    return _mean((probability - target) ** 2, weights)


def calibration_error(
    target: NDArray[np.bool_], probability: Floats, weights: Weights = None, *, bins: int = 10
) -> Floats:
    """Return the expected calibration error over bins of equally many leads, by probability. Shapes as `roc_auc`.

    It is never 0 on real data: chance alone leaves about ``sqrt(bins · p (1 - p) / n)``. Source: Naeini et al. (2015).
    """
    order = np.argsort(probability, kind="stable")
    starts = np.unique(np.arange(bins) * len(order) // bins)
    weight = np.ones(len(order)) if weights is None else weights[..., order]
    excess = np.add.reduceat(weight * (target[order] - probability[order]), starts, axis=-1)
    return _divide(np.abs(excess).sum(axis=-1), weight.sum(axis=-1))


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share; ``(0, 1)`` without trials. Source: Wilson (1927)."""
    if trials == 0:
        return 0.0, 1.0
    share, square = successes / trials, _Z95**2
    centre = share + square / (2 * trials)
    reach = _Z95 * sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    scale = 1 + square / trials
    low = 0.0 if successes == 0 else (centre - reach) / scale
    high = 1.0 if successes == trials else (centre + reach) / scale
    return low, high


def _by_score(target: NDArray[np.bool_], score: Floats, weights: Weights, *, descending: bool) -> tuple[Floats, Floats]:
    """Return the weight of conversions and of the others, each `(..., d)`, for the d different scores in order."""
    order = np.argsort(-score if descending else score, kind="stable")
    ordered = score[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    weight = np.ones(len(order)) if weights is None else weights[..., order]
    positive = target[order]
    return np.add.reduceat(weight * positive, starts, axis=-1), np.add.reduceat(weight * ~positive, starts, axis=-1)


def _mean(values: Floats, weights: Weights) -> Floats:
    if weights is None:
        return np.asarray(values.mean())
    return _divide(weights @ values, weights.sum(axis=-1))


def _divide(a: Floats, b: Floats) -> Floats:
    """Return ``a / b``, NaN where b is 0."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    found: Floats = np.divide(a, b, out=np.full(np.broadcast_shapes(a.shape, b.shape), np.nan), where=b > 0)
    return found
