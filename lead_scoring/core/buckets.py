"""From a calibrated probability to a score of 1 to 5."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Buckets

__all__ = ["Bucketing", "scores"]


class Bucketing:
    """Edges ready to be searched again and again."""

    def __init__(self, buckets: Buckets) -> None:
        """Compile the edges."""
        self._edges = np.asarray(buckets.edges, dtype=np.float64)
        self._side: Literal["left", "right"] = "right" if buckets.closed == "left" else "left"

    def __call__(self, probability: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the score of each probability, as `scores` does."""
        return (self._edges.searchsorted(probability, side=self._side) + 1).astype(np.int32)


def scores(buckets: Buckets, probability: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return the score of each probability, 1 the lowest; an exact edge belongs where `buckets.closed` says."""
    return Bucketing(buckets)(probability)
