"""What is learnt about each feature before the model is: category rates and fill-in values, on training rows alone."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Feature, Imputation, TargetRate
from lead_scoring.errors import TrainingError
from lead_scoring.training.dataset import Dataset
from lead_scoring.training.draft import ContractDraft
from lead_scoring.training.draft_files import outline

__all__ = ["learn"]


def learn(draft: ContractDraft, data: Dataset, rows: NDArray[np.intp]) -> tuple[Feature, ...]:
    """Return the draft's features with `TargetRate` values and learnt imputations filled in from some rows.

    Raises:
        TrainingError: a feature to be imputed has no value in these rows.
    """
    outlines = [outline(feature) for feature in draft.features]
    plain = data.encode(outlines, rows).plain
    target = data.target[rows]
    return tuple(
        _filled(feature, plain[:, column], target, draft.training.category_smoothing)
        for column, feature in enumerate(outlines)
    )


def _filled(feature: Feature, plain: NDArray[np.float64], target: NDArray[np.bool_], smoothing: float) -> Feature:
    present = plain[~np.isnan(plain)]
    imputation = feature.imputation
    if imputation.strategy in ("median", "most_frequent"):
        if not present.size:
            raise TrainingError(
                f"{feature.name}: no training row has a value, so there is no {imputation.strategy} to learn"
            )
        value = _median(feature, present) if imputation.strategy == "median" else _most_frequent(present)
        imputation = Imputation(strategy=imputation.strategy, value=value)
    encoder = feature.encoder
    if isinstance(encoder, TargetRate):
        encoder = TargetRate(values=_rates(plain, target, len(feature.categories or []), smoothing))
    return msgspec.structs.replace(feature, imputation=imputation, encoder=encoder)


def _median(feature: Feature, present: NDArray[np.float64]) -> float:
    """Return the median; the lower one of two for whole numbers, so that it is one itself."""
    if feature.type == "number":
        return float(np.median(present))
    return float(np.quantile(present, 0.5, method="lower"))


def _most_frequent(present: NDArray[np.float64]) -> float:
    values, counts = np.unique(present, return_counts=True)
    return float(values[np.argmax(counts)])


def _rates(plain: NDArray[np.float64], target: NDArray[np.bool_], categories: int, smoothing: float) -> list[float]:
    """Return the log-odds of conversion by category, each mixed with `smoothing` average leads.

    Source: Micci-Barreca (2001), "A preprocessing scheme for high-cardinality categorical attributes".
    """
    known = ~np.isnan(plain)
    position = plain[known].astype(np.intp)
    rows = np.bincount(position, minlength=categories)
    conversions = np.bincount(position, weights=target[known], minlength=categories)
    rate = (conversions + smoothing * target.mean()) / (rows + smoothing)
    return [round(value, 6) for value in (np.log(rate) - np.log1p(-rate)).tolist()]
