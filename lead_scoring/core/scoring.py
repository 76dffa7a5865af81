"""From the model's margins to everything that a caller is told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Contract
from lead_scoring.core import buckets, calibration, confidence

__all__ = ["Scores", "interpret"]


@dataclass(frozen=True)
class Scores:
    """Answers for n leads: `score` int32 from 1, `probability` and `confidence` float64 in [0, 1]."""

    score: NDArray[np.int32]
    probability: NDArray[np.float64]
    confidence: NDArray[np.float64]


def interpret(contract: Contract, margin: NDArray[np.float32]) -> Scores:
    """Calibrate margins `(n,)`, bucket the probabilities, say how sure the bucket is; each row whatever the batch."""
    log_odds = calibration.log_odds(contract.calibration, margin)
    probability = calibration.probability(log_odds)
    score = buckets.scores(contract.buckets, probability)
    return Scores(score, probability, confidence.confidences(contract.confidence, contract.buckets, log_odds, score))
