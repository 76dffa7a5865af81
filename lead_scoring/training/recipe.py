"""The whole recipe: encoders, booster, calibration, edges. Run once for the model, and again for every refit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from lead_scoring.contract.types import Buckets, Calibration, Feature
from lead_scoring.core import buckets as bucketing
from lead_scoring.core import calibration as calibrating
from lead_scoring.errors import TrainingError
from lead_scoring.training.booster import fit_booster, margins
from lead_scoring.training.dataset import Dataset
from lead_scoring.training.draft import ContractDraft
from lead_scoring.training.edges import cut
from lead_scoring.training.encoders import learn
from lead_scoring.training.platt import fit_platt

__all__ = ["Fitted", "fit"]

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Fitted:
    """A model with all that turns leads into scores."""

    features: tuple[Feature, ...]
    booster: xgb.Booster
    calibration: Calibration
    buckets: Buckets

    def margins(self, data: Dataset, rows: Rows) -> NDArray[np.float32]:
        """Return the margins of some rows."""
        return margins(self.booster, data.encode(self.features, rows).matrix)

    def log_odds(self, data: Dataset, rows: Rows) -> NDArray[np.float64]:
        """Return the calibrated log-odds of some rows."""
        return calibrating.log_odds(self.calibration, self.margins(data, rows))

    def scores(self, data: Dataset, rows: Rows) -> NDArray[np.int32]:
        """Return the scores of some rows, from 1."""
        return bucketing.scores(self.buckets, calibrating.probability(self.log_odds(data, rows)))


def fit(draft: ContractDraft, data: Dataset, *, train: Rows, stopping: Rows, calibration: Rows, seed: int) -> Fitted:
    """Learn everything from three sets of rows, which may repeat rows (a resample).

    The same arguments give the same model to the byte: XGBoost runs on one thread.

    Raises:
        TrainingError: no honest model can come of it.
    """
    for rows in (train, stopping, calibration):
        if not 0 < data.target[rows].sum() < len(rows):
            raise TrainingError(
                "learning, stopping and calibrating each need leads that converted and leads that did not"
            )
    features = learn(draft, data, train)
    booster = fit_booster(
        draft.training, features, data.encode(features, train).matrix, data.target[train],
        data.encode(features, stopping).matrix, data.target[stopping], seed=seed,
    )  # fmt: skip
    margin = margins(booster, data.encode(features, calibration).matrix)
    platt = fit_platt(margin, data.target[calibration])
    probability = calibrating.probability(calibrating.log_odds(platt, margin))
    days = float(np.ptp(data.moment_s[calibration])) / 86_400
    return Fitted(features, booster, platt, cut(draft.buckets, probability, days=days))
