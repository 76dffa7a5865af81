"""Shares of the traffic, and what may not be asked for."""

from __future__ import annotations

import pytest

from lead_scoring.core.hashing import variant_of
from lead_scoring.errors import StackError
from lead_scoring.local.split import Split


@pytest.mark.parametrize(
    ("split", "shares", "words"),
    [
        (Split("v1", "v2"), {"v1": 100}, "v1=100"),
        (Split("v1", "v2", 40), {"v1": 60, "v2": 40}, "v1=60,v2=40"),
        (Split("v1", "v2", 100), {"v2": 100}, "v2=100"),
        (Split("v1", "v2", 0, 100), {"v1": 100}, "v1=100"),
    ],
)
def test_shares_are_whole_percents_stable_first(split: Split, shares: dict[str, int], words: str) -> None:
    assert list(split.shares.items()) == list(shares.items())
    assert split.words == words
    assert variant_of("anything", split.shares) in shares


@pytest.mark.parametrize(("canary", "shadow"), [(-1, 0), (101, 0), (0, -1), (0, 101)])
def test_percentages_outside_the_range_are_refused(canary: int, shadow: int) -> None:
    with pytest.raises(StackError, match="from 0 to 100"):
        Split("v1", "v2", canary, shadow)


def test_a_shadow_beside_a_canary_with_traffic_is_refused() -> None:
    with pytest.raises(StackError, match="roll back first"):
        Split("v1", "v2", 25).shadowed(100)


def test_a_shift_ends_the_shadow_and_a_rollback_ends_everything() -> None:
    assert Split("v1", "v2", 0, 100).shifted(25) == Split("v1", "v2", 25, 0)
    assert Split("v1", "v2", 0, 100).rolled_back() == Split("v1", "v2")
    assert Split("v1", "v2", 25).rolled_back() == Split("v1", "v2")


def test_a_split_survives_being_written_down() -> None:
    split = Split("v1", "v1-canary", 0, 30)
    assert Split(**split.as_json()) == split
    assert str(split) == "v1=100 %, 30 % copied to v1-canary"
