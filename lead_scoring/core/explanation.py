"""Why a lead scored as it did: the features that moved its log-odds the most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Reason", "top_reasons"]


@dataclass(frozen=True, slots=True)
class Reason:
    """One feature's share in a score.

    `contribution` is in calibrated log-odds: it adds to the bias and the other features' to give the lead's log-odds.
    """

    feature: str
    contribution: float

    @property
    def direction(self) -> str:
        """Return ``raises`` or ``lowers``."""
        return "raises" if self.contribution > 0 else "lowers"


def top_reasons(
    names: Sequence[str], contributions: NDArray[np.float32], *, slope: float, count: int = 5
) -> list[tuple[Reason, ...]]:
    """Return up to `count` reasons per lead, strongest first, leaving out features that did nothing.

    Args:
        names: the f feature names, in the order of the columns.
        contributions: exact contributions to the margin `(n, f + 1)`, the bias last.
        slope: the calibration's slope, which scales margins to calibrated log-odds.
        count: how many at the most.
    """
    scaled = contributions[:, :-1].astype(np.float64) * slope
    order = np.argsort(-np.abs(scaled), axis=1, kind="stable")[:, :count]
    strongest = np.take_along_axis(scaled, order, axis=1)
    return [
        tuple(Reason(names[j], value) for j, value in zip(columns, values, strict=True) if value != 0.0)
        for columns, values in zip(order.tolist(), strongest.tolist(), strict=True)
    ]
