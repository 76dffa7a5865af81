"""Platt scaling: the slope and intercept that make margins into probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Calibration
from lead_scoring.errors import TrainingError

__all__ = ["fit_platt"]

_MOST_STEPS = 100


def fit_platt(margin: NDArray[np.float32], target: NDArray[np.bool_]) -> Calibration:
    """Fit by maximum likelihood (Newton's method) on rows that the booster has not learnt from; arrays `(n,)`.

    Raises:
        TrainingError: higher margins don't go with more conversions, so that there is nothing to calibrate.
    """
    x = margin.astype(np.float64)
    y = target.astype(np.float64)
    design = np.column_stack([x, np.ones_like(x)])
    weights = np.array([1.0, 0.0])
    for _ in range(_MOST_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -700, 700)))
        gradient = design.T @ (p - y)
        curvature = (design * (p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights -= np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-12:
            break
    slope, intercept = weights.tolist()
    if not (np.isfinite(weights).all() and slope > 1e-3):
        raise TrainingError(
            "the model's margins don't rise with conversions on the calibration rows: it has learnt nothing"
        )
    return Calibration(slope=slope, intercept=intercept)
