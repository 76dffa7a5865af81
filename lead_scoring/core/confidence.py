"""How surely a lead belongs in its bucket."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Buckets, Confidence
from lead_scoring.core.calibration import logit, probability

__all__ = ["Agreement", "confidences", "mass_inside"]


def mass_inside(
    edges: NDArray[np.float64], log_odds: NDArray[np.float64], spread: NDArray[np.float64], score: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Return how much of a logistic distribution around each lead's log-odds lies within its bucket.

    Args:
        edges: bucket edges as log-odds, rising, `(k,)`.
        log_odds: centre for each lead `(n,)`.
        spread: scale for each lead `(n,)`, > 0.
        score: bucket of each lead `(n,)`, from 1 to k + 1.
    """
    return _mass_between(np.concatenate(([-np.inf], edges, [np.inf])), log_odds, spread, score)


def _mass_between(
    bounds: NDArray[np.float64], log_odds: NDArray[np.float64], spread: NDArray[np.float64], score: NDArray[np.int32]
) -> NDArray[np.float64]:
    either_end = bounds[np.array((score - 1, score))]
    with np.errstate(invalid="ignore"):
        below, above = probability((either_end - log_odds) / spread)
    mass: NDArray[np.float64] = above - below
    return mass


class Agreement:
    """What a contract knows of confidence, ready to be asked again and again."""

    def __init__(self, confidence: Confidence, buckets: Buckets) -> None:
        """Compile curves and edges."""
        self._bounds = np.concatenate(([-np.inf], logit(np.asarray(buckets.edges)), [np.inf]))
        self._log_odds, self._spread = np.asarray(confidence.log_odds), np.asarray(confidence.spread)
        self._raw, self._agreement = np.asarray(confidence.raw), np.asarray(confidence.agreement)

    def __call__(self, log_odds: NDArray[np.float64], score: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the confidence of each lead `(n,)`, as `confidences` does."""
        spread = np.interp(log_odds, self._log_odds, self._spread)
        mass = _mass_between(self._bounds, log_odds, spread, score)
        agreement: NDArray[np.float64] = np.interp(mass, self._raw, self._agreement)
        return agreement


def confidences(
    confidence: Confidence, buckets: Buckets, log_odds: NDArray[np.float64], score: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Return, for each lead `(n,)`, the expected share in [0, 1] of refits on resampled data that agree with its score.

    Among leads at confidence ≥ c, agreement over fresh refits is at least c − 0.03 (a test shows it).
    """
    return Agreement(confidence, buckets)(log_odds, score)
