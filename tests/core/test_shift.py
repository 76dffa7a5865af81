"""The population stability index: known values, and what chance leaves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lead_scoring.core.shift import population_stability, stability_noise


def test_a_known_value() -> None:
    """By hand: (0.2 - 0.1) ln 2 + (0.8 - 0.9) ln(8/9) for shares so large that the half rows don't matter."""
    expected = 0.1 * math.log(2) - 0.1 * math.log(8 / 9)
    assert population_stability([1e9, 9e9], [2e9, 8e9]) == pytest.approx(expected, rel=1e-6)


def test_equal_shares_are_no_shift_whatever_the_rows() -> None:
    assert population_stability([10, 30], [1_000, 3_000]) == pytest.approx(0, abs=1e-3)
    assert population_stability([5, 5], [5, 5]) == 0


def test_it_is_symmetric() -> None:
    assert population_stability([10, 20, 30], [30, 5, 25]) == pytest.approx(
        population_stability([30, 5, 25], [10, 20, 30])
    )


def test_an_empty_bin_is_large_and_finite() -> None:
    assert 1 < population_stability([500, 500], [1_000, 0]) < 10


def test_no_rows_is_no_number() -> None:
    assert math.isnan(population_stability([0, 0], [1, 2]))
    assert math.isnan(population_stability([1, 2], [0, 0]))
    assert stability_noise([0, 0], [1, 2]) == math.inf


def test_noise_is_what_samples_of_one_distribution_show() -> None:
    rng = np.random.default_rng(0)
    shares = np.array([0.4, 0.3, 0.2, 0.1])
    found = [population_stability(rng.multinomial(2_000, shares), rng.multinomial(500, shares)) for _ in range(400)]
    assert np.mean(found) == pytest.approx(stability_noise([800, 600, 400, 200], [200, 150, 100, 50]), rel=0.15)
    assert stability_noise([1, 1, 0], [1, 1, 0]) == pytest.approx(1.0)  # a bin that nobody is in doesn't count
