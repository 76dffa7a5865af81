"""How quick a model is, measured once, so that a heavy one does not hold up the event loop."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from lead_predictor.scorer import Scorer

__all__ = ["INLINE_S", "leads_within"]

INLINE_S = 0.010
"""How long a prediction may keep health checks and other requests from the event loop."""

_LEADS = 256
_TIMES = 3


def leads_within(scorer: Scorer, matrix: NDArray[np.float32], seconds: float) -> int:
    """Return how many leads like those of `matrix` `(n, f)`, n ≥ 1, the model scores in `seconds` of one processor."""
    rows = matrix[np.arange(_LEADS) % len(matrix)]
    spent: list[float] = []
    for _ in range(_TIMES):
        began = time.thread_time()
        scorer.margin(rows)
        spent.append(time.thread_time() - began)
    return int(_LEADS * seconds / max(min(spent), 1e-9))
