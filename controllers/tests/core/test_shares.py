"""Shares: what people ask for, and what ready pods can carry."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lead_controller.shares import carried, intended

NAMES = ("v1", "v2", "v3", "v4")


def shares_of(canaries: list[int]) -> dict[str, int]:
    """The stable variant first, canaries cut to what is left."""
    shares, left = {}, 100
    for name, share in zip(NAMES[1:], canaries, strict=False):
        shares[name] = min(share, left)
        left -= shares[name]
    return {"v1": left, **shares}


@pytest.mark.parametrize(
    ("shares", "previous", "ready", "of_all", "expected"),
    [
        pytest.param({"v1": 100}, {}, {"v1": 1}, 2, {"v1": 100}, id="the first pod of a new service takes all"),
        pytest.param({"v1": 100}, {}, {}, 2, None, id="nothing ready"),
        pytest.param({"v1": 75, "v2": 25}, {"v1": 100}, {"v1": 8, "v2": 2}, 8, {"v1": 75, "v2": 25}, id="enough"),
        pytest.param({"v1": 75, "v2": 25}, {"v1": 100}, {"v1": 8, "v2": 1}, 8, {"v1": 88, "v2": 12}, id="half enough"),
        pytest.param({"v1": 75, "v2": 25}, {"v1": 100}, {"v1": 8, "v2": 0}, 8, {"v1": 100}, id="unready canary"),
        pytest.param({"v1": 75, "v2": 25}, {"v1": 100}, {"v1": 1, "v2": 1}, 1, {"v1": 75, "v2": 25}, id="one pod each"),
        pytest.param({"v1": 0, "v2": 100}, {"v1": 100}, {"v1": 1, "v2": 1}, 1, {"v2": 100}, id="all for a canary"),
        pytest.param(
            {"v1": 75, "v2": 25}, {"v1": 75, "v2": 25}, {"v1": 8, "v2": 1}, 20, {"v1": 75, "v2": 25}, id="held"
        ),
        pytest.param(
            {"v1": 90, "v2": 10}, {"v1": 10, "v2": 90}, {"v1": 1, "v2": 9}, 10, {"v1": 90, "v2": 10}, id="down"
        ),
        pytest.param({"v1": 75, "v2": 25}, {"v1": 75, "v2": 25}, {"v2": 1}, 4, {"v2": 100}, id="stable lost its pods"),
        pytest.param(
            {"v1": 70, "v2": 20, "v3": 10},
            {"v1": 70, "v2": 20, "v3": 10},
            {"v2": 2, "v3": 2},
            4,
            {"v2": 67, "v3": 33},
            id="what had traffic last takes over by what it had",
        ),
        pytest.param({"v1": 100, "v2": 0}, {"v1": 100}, {"v2": 2}, 2, {"v2": 100}, id="the only one that is ready"),
        pytest.param(
            {"v1": 50, "v2": 30, "v3": 20},
            {"v1": 100},
            {"v1": 4, "v2": 1, "v3": 4},
            4,
            {"v1": 55, "v2": 25, "v3": 20},
            id="several canaries",
        ),
        pytest.param(
            {"v1": 100}, {"v1": 60, "v2": 40}, {"v1": 1}, 9, {"v1": 100}, id="a canary removed with its traffic"
        ),
    ],
)
def test_live_shares(
    shares: dict[str, int],
    previous: dict[str, int],
    ready: dict[str, int],
    of_all: int,
    expected: dict[str, int] | None,
) -> None:
    """A share rises as far as ready pods carry it, and falls at once."""
    found = carried(shares, previous=previous, base="v1", ready=ready, of_all=of_all)
    assert (found[0] if found else None) == expected


@pytest.mark.parametrize(
    ("ready", "previous", "expected", "base"),
    [
        ({"v1": 8, "v2": 8}, {"v1": 100}, {"v2": 100}, "v2"),
        ({"v1": 8, "v2": 2}, {"v1": 100}, {"v1": 75, "v2": 25}, "v1"),
        ({"v1": 8, "v2": 2}, {"v1": 50, "v2": 50}, {"v1": 50, "v2": 50}, "v1"),
        ({"v1": 8, "v2": 6}, {"v1": 50, "v2": 50}, {"v1": 25, "v2": 75}, "v1"),
        ({"v1": 0, "v2": 2}, {"v1": 50, "v2": 50}, {"v2": 100}, "v2"),
        ({"v1": 8, "v2": 0}, {"v1": 100}, {"v1": 100}, "v2"),
    ],
)
def test_promotion(ready: dict[str, int], previous: dict[str, int], expected: dict[str, int], base: str) -> None:
    """After a swap the former stable variant keeps, in the first place, what the new one can't carry yet."""
    found = carried({"v2": 100, "v1": 0}, previous=previous, base="v1", ready=ready, of_all=8)
    assert found is not None
    assert (list(found[0].items()), found[1]) == (list(expected.items()), base)


