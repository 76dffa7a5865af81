"""Platt scaling against scikit-learn's logistic regression."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from lead_scoring.core.calibration import log_odds, probability
from lead_scoring.errors import TrainingError
from lead_scoring.training.platt import fit_platt


@pytest.mark.parametrize("seed", range(5))
def test_the_fit_is_the_maximum_likelihood_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    margin = rng.normal(-2, 1.5, 4000).astype(np.float32)
    target = rng.random(4000) < 1 / (1 + np.exp(-(0.7 * margin + 0.4)))
    found = fit_platt(margin, target)
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(margin.astype(float)[:, None], target)
    assert found.slope == pytest.approx(oracle.coef_[0, 0], rel=1e-4)
    assert found.intercept == pytest.approx(oracle.intercept_[0], abs=1e-4)
    assert probability(log_odds(found, margin)).mean() == pytest.approx(target.mean(), abs=1e-9)


def test_margins_that_mislead_are_refused() -> None:
    rng = np.random.default_rng(0)
    margin = rng.normal(0, 1, 2000).astype(np.float32)
    with pytest.raises(TrainingError, match="has learnt nothing"):
        fit_platt(margin, rng.random(2000) < 1 / (1 + np.exp(margin)))


def test_one_margin_for_all_is_refused() -> None:
    with pytest.raises(TrainingError, match="has learnt nothing"):
        fit_platt(np.full(100, -1, dtype=np.float32), np.arange(100) < 10)


def test_perfectly_wrong_margins_are_refused_too() -> None:
    """No finite slope is the best one here; the search must still end on the right side."""
    margin = np.linspace(-5, 1, 1000).astype(np.float32)
    with pytest.raises(TrainingError, match="has learnt nothing"):
        fit_platt(margin, margin < -4)
