"""Edges keep the policy that they state."""

from __future__ import annotations

import numpy as np
import pytest

from lead_scoring.contract.types import Buckets
from lead_scoring.core.buckets import scores
from lead_scoring.errors import TrainingError
from lead_scoring.training.draft import Capacity, Probabilities, Shares
from lead_scoring.training.edges import cut

PROBABILITY = np.random.default_rng(0).beta(1, 9, 10_000)


def shares_of(buckets: Buckets, probability: np.ndarray) -> list[float]:
    score = scores(buckets, probability)
    return [float(share) for share in np.bincount(score)[1:] / len(score)]


def test_shares() -> None:
    policy = Shares(shares=[0.3, 0.25, 0.2, 0.15, 0.1])
    buckets = cut(policy, PROBABILITY, days=100)
    assert shares_of(buckets, PROBABILITY) == pytest.approx([0.3, 0.25, 0.2, 0.15, 0.1], abs=1e-3)
    assert buckets.policy == {"kind": "shares", "shares": [0.3, 0.25, 0.2, 0.15, 0.1]}


def test_fixed_probabilities() -> None:
    buckets = cut(Probabilities(edges=[0.05, 0.1, 0.2]), PROBABILITY, days=100)
    assert buckets.edges == [0.05, 0.1, 0.2]
    assert buckets.policy["kind"] == "probabilities"


def test_capacity_gives_sales_as_many_leads_a_day_as_they_can_work() -> None:
    policy = Capacity(leads_per_day=8, rest=[0.4, 0.3, 0.2, 0.1])
    buckets = cut(policy, PROBABILITY, days=100)  # 100 leads a day
    found = shares_of(buckets, PROBABILITY)
    assert found[-1] * 100 == pytest.approx(8, abs=0.05)
    assert found[:-1] == pytest.approx([0.4 * 0.92, 0.3 * 0.92, 0.2 * 0.92, 0.1 * 0.92], abs=1e-3)
    assert buckets.policy["arrivals_per_day"] == 100


def test_capacity_takes_stated_arrivals_over_measured_ones() -> None:
    policy = Capacity(leads_per_day=8, arrivals_per_day=40, rest=[1.0])
    assert shares_of(cut(policy, PROBABILITY, days=100), PROBABILITY)[-1] == pytest.approx(0.2, abs=1e-3)


def test_more_capacity_than_leads_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"200 leads a day but only 100\.0 arrive"):
        cut(Capacity(leads_per_day=200, rest=[1.0]), PROBABILITY, days=100)


def test_too_few_different_probabilities_are_refused() -> None:
    with pytest.raises(TrainingError, match="too few different probabilities"):
        cut(Shares(shares=[0.25] * 4), np.repeat([0.1, 0.2], 500), days=10)
