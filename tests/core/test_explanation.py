from __future__ import annotations

import numpy as np
import pytest

from lead_scoring.core.explanation import Reason, top_reasons

NAMES = ["a", "b", "c", "d"]


def reasons(*rows: list[float], slope: float = 1.0, count: int = 5) -> list[list[tuple[str, float]]]:
    found = top_reasons(NAMES, np.array(rows, dtype=np.float32), slope=slope, count=count)
    return [[(reason.feature, reason.contribution) for reason in lead] for lead in found]


def test_the_strongest_come_first_whatever_their_sign() -> None:
    assert reasons([0.5, -2.0, 1.0, 0.25, 9.0]) == [[("b", -2.0), ("c", 1.0), ("a", 0.5), ("d", 0.25)]]


def test_no_more_than_asked_for_and_never_the_bias() -> None:
    assert reasons([0.5, -2.0, 1.0, 0.25, 9.0], count=2) == [[("b", -2.0), ("c", 1.0)]]
    assert reasons([0.5, -2.0, 1.0, 0.25, 9.0], count=0) == [[]]


def test_features_that_did_nothing_are_left_out() -> None:
    assert reasons([0.0, -0.0, 1.0, 0.0, 9.0], [0.0, 0.0, 0.0, 0.0, 9.0]) == [[("c", 1.0)], []]


def test_equal_ones_keep_the_order_of_the_contract() -> None:
    assert reasons([1.0, -1.0, 1.0, -1.0, 0.0]) == [[("a", 1.0), ("b", -1.0), ("c", 1.0), ("d", -1.0)]]


def test_equal_ones_keep_their_order_among_many_too() -> None:
    names = [f"n{number}" for number in range(200)]
    contributions = np.full((1, 201), 0.5, dtype=np.float32)
    contributions[0, 100] = 0.75
    found = top_reasons(names, contributions, slope=1.0, count=20)[0]
    assert [reason.feature for reason in found] == ["n100", *names[:19]]


def test_contributions_are_in_calibrated_log_odds() -> None:
    assert reasons([0.5, 0.0, 0.0, 0.0, 0.0], slope=1.5) == [[("a", 0.75)]]


@pytest.mark.parametrize(("contribution", "direction"), [(0.1, "raises"), (-0.1, "lowers")])
def test_direction(contribution: float, direction: str) -> None:
    assert Reason("a", contribution).direction == direction
