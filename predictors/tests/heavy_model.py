"""A version of the size that is served: 50 features, 300 trees of depth 6."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from lead_scoring.contract import files
from lead_scoring.contract.types import Buckets, Contract, Feature, Predictor, TensorSpec
from lead_scoring.packaging.publishing import publish

WIDTH, TREES = 50, 300


def leads(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Return encoded leads `(count, 50)` with a tenth of the values missing."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(count, WIDTH)).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    return matrix


def build(repository: Path, like: Contract) -> Path:
    """Train and publish; everything but features and model is taken from `like`."""
    rng = np.random.default_rng(1)
    matrix = leads(4000, seed=1)
    filled = np.nan_to_num(matrix)
    signal = filled[:, :10].sum(axis=1) + filled[:, 3] * filled[:, 4] - 1
    label = rng.random(len(matrix)) < 1 / (1 + np.exp(-signal))
    features = [Feature(name=f"feature_{column}", type="number") for column in range(WIDTH)]
    names = [feature.name for feature in features]
    parameters = {"objective": "binary:logistic", "max_depth": 6, "eta": 0.1, "nthread": 1}
    booster = xgb.train(parameters, xgb.DMatrix(matrix, label=label, feature_names=names), TREES)
    edges = np.quantile(booster.inplace_predict(matrix), [0.2, 0.4, 0.6, 0.8]).round(6).tolist()
    contract = msgspec.structs.replace(
        like,
        features=features,
        predictor=Predictor(
            inputs=[TensorSpec(name="features", datatype="FP32", shape=[-1, WIDTH])],
            outputs=[
                TensorSpec(name="probability", datatype="FP32", shape=[-1]),
                TensorSpec(name="margin", datatype="FP32", shape=[-1]),
                TensorSpec(name="contributions", datatype="FP32", shape=[-1, WIDTH + 1]),
            ],
        ),
        buckets=Buckets(edges=edges, policy={"kind": "shares", "shares": [0.2] * 5}),
        training=msgspec.structs.replace(
            like.training, trees=TREES, feature_set_sha256=files.feature_set_sha256(features)
        ),
    )
    pool = [
        {"lead_id": f"lead-{row}", **{n: None if np.isnan(v) else v for n, v in zip(names, values, strict=True)}}
        for row, values in enumerate(matrix[:1000].tolist())
    ]
    return publish(repository, contract, bytes(booster.save_raw("ubj")), pool, as_of=like.golden.as_of)
