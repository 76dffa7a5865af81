"""From the model's margins to everything that a caller is told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Contract
from lead_scoring.core import buckets, calibration, confidence

__all__ = ["Interpreter", "Scores", "interpret"]


@dataclass(frozen=True)
class Scores:
    """Answers for n leads: `score` int32 from 1, `probability` and `confidence` float64 in [0, 1]."""

    score: NDArray[np.int32]
    probability: NDArray[np.float64]
    confidence: NDArray[np.float64]


class Interpreter:
    """A contract's calibration, buckets and confidence, ready to be asked again and again."""

    def __init__(self, contract: Contract) -> None:
        """Compile the contract."""
        self._calibration = contract.calibration
        self._bucketing = buckets.Bucketing(contract.buckets)
        self._agreement = confidence.Agreement(contract.confidence, contract.buckets)

    def __call__(self, margin: NDArray[np.float32]) -> Scores:
        """Calibrate margins `(n,)`, bucket the probabilities, say how sure that is; each row whatever the batch."""
        log_odds = calibration.log_odds(self._calibration, margin)
        probability = calibration.probability(log_odds)
        score = self._bucketing(probability)
        return Scores(score, probability, self._agreement(log_odds, score))


def interpret(contract: Contract, margin: NDArray[np.float32]) -> Scores:
    """Do once what an `Interpreter` does."""
    return Interpreter(contract)(margin)
