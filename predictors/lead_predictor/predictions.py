"""Where a prediction runs: short ones on the event loop, what would hold it up in the worker's thread."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from lead_predictor.scorer import Scorer
from lead_predictor.worker import Worker

__all__ = ["MAX_LEADS", "Predictions"]

MAX_LEADS = 5_000
"""More than any caller sends; it bounds how long one request can keep the worker busy."""
EXPLAINED_AT_ONCE = 16
"""Contributions run in steps of so many leads (30 ms), so that others get their turn and a cancelled request ends."""


class Predictions:
    """A loaded model with its thread, shared by all doors of the process."""

    def __init__(self, scorer: Scorer, worker: Worker, *, width: int, inline_leads: int) -> None:
        """Put them together.

        Args:
            scorer: the model.
            worker: the thread.
            width: number of features.
            inline_leads: up to so many run on the event loop (`pace`); a trip to the thread costs 0.1 ms.
        """
        self.scorer = scorer
        self.width = width
        self.inline_leads = inline_leads
        self._worker = worker

    async def answer(self, outputs: tuple[str, ...], matrix: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return the outputs by name for `matrix` `(n, f)`.

        Raises:
            Busy: too many requests wait for the thread.
        """
        if len(matrix) <= self.inline_leads and "contributions" not in outputs:
            return {name: self._compute(name, matrix) for name in outputs}
        found: dict[str, NDArray[np.float32]] = {}
        with self._worker.admitted():
            for name in outputs:
                if name != "contributions":
                    found[name] = await self._worker.run(partial(self._compute, name, matrix))
            if "contributions" in outputs:
                margin = found.get("margin")
                if margin is None:
                    margin = await self._worker.run(partial(self.scorer.margin, matrix))
                found["contributions"] = await self._explain(matrix, margin)
        return {name: found[name] for name in outputs}

    async def _explain(self, matrix: NDArray[np.float32], margin: NDArray[np.float32]) -> NDArray[np.float32]:
        steps = [slice(start, start + EXPLAINED_AT_ONCE) for start in range(0, len(matrix), EXPLAINED_AT_ONCE)]
        contributions = self.scorer.contributions
        return np.concatenate(
            [await self._worker.run(partial(contributions, matrix[step], margin[step])) for step in steps]
        )

    def _compute(self, name: str, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.scorer.margin(matrix) if name == "margin" else self.scorer.probability(matrix)
