from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from lead_scoring.contract.types import Buckets, Calibration, Confidence
from lead_scoring.core import buckets, calibration, confidence
from lead_scoring.core.scoring import interpret
from tests.support.small_model import draft

pytestmark = pytest.mark.filterwarnings("error")
EDGES = [0.1, 0.2, 0.4, 0.8]


@pytest.mark.parametrize(
    ("closed", "expected"),
    [("left", [1, 1, 2, 2, 3, 4, 5, 5]), ("right", [1, 1, 1, 2, 2, 3, 4, 5])],
)
def test_an_edge_belongs_where_the_contract_says(closed: str, expected: list[int]) -> None:
    probability = np.array([0.0, np.nextafter(0.1, 0), 0.1, np.nextafter(0.1, 1), 0.2, 0.4, 0.8, 1.0])
    found = buckets.scores(Buckets(edges=EDGES, closed=closed, policy={}), probability)  # type: ignore[arg-type]
    assert found.tolist() == expected
    assert found.dtype == np.int32


def test_calibration_is_platts() -> None:
    margin = np.array([-2.0, 0.0, 3.0], dtype=np.float32)
    log_odds = calibration.log_odds(Calibration(slope=0.5, intercept=-1.0), margin)
    assert log_odds.tolist() == [-2.0, -1.0, 0.5]
    assert calibration.probability(log_odds).tolist() == pytest.approx([1 / (1 + math.exp(-x)) for x in (-2, -1, 0.5)])


@pytest.mark.parametrize("log_odds", [-1e308, -1000.0, 1000.0, 1e308, math.inf, -math.inf])
def test_extreme_log_odds_neither_overflow_nor_leave_the_unit_interval(log_odds: float) -> None:
    probability = float(calibration.probability(np.array([log_odds]))[0])
    assert 0 < probability <= 1
    assert round(probability) == (log_odds > 0)


def test_logit_undoes_probability() -> None:
    values = np.linspace(-20, 20, 41)
    assert calibration.logit(calibration.probability(values)).tolist() == pytest.approx(values.tolist(), abs=1e-7)


def test_mass_inside_is_that_of_a_logistic_distribution() -> None:
    """Against its closed form: F(x) = 1 / (1 + exp(-(x - m) / s))."""
    edges = calibration.logit(np.array(EDGES))

    def cumulated(x: float, centre: float, spread: float) -> float:
        return 1 / (1 + math.exp(-(x - centre) / spread))

    centre, spread = -1.0, 0.3
    expected = [
        cumulated(edges[0], centre, spread),
        *(cumulated(edges[i + 1], centre, spread) - cumulated(edges[i], centre, spread) for i in range(3)),
        1 - cumulated(edges[3], centre, spread),
    ]
    found = confidence.mass_inside(edges, np.full(5, centre), np.full(5, spread), np.arange(1, 6, dtype=np.int32))
    assert found.tolist() == pytest.approx(expected)
    assert found.sum() == pytest.approx(1.0)


def test_confidence_is_highest_in_the_middle_of_a_bucket_and_half_or_so_at_an_edge() -> None:
    given = Confidence(log_odds=[-9, 9], spread=[0.1, 0.1], raw=[0, 1], agreement=[0, 1], refits=9)
    edges = Buckets(edges=EDGES, policy={})
    log_odds = calibration.logit(np.array([0.1, 0.15, 0.2, 0.3, 0.999]))
    found = confidence.confidences(given, edges, log_odds, buckets.scores(edges, calibration.probability(log_odds)))
    assert found[0] == pytest.approx(0.5, abs=0.01)
    assert found[2] == pytest.approx(0.5, abs=0.01)
    assert found[1] > 0.9
    assert found[3] > 0.9
    assert found[4] == pytest.approx(1.0)


def test_confidence_interpolates_spread_and_agreement() -> None:
    given = Confidence(log_odds=[0, 2], spread=[1, 3], raw=[0, 0.5, 1], agreement=[0.2, 0.3, 0.9], refits=9)
    edges = Buckets(edges=[0.5], policy={})
    raw = 1 / (1 + math.exp(-1.0 / 2.0))  # one log-odd above the edge, at a spread of 2
    expected = 0.3 + (raw - 0.5) / 0.5 * 0.6
    found = confidence.confidences(given, edges, np.array([1.0]), np.array([2], dtype=np.int32))
    assert found.tolist() == pytest.approx([expected])


def test_margins_become_answers() -> None:
    contract = msgspec.structs.replace(draft(edges=EDGES), calibration=Calibration(slope=2.0, intercept=0.5))
    found = interpret(contract, np.array([-3.0, -1.0, 2.0], dtype=np.float32))
    assert found.probability.tolist() == pytest.approx([1 / (1 + math.exp(-x)) for x in (-5.5, -1.5, 4.5)])
    assert found.score.tolist() == [1, 2, 5]
    assert all(0.3 <= value <= 1 for value in found.confidence)
    assert [a.dtype for a in (found.score, found.probability, found.confidence)] == [np.int32, np.float64, np.float64]
