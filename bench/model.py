"""The model that all systems serve in the benchmark: 50 numeric features, 400 trees of depth 6."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from lead_scoring.contract import files
from lead_scoring.contract.types import (
    Buckets,
    Calibration,
    Confidence,
    Contract,
    Feature,
    GoldenSet,
    ModelIdentity,
    Predictor,
    TensorSpec,
    Training,
)
from lead_scoring.packaging import publishing

__all__ = ["FEATURES", "TREES", "leads", "publish"]

FEATURES = 50
TREES = 400
DEPTH = 6
_MOMENT = "2026-01-01T00:00:00Z"


def leads(count: int, *, seed: int) -> NDArray[np.float64]:
    """Return `(count, 50)` values in [0, 98), exact in float32 so that no protocol rounds them."""
    return np.random.default_rng(seed).integers(0, 100_000, (count, FEATURES)) / 1024


def publish(repository: Path) -> Path:
    """Train and publish version 1 of `lead-scoring` in `repository`; return its folder. Takes some seconds."""
    matrix = leads(10_000, seed=1)
    rng = np.random.default_rng(2)
    signal = (matrix - 49) @ (rng.normal(size=FEATURES) / 300) + ((matrix[:, 0] > 50) & (matrix[:, 1] > 50)) - 1
    label = rng.random(len(matrix)) < 1 / (1 + np.exp(-signal))
    names = [f"feature_{number}" for number in range(1, FEATURES + 1)]
    data = xgb.DMatrix(matrix.astype(np.float32), label=label, feature_names=names)
    parameters = {
        "objective": "binary:logistic",
        "max_depth": DEPTH,
        "eta": 0.05,
        "max_bin": 64,
        "nthread": 1,
        "seed": 0,
    }
    booster = xgb.train(parameters, data, TREES)
    margin = booster.inplace_predict(matrix.astype(np.float32), predict_type="margin", validate_features=False)
    probability = 1 / (1 + np.exp(-margin.astype(np.float64)))
    edges = np.quantile(probability, [0.2, 0.4, 0.6, 0.8]).tolist()
    features = [
        Feature(
            name=name, type="number", minimum=0, maximum=100, out_of_range="clip", description="a benchmark's number"
        )
        for name in names
    ]
    outputs = [("probability", [-1]), ("margin", [-1]), ("contributions", [-1, FEATURES + 1])]
    contract = Contract(
        model=ModelIdentity(name="lead-scoring", version="1", target="a coin that the features load"),
        features=features,
        predictor=Predictor(
            inputs=[TensorSpec(name="features", datatype="FP32", shape=[-1, FEATURES])],
            outputs=[TensorSpec(name=name, datatype="FP32", shape=shape) for name, shape in outputs],
        ),
        calibration=Calibration(slope=1.0, intercept=0.0),
        buckets=Buckets(edges=edges, policy={"kind": "shares", "shares": [0.2] * 5}),
        confidence=Confidence(log_odds=[-5, 5], spread=[0.3, 0.3], raw=[0, 1], agreement=[0.3, 1], refits=1),
        golden=GoldenSet(as_of=_MOMENT, leads=[]),
        training=Training(
            data_sha256="0" * 64, feature_set_sha256=files.feature_set_sha256(features), rows=len(matrix),
            base_rate=float(label.mean()), period=[_MOMENT, _MOMENT], split={}, parameters=parameters, seed=0,
            trees=TREES,
            xgboost_version=xgb.__version__, git_commit="unknown", author="bench", metrics={}, by_bucket=[],
        ),
    )  # fmt: skip
    pool = [
        {"lead_id": f"lead-{row}", **dict(zip(names, values, strict=True))}
        for row, values in enumerate(matrix[:3000].tolist())
    ]
    return publishing.publish(repository, contract, bytes(booster.save_raw("ubj")), pool, as_of=_MOMENT)
