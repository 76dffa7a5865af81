"""XGBoost, used so that the same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from lead_scoring.contract.types import Feature
from lead_scoring.errors import TrainingError
from lead_scoring.training.draft import Parameters

__all__ = ["contributions", "dump", "fit_booster", "load_booster", "margins", "settings"]

Matrix = NDArray[np.float32]


def settings(parameters: Parameters, features: Sequence[Feature], *, seed: int) -> dict[str, Any]:
    """Return XGBoost's own parameters. One thread: sums of floats depend on how work is shared out."""
    found: dict[str, Any] = {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "device": "cpu",
        "nthread": 1,
        "seed": seed,
        "base_score": 0.5,
        "learning_rate": parameters.learning_rate,
        "max_depth": parameters.max_depth,
        "min_child_weight": parameters.min_child_weight,
        "subsample": parameters.subsample,
        "colsample_bytree": parameters.colsample_bytree,
        "reg_lambda": parameters.reg_lambda,
        "gamma": parameters.gamma,
        "max_bin": parameters.max_bin,
    }
    if any(feature.monotone for feature in features):
        found["monotone_constraints"] = "(" + ",".join(str(feature.monotone) for feature in features) + ")"
    return found


def fit_booster(
    parameters: Parameters,
    features: Sequence[Feature],
    train: Matrix,
    target: NDArray[np.bool_],
    stopping: Matrix,
    stopping_target: NDArray[np.bool_],
    *,
    seed: int,
) -> xgb.Booster:
    """Grow trees on encoded rows `(n, f)` until the stopping rows' log loss stops falling; keep the best number."""
    names = [feature.name for feature in features]
    known = xgb.QuantileDMatrix(train, label=target, feature_names=names, max_bin=parameters.max_bin, nthread=1)
    watched = xgb.QuantileDMatrix(stopping, label=stopping_target, feature_names=names, ref=known, nthread=1)
    booster = xgb.train(
        settings(parameters, features, seed=seed), known, parameters.rounds, evals=[(watched, "stopping")],
        early_stopping_rounds=parameters.early_stopping_rounds, verbose_eval=False,
    )  # fmt: skip
    kept: xgb.Booster = booster[: booster.best_iteration + 1]
    kept.set_attr(best_iteration=None, best_score=None)
    return kept


def dump(booster: xgb.Booster) -> bytes:
    """Return the booster in UBJSON."""
    return bytes(booster.save_raw("ubj"))


def load_booster(model: bytes) -> xgb.Booster:
    """Return a booster that predicts on one thread.

    Raises:
        TrainingError: the bytes are no model of XGBoost's.
    """
    booster = xgb.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(model))
    except xgb.core.XGBoostError as error:
        raise TrainingError("model.ubj can't be read by XGBoost") from error
    booster.set_param({"nthread": 1})
    return booster


def margins(booster: xgb.Booster, matrix: Matrix) -> NDArray[np.float32]:
    """Return log-odds before calibration `(n,)` for encoded rows `(n, f)`."""
    found: NDArray[np.float32] = booster.inplace_predict(
        matrix, predict_type="margin", missing=np.nan, validate_features=False
    )
    return found


def contributions(booster: xgb.Booster, matrix: Matrix) -> NDArray[np.float32]:
    """Return exact contributions to the margin `(n, f + 1)`, the bias last."""
    data = xgb.DMatrix(matrix, feature_names=booster.feature_names, nthread=1)
    found: NDArray[np.float32] = booster.predict(data, pred_contribs=True)
    return found
