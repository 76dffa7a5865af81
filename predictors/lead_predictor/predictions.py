"""Where a prediction runs: small ones on the event loop, what would hold it up in the worker's thread."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from lead_predictor.scorer import Scorer
from lead_predictor.worker import Worker

__all__ = ["INLINE_LEADS", "Predictions"]

INLINE_LEADS = 64
"""Up to so many leads run on the event loop: that takes less than a trip to another thread is worth (0.5 ms)."""
EXPLAINED_AT_ONCE = 16
"""Contributions run in steps of so many leads (30 ms), so that others get their turn and a cancelled request ends."""


class Predictions:
    """A loaded model with its thread, shared by all doors of the process."""

    def __init__(self, scorer: Scorer, worker: Worker, *, width: int) -> None:
        """Put them together; `width` is the number of features."""
        self.scorer = scorer
        self.width = width
        self._worker = worker

    async def answer(self, outputs: tuple[str, ...], matrix: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return the outputs by name for `matrix` `(n, f)`.

        Raises:
            Busy: too many requests wait for the thread.
        """
        if len(matrix) <= INLINE_LEADS and "contributions" not in outputs:
            return {name: self._compute(name, matrix) for name in outputs}
        found: dict[str, NDArray[np.float32]] = {}
        with self._worker.admitted():
            for name in outputs:
                if name == "contributions":
                    found[name] = await self._explain(matrix)
                else:
                    found[name] = await self._worker.run(partial(self._compute, name, matrix))
        return found

    async def _explain(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        steps = [matrix[start : start + EXPLAINED_AT_ONCE] for start in range(0, len(matrix), EXPLAINED_AT_ONCE)]
        return np.concatenate([await self._worker.run(partial(self._compute, "contributions", step)) for step in steps])

    def _compute(self, name: str, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        if name == "contributions":
            return self.scorer.contributions(matrix, self.scorer.margin(matrix))
        return self.scorer.margin(matrix) if name == "margin" else self.scorer.probability(matrix)
