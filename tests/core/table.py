"""A table with one feature of every kind and rule, shared by the tests of the core."""

from __future__ import annotations

from typing import Any

import numpy as np

from lead_scoring.contract.types import DaysSince, Feature, Imputation, Ordinal, TargetRate
from lead_scoring.core.assembly import Batch, Tensor, from_records, from_tensors, seconds
from lead_scoring.core.features import Encoded, encode
from lead_scoring.core.plan import ACCEPTED, FeaturePlan

NOW = seconds("2026-06-01T00:00:00Z")
DAY = 86_400

FEATURES = (
    Feature(name="size", type="integer", unit="people", minimum=1, maximum=1_000_000, nullable=False),
    Feature(name="rate", type="number", minimum=-1.5, maximum=2.5),
    Feature(name="score", type="number", minimum=0, maximum=100, out_of_range="clip"),
    Feature(name="sales", type="number", minimum=0, out_of_range="missing"),
    Feature(name="free", type="number"),
    Feature(name="visits", type="integer", minimum=0, maximum=9, out_of_range="clip"),
    Feature(name="salary", type="number", minimum=0, maximum=10, personal=True),
    Feature(name="client", type="boolean", imputation=Imputation(strategy="constant", value=1.0)),
    Feature(name="seen", type="timestamp", minimum=0, maximum=3650, encoder=DaysSince()),
    Feature(name="band", type="category", categories=["low", "high"], nullable=False, encoder=Ordinal()),
    Feature(name="area", type="category", categories=["emea", "amer"], unknown_category="missing", encoder=Ordinal()),
    Feature(name="trade", type="category", categories=["bank", "shop", "other"], unknown_category="other",
            other_category="other", encoder=TargetRate(values=[-1.5, -2.5, 0.25])),
    Feature(name="odd name", type="category", categories=["x"], encoder=Ordinal(),
            imputation=Imputation(strategy="most_frequent", value=0.0)),
)  # fmt: skip
PLAN = FeaturePlan(FEATURES, "lead_id")
NAMES = [feature.name for feature in FEATURES]

SOUND: dict[str, Any] = {
    "lead_id": "a", "size": 12, "rate": 0.5, "score": 40.0, "sales": 7, "free": -3.25, "visits": 4, "salary": 1,
    "client": False, "seen": "2026-05-30T12:00:00Z", "band": "high", "area": "emea", "trade": "shop", "odd name": "x",
}  # fmt: skip
SOUND_ROW = [12, 0.5, 40, 7, -3.25, 4, 1, 0, 1, 1, 0, -2.5, 0]
"""What the model gets for `SOUND` at `NOW`."""


def tensors(*leads: dict[str, Any]) -> list[Tensor]:
    """Return records as named tensors in their advertised datatypes."""
    kinds = {"lead_id": "BYTES", **{feature.name: ACCEPTED[feature.type][0] for feature in FEATURES}}
    return [Tensor(name, kind, [len(leads)], [lead.get(name) for lead in leads]) for name, kind in kinds.items()]


def replaced(name: str, **changes: Any) -> list[Tensor]:
    """Return the sound lead's tensors with one of them changed."""
    fields = ("name", "datatype", "shape", "data")
    return [
        Tensor(**{field: changes.get(field, getattr(tensor, field)) for field in fields})
        if tensor.name == name
        else tensor
        for tensor in tensors(SOUND)
    ]


def run(batch: Batch) -> Encoded:
    """Encode a batch and put what is found into its report."""
    encoded = encode(PLAN, batch.raw, NOW, known_bad=batch.known_bad)
    batch.report.extend(encoded.findings)
    return encoded


def problems(batch: Batch) -> list[tuple[str, str]]:
    """Return path and reason of every problem, having encoded the batch."""
    run(batch)
    return [(problem.path, problem.reason) for problem in batch.report.problems(batch.layout)]


def score_records(records: Any, max_leads: int = 500) -> tuple[Batch, Encoded]:
    """Assemble and encode records."""
    batch = from_records(PLAN, records, max_leads=max_leads)
    return batch, run(batch)


def score_tensors(inputs: list[Tensor], max_leads: int = 500) -> tuple[Batch, Encoded]:
    """Assemble and encode tensors."""
    batch = from_tensors(PLAN, inputs, max_leads=max_leads)
    return batch, run(batch)


def lead(**changes: Any) -> dict[str, Any]:
    """Return the sound lead with changes."""
    return {**SOUND, **changes}


def cell(name: str, value: Any) -> tuple[list[str], float]:
    """Return the reasons against a value sent for one feature, and what the model would get for it."""
    batch, encoded = score_records([lead(**{name: value})])
    return [finding.reason for finding in batch.report.findings], float(encoded.matrix[0, NAMES.index(name)])


def raw_row(**changes: float) -> np.ndarray:
    """Return one raw row `(1, f)` of acceptable numbers with changes by name."""
    values = dict(zip(NAMES, [12, 0.5, 40, 7, -3.25, 4, 1, 0, NOW - 1.5 * DAY, 1, 0, 1, 0], strict=True))
    return np.array([list({**values, **changes}.values())], dtype=np.float64)
