"""From a calibrated probability to a score of 1 to 5."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Buckets

__all__ = ["scores"]


def scores(buckets: Buckets, probability: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return the score of each probability, 1 the lowest; an exact edge belongs where `buckets.closed` says."""
    side: Literal["left", "right"] = "right" if buckets.closed == "left" else "left"
    below = np.searchsorted(np.asarray(buckets.edges, dtype=np.float64), probability, side=side)
    return (below + 1).astype(np.int32)
