"""A published version to hold a new model against, on the same leads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from lead_scoring.contract.types import Contract
from lead_scoring.core.calibration import log_odds, probability
from lead_scoring.core.features import encode
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.errors import TrainingError
from lead_scoring.training.booster import margins
from lead_scoring.training.dataset import Dataset, raw_matrix
from lead_scoring.training.judgement import Holdout, compare, judge

__all__ = ["Baseline"]


@dataclass(frozen=True)
class Baseline:
    """A version that exists already. It must not have learnt from the leads that it is compared on."""

    contract: Contract
    booster: xgb.Booster

    def probability(self, data: Dataset, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the calibrated probabilities that this version gives some rows, each as of its own moment.

        Raises:
            TrainingError: the table lacks a column of its features, or it would refuse some of the rows.
        """
        features = self.contract.features
        encoded = encode(FeaturePlan.of(self.contract), raw_matrix(features, data.table)[rows], data.moment_s[rows])
        if encoded.findings:
            first = encoded.findings[0]
            name = features[first.column].name
            raise TrainingError(f"the baseline refuses {len(first.rows)} of the test rows ({name}: {first.reason})")
        return probability(log_odds(self.contract.calibration, margins(self.booster, encoded.matrix)))

    def compare(
        self, data: Dataset, rows: NDArray[np.intp], holdout: Holdout, candidate: NDArray[np.float64]
    ) -> dict[str, Any]:
        """Return what the contract says about a candidate's probabilities `(n,)` for some rows next to this version's.

        `difference` is candidate minus baseline, with paired intervals.
        """
        own = self.probability(data, rows)
        return {
            "model": self.contract.model.name,
            "version": self.contract.model.version,
            "rows": len(rows),
            "baseline": msgspec.to_builtins(judge(holdout, own)),
            "difference": msgspec.to_builtins(compare(holdout, candidate, own)),
        }
