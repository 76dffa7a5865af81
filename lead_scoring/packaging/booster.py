"""The model file: loaded only once it is known to be sound and the one that the contract describes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from lead_scoring.contract.types import Contract
from lead_scoring.errors import PackageError
from lead_scoring.packaging import ubjson
from lead_scoring.packaging.offline import Predict

__all__ = ["OLDEST_MAJOR", "contributions", "load", "margins"]

OLDEST_MAJOR = 2
"""Models of XGBoost 1 hold their base score and missing values in forms that XGBoost 3 may read differently."""

_OBJECTIVE = "binary:logistic"


def load(contract: Contract, data: bytes) -> xgb.Booster:
    """Load a model's UBJSON after checking that it is what the contract says.

    Raises:
        PackageError: the bytes are no UBJSON model; the XGBoost that wrote or trained it is newer (by major version)
            than the running one, older than 2 or not the one in the contract; objective, features, their order or the
            number of trees disagree with the contract.
    """
    _check(contract, ubjson.decode(data))
    booster = xgb.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(data))
    except xgb.core.XGBoostError as error:
        first = str(error).strip().splitlines()[0]
        raise PackageError(f"XGBoost {xgb.__version__} can't load it: {first}") from error
    rounds = booster.num_boosted_rounds()
    if rounds != contract.training.trees:
        raise PackageError(f"it has {rounds} trees, training.trees says {contract.training.trees}")
    return booster


def margins(booster: xgb.Booster) -> Predict:
    """Return the function that gives a booster's margins (log-odds before calibration)."""

    def predict(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        found = booster.inplace_predict(matrix, predict_type="margin", validate_features=False)
        return np.asarray(found, dtype=np.float32).reshape(len(matrix))

    return predict


def contributions(booster: xgb.Booster, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return exact contributions to the margin `(n, f + 1)`, the bias last (TreeSHAP, Lundberg et al. 2018)."""
    found = booster.predict(xgb.DMatrix(matrix), pred_contribs=True, validate_features=False)
    return np.asarray(found, dtype=np.float32)


def _check(contract: Contract, document: Any) -> None:
    try:
        version = tuple(int(part) for part in document["version"])
        learner = document["learner"]
        kind = learner["gradient_booster"]["name"]
        objective = learner["objective"]["name"]
        names = list(learner["feature_names"])
        shape = {name: int(learner["learner_model_param"][name]) for name in ("num_feature", "num_class", "num_target")}
    except (KeyError, TypeError, ValueError) as error:
        raise PackageError("the UBJSON is not a model that XGBoost wrote") from error
    trained = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)([.+-].*)?", contract.training.xgboost_version)
    if trained is None:
        raise PackageError("training.xgboost_version is not a version number")
    if version != tuple(int(part) for part in trained.groups()[:3]):
        wrote = ".".join(map(str, version))
        raise PackageError(
            f"XGBoost {wrote} wrote it, training.xgboost_version says {contract.training.xgboost_version}"
        )
    running = int(xgb.__version__.split(".")[0])
    if not OLDEST_MAJOR <= version[0] <= running:
        raise PackageError(
            f"XGBoost {contract.training.xgboost_version} wrote it; the running {xgb.__version__} takes models of "
            f"{OLDEST_MAJOR}.x to {running}.x"
        )
    if (kind, objective) != ("gbtree", _OBJECTIVE):
        raise PackageError(f"it is {kind} with objective {objective}, needs gbtree with {_OBJECTIVE}")
    if shape["num_class"] > 1 or shape["num_target"] > 1:
        raise PackageError("it predicts more than one number per lead")
    expected = [feature.name for feature in contract.features]
    if shape["num_feature"] != len(expected):
        raise PackageError(f"it takes {shape['num_feature']} features, the contract has {len(expected)}")
    if names != expected:
        raise PackageError("its feature names are not those of the contract, in that order")