@pytest.mark.parametrize(
    ("target", "ready", "expected"),
    [
        ("v1", {"v1": 1, "v2": 9}, {"v1": 100}),
        ("v2", {"v1": 9, "v2": 1}, {"v2": 100}),
        ("v2", {"v1": 1, "v2": 0}, {"v1": 100}),
        ("v1", {"v1": 0, "v2": 1}, {"v2": 100}),
        ("v1", {"v1": 0, "v2": 0}, None),
    ],
)
def test_abort_asks_for_no_capacity(target: str, ready: dict[str, int], expected: dict[str, int] | None) -> None:
    """One ready pod of the target is enough; without one, whoever answers."""
    meant = intended({"v1": 50, "v2": 50}, abort_to=target)
    found = carried(meant, previous={"v1": 50, "v2": 50}, base="v1", ready=ready, of_all=20, target=target)
    assert (found[0] if found else None) == expected


def test_shares_come_back_after_an_abort_to_a_canary_as_pods_allow() -> None:
    """Then the stable variant is the one that rises."""
    found = carried({"v1": 80, "v2": 20}, previous={"v2": 100}, base="v2", ready={"v1": 2, "v2": 8}, of_all=8)
    assert found == ({"v2": 75, "v1": 25}, "v2")


@st.composite
def situations(draw: st.DrawFn) -> tuple[dict[str, int], dict[str, int], str, dict[str, int], int, str | None]:
    """Shares, live shares, base, ready pods, pods for all, abort target."""
    count = draw(st.integers(1, 4))
    shares = shares_of(draw(st.lists(st.integers(0, 100), min_size=count - 1, max_size=count - 1)))
    previous = {
        name: share
        for name, share in shares_of(draw(st.lists(st.integers(0, 100), min_size=3, max_size=3))).items()
        if share
    }
    ready = {name: draw(st.integers(0, 5)) for name in NAMES}
    target = draw(st.none() | st.sampled_from(list(shares)))
    return shares, previous, draw(st.sampled_from(NAMES)), ready, draw(st.integers(1, 20)), target


@given(situations())
def test_properties(
    situation: tuple[dict[str, int], dict[str, int], str, dict[str, int], int, str | None],
) -> None:
    """100 %, nobody unready, nothing out of thin air, down at once, and asking again changes nothing."""
    shares, previous, base, ready, of_all, target = situation
    meant = intended(shares, abort_to=target)

    def ask(live: Mapping[str, int], last: str) -> tuple[dict[str, int], str] | None:
        return carried(meant, previous=live, base=last, ready=ready, of_all=of_all, target=target)

    found = ask(previous, base)
    if not any(ready[name] for name in shares):
        assert found is None
        return
    assert found is not None
    live, heir = found
    assert sum(live.values()) == 100
    assert all(share > 0 and ready[name] > 0 and name in shares for name, share in live.items())
    assert next(iter(live)) == heir or heir not in live
    if target is None and ready["v1"]:
        for name in shares:
            if name not in ("v1", heir):
                assert live.get(name, 0) <= meant[name], "lowering is immediate"
                carriable = max(previous.get(name, 0), 100 * ready[name] // of_all)
                assert live.get(name, 0) <= carriable, "rising waits for pods"
    again = ask(live, heir)
    assert again is not None
    assert again[0] == live
