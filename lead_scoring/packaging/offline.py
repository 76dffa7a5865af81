"""Score leads without any server: what packaging, verification, tests and batch jobs hold the servers against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Contract
from lead_scoring.core.assembly import Batch
from lead_scoring.core.features import Encoded, encode
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.core.scoring import Scores, interpret

__all__ = ["Predict", "Scored", "score"]

Predict: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From the encoded matrix `(n, f)` to margins `(n,)`."""


@dataclass(frozen=True)
class Scored:
    """A batch's answers with how they came about; `margin` is `(n,)` float32."""

    scores: Scores
    encoded: Encoded
    margin: NDArray[np.float32]


def score(contract: Contract, predict: Predict, batch: Batch, as_of: float | NDArray[np.float64]) -> Scored:
    """Check, encode and score a batch.

    Args:
        contract: of the version.
        predict: margins for an encoded matrix; `booster.margins(…)` makes one from a model.
        batch: from `assembly.from_records` or `from_tensors`. What encoding finds is added to its report.
        as_of: moment of scoring in seconds since the epoch, one for all or `(n,)`.

    Raises:
        InvalidLeads: any lead breaks the contract; lists the problems of all of them.
    """
    encoded = encode(FeaturePlan.of(contract), batch.raw, as_of, known_bad=batch.known_bad)
    batch.report.extend(encoded.findings)
    batch.report.raise_if_any(batch.layout)
    margin = predict(encoded.matrix)
    return Scored(interpret(contract, margin), encoded, margin)
