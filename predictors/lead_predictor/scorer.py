"""The booster behind the tensors: margins, probabilities and exact contributions of encoded leads."""

from __future__ import annotations

import os

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from lead_predictor.dense import MARGIN, VALUE, DenseBooster

__all__ = ["Scorer", "threads"]

_ROUNDING = 1e-3
"""A margin is a sum of hundreds of float32 leaves: further off the contributions' sum than this is no rounding."""


class Scorer:
    """A loaded booster: methods take `(n, f)` float32, NaN for gaps, return float32, and any thread may call them."""

    def __init__(self, booster: xgb.Booster, *, nthread: int) -> None:
        """Take over a booster that `lead_scoring.packaging` has checked and loaded, for `nthread` threads."""
        booster.set_param({"nthread": nthread})
        self._booster = booster
        self._dense = DenseBooster(booster)
        self._nthread = nthread

    def margin(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return log-odds `(n,)`."""
        return self._dense.predict(matrix, MARGIN)

    def probability(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the model's own probabilities `(n,)` in [0, 1], before calibration."""
        return self._dense.predict(matrix, VALUE)

    def contributions(self, matrix: NDArray[np.float32], margin: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return exact contributions `(n, f + 1)`, the bias last; rows add up to the `margin` `(n,)` of the same leads.

        A margin is added up in float32 over all trees, so it and the contributions (TreeSHAP: Lundberg et al. 2018)
        differ by a rounding that grows with the trees; the bias takes it up.

        Raises:
            ArithmeticError: they differ by more than rounding.
        """
        data = xgb.DMatrix(matrix, nthread=self._nthread)
        shares: NDArray[np.float32] = self._booster.predict(data, pred_contribs=True, validate_features=False)
        rounding = margin - shares.sum(axis=1, dtype=np.float64)
        if not np.abs(rounding).max(initial=0.0) <= _ROUNDING:
            raise ArithmeticError("contributions do not add up to the margin")
        shares[:, -1] += rounding
        return shares


def threads() -> int:
    """Return how many threads XGBoost may use: ``OMP_NUM_THREADS``, 1 without it or where it is no whole number."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return max(int(text), 1) if text.isdecimal() else 1
