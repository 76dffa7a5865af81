"""A complete version folder, trained in a second: eight features of every type, for tests that need no real model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xgboost as xgb

from lead_scoring.contract import files
from lead_scoring.contract.types import (
    Buckets,
    Calibration,
    Confidence,
    Contract,
    DaysSince,
    Feature,
    GoldenSet,
    Imputation,
    Interval,
    ModelIdentity,
    Ordinal,
    Predictor,
    TargetRate,
    TensorSpec,
    Training,
)
from lead_scoring.core.assembly import from_records, seconds
from lead_scoring.core.features import encode
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.packaging.publishing import publish

AS_OF = "2026-06-01T00:00:00Z"

FEATURES = [
    Feature(name="size", type="integer", unit="people", minimum=1, maximum=1_000_000, nullable=False),
    Feature(
        name="industry",
        type="category",
        categories=["saas", "retail", "bank", "other"],
        nullable=False,
        unknown_category="other",
        other_category="other",
        encoder=TargetRate(values=[-1.0, -2.5, -2.0, -2.2]),
    ),
    Feature(name="seniority", type="category", categories=["junior", "manager", "chief"], encoder=Ordinal()),
    Feature(name="region", type="category", categories=["emea", "amer"], unknown_category="missing", encoder=Ordinal()),
    Feature(
        name="engagement",
        type="number",
        minimum=0,
        maximum=100,
        out_of_range="clip",
        imputation=Imputation(strategy="median", value=40.0),
    ),
    Feature(name="revenue", type="number", unit="USD", minimum=0, out_of_range="missing"),
    Feature(name="customer", type="boolean"),
    Feature(name="last_seen", type="timestamp", minimum=0, maximum=3650, encoder=DaysSince()),
]


def records(count: int, seed: int = 0) -> list[dict[str, object]]:
    """Return `count` acceptable V1 records with every kind of gap."""
    rng = np.random.default_rng(seed)
    found = []
    for row in range(count):
        lead: dict[str, object] = {
            "lead_id": f"lead-{seed}-{row}",
            "size": int(rng.integers(1, 5000)),
            "industry": str(rng.choice(["saas", "retail", "bank", "space travel"])),
            "seniority": str(rng.choice(["junior", "manager", "chief"])),
            "region": str(rng.choice(["emea", "amer", "mars"])),
            "engagement": float(np.round(rng.uniform(-5, 110), 2)),
            "revenue": float(np.round(rng.lognormal(12, 2), 2)),
            "customer": bool(rng.random() < 0.3),
            "last_seen": f"2026-0{rng.integers(1, 6)}-{rng.integers(10, 28)}T0{rng.integers(0, 9)}:30:00Z",
        }
        for name in ("seniority", "engagement", "revenue", "customer", "last_seen"):
            if rng.random() < 0.1:
                lead[name] = None
        found.append(lead)
    return found


def build(repository: Path, version: str = "1", *, seed: int = 0, rounds: int = 20) -> Path:
    """Train and write ``<repository>/lead-scoring/<version>/``; return the folder."""
    plan = FeaturePlan(tuple(FEATURES), "lead_id")
    leads = records(2000, seed=seed)
    batch = from_records(plan, leads, max_leads=len(leads))
    encoded = encode(plan, batch.raw, seconds(AS_OF), known_bad=batch.known_bad)
    assert batch.report.total == 0
    assert not encoded.findings
    rng = np.random.default_rng(seed)
    signal = np.nan_to_num(encoded.matrix[:, 4], nan=40.0) / 50 + encoded.matrix[:, 1] - 0.5
    label = rng.random(len(leads)) < 1 / (1 + np.exp(-signal))
    data = xgb.DMatrix(encoded.matrix, label=label, feature_names=list(plan.names))
    booster = xgb.train({"objective": "binary:logistic", "max_depth": 3, "seed": seed, "nthread": 1}, data, rounds)
    probability = booster.inplace_predict(encoded.matrix)
    edges = np.quantile(probability, [0.2, 0.4, 0.6, 0.8]).round(6).tolist()
    contract = draft(version, edges=edges, rows=len(leads), base_rate=float(label.mean()), seed=seed, trees=rounds)
    return publish(repository, contract, bytes(booster.save_raw("ubj")), leads, as_of=AS_OF)


def draft(
    version: str = "1",
    *,
    features: Sequence[Feature] = tuple(FEATURES),
    edges: Sequence[float] = (0.1, 0.2, 0.4, 0.8),
    rows: int = 1000,
    base_rate: float = 0.1,
    seed: int = 0,
    trees: int = 20,
) -> Contract:
    """Return a sound contract without golden leads."""
    width = len(features)
    return Contract(
        model=ModelIdentity(name="lead-scoring", version=version, target="converted"),
        features=list(features),
        predictor=Predictor(
            inputs=[TensorSpec(name="features", datatype="FP32", shape=[-1, width])],
            outputs=[
                TensorSpec(name="probability", datatype="FP32", shape=[-1]),
                TensorSpec(name="margin", datatype="FP32", shape=[-1]),
                TensorSpec(name="contributions", datatype="FP32", shape=[-1, width + 1]),
            ],
        ),
        calibration=Calibration(slope=1.0, intercept=0.0),
        buckets=Buckets(edges=list(edges), policy={"kind": "shares", "shares": [0.2] * 5}),
        confidence=Confidence(log_odds=[-5.0, 5.0], spread=[0.3, 0.3], raw=[0.0, 1.0], agreement=[0.3, 1.0], refits=5),
        golden=GoldenSet(as_of=AS_OF, leads=[]),
        training=Training(
            data_sha256="0" * 64,
            feature_set_sha256=files.feature_set_sha256(list(features)),
            rows=rows,
            base_rate=base_rate,
            period=[AS_OF, AS_OF],
            split={},
            parameters={},
            seed=seed,
            trees=trees,
            xgboost_version=xgb.__version__,
            git_commit="unknown",
            author="tests",
            metrics={"roc_auc": Interval(value=0.7, low=0.6, high=0.8)},
            by_bucket=[],
        ),
    )


if __name__ == "__main__":
    import sys

    sys.stdout.write(f"{build(Path(sys.argv[1]), sys.argv[2])}\n")
