"""Where one score ends and the next begins, by a stated policy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Buckets
from lead_scoring.core.buckets import scores
from lead_scoring.errors import TrainingError
from lead_scoring.training.draft import Capacity, NearestShares, Policy, Probabilities

__all__ = ["cut"]

_DECIMALS = 4
"""Probabilities nearer to each other than this are too near for an edge between them."""


def cut(policy: Policy, probability: NDArray[np.float64], *, days: float) -> Buckets:
    """Return the edges for calibrated probabilities `(n,)` of leads that came in `days` days; closed on the left.

    Raises:
        TrainingError: the policy can't be kept: too few different probabilities, or more capacity than leads.
    """
    stated = msgspec.to_builtins(policy)
    if isinstance(policy, Probabilities):
        return Buckets(edges=list(policy.edges), policy=stated)
    if isinstance(policy, NearestShares):
        return Buckets(edges=_between(probability, policy.shares), policy=stated)
    if isinstance(policy, Capacity):
        arrivals = policy.arrivals_per_day or len(probability) / max(days, 1.0)
        top = policy.leads_per_day / arrivals
        if top >= 1:
            raise TrainingError(
                f"sales can work {policy.leads_per_day:g} leads a day but only {arrivals:.1f} arrive: no lead needs to "
                "wait, choose another policy"
            )
        shares = [share * (1 - top) for share in policy.rest] + [top]
        stated = {**stated, "arrivals_per_day": round(arrivals, 3)}
    else:
        shares = policy.shares
    edges = np.quantile(probability, np.cumsum(shares)[:-1]).round(6).tolist()
    rising = all(low < high for low, high in pairwise([0.0, *edges, 1.0]))
    if not (rising and _kept(Buckets(edges=edges, policy=stated), probability, shares)):
        raise TrainingError("the model gives too few different probabilities to cut the leads into these shares")
    return Buckets(edges=edges, policy=stated)


def _between(probability: NDArray[np.float64], shares: Sequence[float]) -> list[float]:
    """Return edges half-way between different probabilities, as near to the shares as those allow; none is empty."""
    values, rows = np.unique(probability.round(_DECIMALS), return_counts=True)
    if values.size < len(shares):
        raise TrainingError(
            f"the model gives {values.size} different probabilities, too few for {len(shares)} scores: use fewer scores"
        )
    below = np.cumsum(rows)[:-1] / len(probability)  # share of the leads under each possible cut
    cuts: list[int] = []
    for number, wanted in enumerate(np.cumsum(shares)[:-1].tolist()):
        first = cuts[-1] + 1 if cuts else 0
        last = below.size - (len(shares) - 1 - number)
        cuts.append(first + int(np.argmin(np.abs(below[first : last + 1] - wanted))))
    return [round(float(values[cut] + values[cut + 1]) / 2, _DECIMALS + 2) for cut in cuts]


def _kept(buckets: Buckets, probability: NDArray[np.float64], shares: Sequence[float]) -> bool:
    """Tell whether every score got at least half its share of the leads; equal probabilities can't be parted."""
    found = np.bincount(scores(buckets, probability) - 1, minlength=len(shares))
    return bool((found >= 0.5 * np.asarray(shares) * len(probability)).all())
