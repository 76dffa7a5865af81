"""Where outcomes are known: whether scores still sort and mean what they did, and whether a column knows outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import stats

from lead_scoring.core.statistics import roc_auc
from lead_scoring.errors import TableError
from lead_scoring.intake.leakage import single_auc
from lead_scoring.intake.profile import Kind, Profile
from lead_scoring.quality.census import Census
from lead_scoring.quality.verdicts import Check, Level, Thresholds
from lead_scoring.tables import cells

__all__ = ["outcomes", "read"]

_FEWEST_OF_EACH = 30


def read(name: str, column: pa.ChunkedArray, positive: str | None) -> NDArray[np.float64]:
    """Return outcomes as 0 and 1, NaN where none is known yet.

    Raises:
        TableError: the column holds something else, and `positive` does not say which word counts.
    """
    if positive is None:
        found = cells.truths(column)
        if found.bad.any():
            raise TableError(f"{name}: holds more than true and false; name the positive outcome with --positive")
        return found.value
    words = cells.texts(column).to_pylist()
    return np.array([np.nan if word is None else float(word == positive) for word in words])


def outcomes(census: Census, limits: Thresholds) -> Iterator[Check]:
    """Compare AUC and conversions with what the contract promises; look at every column alone."""
    target = np.concatenate(census.target) if census.target else np.empty(0, dtype=bool)
    won, lost = int(target.sum()), int((~target).sum())
    if min(won, lost) < _FEWEST_OF_EACH:
        message = f"{won} positive and {lost} other outcomes: too few to judge by, {_FEWEST_OF_EACH} of each are needed"
        yield Check("outcomes", "", "insufficient", message)
        return
    probability = np.concatenate(census.probability)
    yield _ranking(census, target, probability, limits)
    yield _calibration(target, probability, limits)
    values = np.concatenate(census.values)
    for column, feature in enumerate(census.contract.features):
        kind: Kind = "category" if feature.type == "category" else "number"
        auc = single_auc(Profile(feature.name, kind, values[:, column]), target)
        if auc >= limits.leakage_auc[0]:
            level: Level = "alarm" if auc >= limits.leakage_auc[1] else "warning"
            message = f"alone it tells the outcome with AUC {auc:.3f}: it seems to be written after the outcome"
            yield Check("outcomes", feature.name, level, message, {"auc": auc})


def _ranking(census: Census, target: NDArray[np.bool_], probability: NDArray[np.float64], limits: Thresholds) -> Check:
    now = float(roc_auc(target, probability))
    promised = census.contract.training.metrics["roc_auc"]
    error = sqrt(_auc_variance(now, target) + ((promised.high - promised.low) / (2 * 1.96)) ** 2)
    drop = promised.value - now
    p = float(stats.norm.sf(drop / error)) if error else 1.0
    level: Level = "ok"
    if p <= limits.p_value:
        level = "alarm" if drop >= limits.auc_drop[1] else "warning" if drop >= limits.auc_drop[0] else "ok"
    message = f"the scores sort outcomes with AUC {now:.3f}; {promised.value:.3f} was promised"
    return Check("outcomes", "the score", level, message, {"auc": now, "promised": promised.value, "p_value": p})


def _calibration(target: NDArray[np.bool_], probability: NDArray[np.float64], limits: Thresholds) -> Check:
    observed, expected = int(target.sum()), float(probability.sum())
    spread = sqrt(float((probability * (1 - probability)).sum()))
    p = float(2 * stats.norm.sf(abs(observed - expected) / spread)) if spread else 1.0
    off = abs(observed / expected - 1)
    level: Level = "ok"
    if p <= limits.p_value:
        level = "alarm" if off >= limits.calibration[1] else "warning" if off >= limits.calibration[0] else "ok"
    message = f"{observed} positive outcomes, the probabilities add up to {expected:.0f}"
    return Check("outcomes", "the probability", level, message, {"ratio": observed / expected, "p_value": p})


def _auc_variance(auc: float, target: NDArray[np.bool_]) -> float:
    """Return the sampling variance of an AUC. Source: Hanley and McNeil (1982)."""
    won, lost = int(target.sum()), int((~target).sum())
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    return (auc * (1 - auc) + (won - 1) * (q1 - auc**2) + (lost - 1) * (q2 - auc**2)) / (won * lost)
