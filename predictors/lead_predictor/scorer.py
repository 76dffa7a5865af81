"""The booster behind the tensors: margins, probabilities and exact contributions of encoded leads."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from lead_scoring.contract import files
from lead_scoring.contract.types import Contract
from lead_scoring.errors import PackageError
from lead_scoring.packaging import folder

__all__ = ["Scorer", "open_folder", "threads"]

_ROUNDING = 1e-3
"""A margin is the sum of hundreds of float32 leaves: more than this off the contributions' sum is no rounding any more."""


class Scorer:
    """A loaded booster. Every method takes `(n, f)` float32 with NaN for gaps, returns float32, and may be called by any thread."""

    def __init__(self, model: bytes, *, width: int, nthread: int = 1) -> None:
        """Load a booster from JSON or UBJSON.

        Raises:
            PackageError: neither of the two, damaged, or of another width.
        """
        if not model.startswith(b"{"):
            raise PackageError(f"{folder.MODEL} is neither UBJSON nor JSON: nothing else is ever loaded")
        booster = xgb.Booster()
        try:
            with xgb.config_context(verbosity=0):  # its warnings would go to stdout, between the log lines
                booster.load_model(bytearray(model))
                booster.set_param({"nthread": nthread})
                columns = booster.num_features()
        except xgb.core.XGBoostError as error:
            raise PackageError(f"{folder.MODEL} can't be loaded by XGBoost {xgb.__version__}") from error
        if columns != width:
            raise PackageError(f"{folder.MODEL} takes {columns} features, the contract lists {width}")
        self._booster = booster
        self._nthread = nthread

    def margin(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return log-odds `(n,)`."""
        return self._inplace(matrix, "margin")

    def probability(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the model's own probabilities `(n,)` in [0, 1], before calibration."""
        return self._inplace(matrix, "value")

    def contributions(self, matrix: NDArray[np.float32], margin: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return exact contributions `(n, f + 1)`, the bias last; rows add up to the `margin` `(n,)` of the same leads.

        A margin is added up in float32 over all trees, so it and the contributions (TreeSHAP: Lundberg et al. 2018) differ by a
        rounding that grows with the trees; the bias takes it up.
        """
        data = xgb.DMatrix(matrix, nthread=self._nthread)
        shares: NDArray[np.float32] = self._booster.predict(data, pred_contribs=True, validate_features=False)
        rounding = margin - shares.sum(axis=1, dtype=np.float64)
        if np.abs(rounding).max(initial=0.0) > _ROUNDING:
            raise ArithmeticError("contributions do not add up to the margin")
        shares[:, -1] += rounding
        return shares

    def _inplace(self, matrix: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._booster.inplace_predict(matrix, predict_type=kind, validate_features=False)
        return found


def open_folder(path: Path, *, nthread: int) -> tuple[Contract, Scorer]:
    """Check a version folder and load its booster from the very bytes that were checked.

    Raises:
        PackageError: the folder is not whole, or its model can't be used.
        ContractError: its contract is malformed.
    """
    listed = folder.check_integrity(path)
    contract = files.decode(_checked_bytes(path / folder.CONTRACT, listed))
    return contract, Scorer(_checked_bytes(path / folder.MODEL, listed), width=len(contract.features), nthread=nthread)


def threads() -> int:
    """Return how many threads XGBoost may use: ``OMP_NUM_THREADS``, 1 without it or where it is no whole number."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return max(int(text), 1) if text.isdecimal() else 1


def _checked_bytes(path: Path, listed: dict[str, str]) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PackageError(f"{path}: {error.strerror or error}") from error
    if hashlib.sha256(data).hexdigest() != listed[path.name]:
        raise PackageError(f"{path}: changed while it was being checked")
    return data
