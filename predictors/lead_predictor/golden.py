"""The golden leads of a contract, through the very methods that answer requests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lead_predictor.scorer import Scorer
from lead_scoring.contract.types import Contract
from lead_scoring.core.assembly import from_records, seconds
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.errors import PackageError
from lead_scoring.packaging.offline import score

__all__ = ["check"]

_EXPLAINED = 8
"""Contributions cost hundreds of times what a margin does: a few leads show that they work."""


def check(contract: Contract, scorer: Scorer) -> NDArray[np.float32]:
    """Score all golden leads and return them as the model gets them, `(n, f)`.

    Raises:
        PackageError: there are none, one has another score or a probability further off than the contract's tolerance,
            or the three outputs contradict each other.
        InvalidLeads: the contract refuses one of them.
    """
    golden = contract.golden
    if not golden.leads:
        raise PackageError("the contract has no golden leads: nothing shows that the model scores right")
    batch = from_records(FeaturePlan.of(contract), [known.lead for known in golden.leads], max_leads=len(golden.leads))
    found = score(contract, scorer.margin, batch, seconds(golden.as_of))
    right = found.scores.score == [known.score for known in golden.leads]
    right &= np.abs(found.scores.probability - [known.probability for known in golden.leads]) <= golden.tolerance
    if not right.all():
        first = int(np.argmin(right))
        raise PackageError(
            f"{np.count_nonzero(~right)} of {len(right)} golden leads score differently, the first of them {first + 1} "
            f"({golden.leads[first].covers}): this model is not the one that the contract was written for"
        )
    matrix, margin = found.encoded.matrix, found.margin
    if not np.allclose(scorer.probability(matrix), 1 / (1 + np.exp(-margin.astype(np.float64))), rtol=0, atol=1e-6):
        raise PackageError(
            "the model's probability is not the logistic function of its margin: it is no binary classifier"
        )
    few = slice(0, _EXPLAINED)
    shares = scorer.contributions(matrix[few], margin[few])
    if not np.allclose(shares.sum(axis=1, dtype=np.float64), margin[few], rtol=0, atol=1e-5):
        raise PackageError("the model's contributions do not add up to its margin")
    return matrix
