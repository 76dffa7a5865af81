"""Platt scaling: the slope and intercept that make margins into probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Calibration
from lead_scoring.core.calibration import probability
from lead_scoring.errors import TrainingError

__all__ = ["fit_platt"]

_MOST_STEPS = 100
_SMALLEST_STEP = 1e-12


def fit_platt(margin: NDArray[np.float32], target: NDArray[np.bool_]) -> Calibration:
    """Fit by maximum likelihood (Newton's method) on rows that the booster has not learnt from; arrays `(n,)`.

    Raises:
        TrainingError: higher margins don't go with more conversions, so that there is nothing to calibrate.
    """
    if np.ptp(margin) == 0:
        raise TrainingError("the model gives every lead the same margin: it has learnt nothing")
    x = margin.astype(np.float64)
    y = target.astype(np.float64)
    design = np.column_stack([x, np.ones_like(x)])
    weights = np.array([1.0, 0.0])
    loss = _loss(design @ weights, y)
    for _ in range(_MOST_STEPS):
        p = probability(design @ weights)
        gradient = design.T @ (p - y)
        curvature = (design * (p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while (moved := _loss(design @ (weights - step), y)) > loss and np.abs(step).max() > _SMALLEST_STEP:
            step /= 2  # too far: the curvature there says little about here
        if moved > loss or np.abs(step).max() <= _SMALLEST_STEP:
            break
        weights, loss = weights - step, moved
    slope, intercept = weights.tolist()
    if not (np.isfinite(weights).all() and slope > 1e-3):
        raise TrainingError(
            "the model's margins don't rise with conversions on the calibration rows: it has learnt nothing"
        )
    return Calibration(slope=slope, intercept=intercept)


def _loss(log_odds: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """Return the negative log-likelihood, without overflow."""
    return float((np.logaddexp(0, log_odds) - target * log_odds).sum())
