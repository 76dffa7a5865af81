"""The golden leads of a contract, scored through the loaded model: what must come out right before anything else is served."""

from __future__ import annotations

import numpy as np

from lead_predictor.scorer import Scorer
from lead_scoring.contract.types import Contract
from lead_scoring.core.assembly import from_records, seconds
from lead_scoring.core.features import encode
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.core.scoring import interpret
from lead_scoring.errors import PackageError

__all__ = ["check"]

_EXPLAINED = 8
"""Contributions cost a thousand times what a margin does: a few leads show that they work."""


def check(contract: Contract, scorer: Scorer) -> int:
    """Score all golden leads and return how many there are.

    Raises:
        PackageError: there are none, they can't be encoded, one has another score or a probability further off than the contract's
            tolerance, or the model's own outputs contradict each other.
    """
    golden = contract.golden
    if not golden.leads:
        raise PackageError("the contract has no golden leads: nothing shows that the model scores right")
    plan = FeaturePlan.of(contract)
    batch = from_records(plan, [known.lead for known in golden.leads], max_leads=len(golden.leads))
    encoded = encode(plan, batch.raw, seconds(golden.as_of), known_bad=batch.known_bad)
    if batch.report.total or encoded.findings:
        raise PackageError("the contract refuses its own golden leads")
    margin = scorer.margin(encoded.matrix)
    found = interpret(contract, margin)
    for position, known in enumerate(golden.leads):
        score, probability = int(found.score[position]), float(found.probability[position])
        if score != known.score or not abs(probability - known.probability) <= golden.tolerance:
            raise PackageError(
                f"golden lead {position} ({known.covers}): expected score {known.score} and probability {known.probability:.9f}, "
                f"got {score} and {probability:.9f}; this model is not the one that the contract was written for"
            )
    if not np.allclose(scorer.probability(encoded.matrix), 1 / (1 + np.exp(-margin.astype(np.float64))), rtol=0, atol=1e-6):
        raise PackageError("the model's probability is not the logistic function of its margin: it is no binary classifier")
    few = slice(0, _EXPLAINED)
    shares = scorer.contributions(encoded.matrix[few], margin[few])
    if not np.allclose(shares.sum(axis=1, dtype=np.float64), margin[few], rtol=0, atol=1e-5):
        raise PackageError("the model's contributions do not add up to its margin")
    return len(golden.leads)
