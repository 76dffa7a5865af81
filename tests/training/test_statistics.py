"""Measures against scikit-learn and SciPy, weighted and with ties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics

from lead_scoring.core import statistics

RNG = np.random.default_rng(3)
ROWS = 700
SCORE = np.round(RNG.beta(1, 6, ROWS), 2)  # rounded: many ties
TARGET = RNG.random(ROWS) < SCORE
WEIGHTS = RNG.integers(0, 4, (5, ROWS)).astype(float)

ORACLES = {
    statistics.roc_auc: metrics.roc_auc_score,
    statistics.average_precision: metrics.average_precision_score,
    statistics.brier: metrics.brier_score_loss,
    statistics.log_loss: metrics.log_loss,
}


@pytest.mark.parametrize("measure", ORACLES, ids=lambda measure: measure.__name__)
def test_measures_agree_with_scikit_learn(measure: Any) -> None:
    oracle = ORACLES[measure]
    assert measure(TARGET, SCORE) == pytest.approx(oracle(TARGET, SCORE), abs=1e-12)


@pytest.mark.parametrize("measure", ORACLES, ids=lambda measure: measure.__name__)
def test_many_sets_of_weights_at_once_agree_with_one_at_a_time(measure: Any) -> None:
    oracle = ORACLES[measure]
    found = measure(TARGET, SCORE, WEIGHTS)
    expected = [oracle(TARGET, SCORE, sample_weight=weight) for weight in WEIGHTS]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_whole_weights_are_repetitions() -> None:
    for measure in (*ORACLES, statistics.calibration_error):
        once = WEIGHTS[0] > 0
        repeated = np.repeat(np.flatnonzero(once), 2)
        doubled = measure(TARGET[once], SCORE[once], np.full(once.sum(), 2.0))
        assert doubled == pytest.approx(measure(TARGET[once], SCORE[once]))
        if measure is not statistics.calibration_error:  # its bins hold equally many rows, however heavy
            assert doubled == pytest.approx(measure(TARGET[repeated], SCORE[repeated]))


def test_calibration_error_of_known_cases() -> None:
    target = np.arange(1000) % 10 == 0  # one in ten, spread evenly
    assert statistics.calibration_error(target, np.full(1000, 0.1)) == pytest.approx(0, abs=1e-12)
    assert statistics.calibration_error(target, np.full(1000, 0.3)) == pytest.approx(0.2)
    halves = np.where(np.arange(1000) < 500, 0.05, 0.15)
    assert statistics.calibration_error(target, halves) == pytest.approx(0.05)


def test_one_outcome_alone_has_no_auc() -> None:
    assert np.isnan(statistics.roc_auc(np.ones(5, dtype=bool), np.arange(5.0)))
    assert np.isnan(statistics.average_precision(np.zeros(5, dtype=bool), np.arange(5.0)))
    both = np.array([True, False, True])
    found = statistics.roc_auc(both, np.arange(3.0), np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]))
    assert np.isnan(found[0])
    assert found[1] == 0.5


def test_certain_wrong_answers_cost_much_but_not_infinitely() -> None:
    assert np.isfinite(statistics.log_loss(np.array([True, False]), np.array([0.0, 1.0])))


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (1, 3), (37, 400), (8, 1_000_000)])
def test_wilson_agrees_with_scipy(successes: int, trials: int) -> None:
    oracle = binomtest(successes, trials).proportion_ci(method="wilson")
    assert statistics.wilson(successes, trials) == pytest.approx((oracle.low, oracle.high), abs=1e-12)


def test_no_trials_say_nothing() -> None:
    assert statistics.wilson(0, 0) == (0.0, 1.0)
