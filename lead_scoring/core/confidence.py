"""How surely a lead belongs in its bucket."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Buckets, Confidence
from lead_scoring.core.calibration import logit, probability

__all__ = ["confidences", "mass_inside"]


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
    bounds = np.concatenate(([-np.inf], edges, [np.inf]))
    with np.errstate(invalid="ignore"):
        below = probability((bounds[score - 1] - log_odds) / spread)
        above = probability((bounds[score] - log_odds) / spread)
    return above - below


def confidences(
    confidence: Confidence, buckets: Buckets, log_odds: NDArray[np.float64], score: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Return, for each lead `(n,)`, the expected share in [0, 1] of refits on resampled data that agree with its score.

    Among leads at confidence ≥ c, agreement over fresh refits is at least c − 0.03 (a test shows it).
    """
    spread = np.interp(log_odds, confidence.log_odds, confidence.spread)
    raw = mass_inside(logit(np.asarray(buckets.edges)), log_odds, spread, score)
    return np.interp(raw, confidence.raw, confidence.agreement)
