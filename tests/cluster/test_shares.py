"""Who gets which variant: as many as asked for, always the same ones, and more of them as a share grows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import pytest

from lead_scoring.core.hashing import variant_of
from tests.cluster.gateway import KEY
from tests.cluster.release import Release
from tests.end_to_end.doors import Doors

COUNT = 10_000
SHARES = (1, 5, 25, 50)
KEYS = [f"account-{number:05d}" for number in range(COUNT)]

pytestmark = pytest.mark.timeout(600)

Passes = dict[int, list[dict[str, str]]]


def within_three_sigma(count: int, percent: float, of: int = COUNT) -> bool:
    share = percent / 100
    return abs(count - of * share) <= 3 * math.sqrt(of * share * (1 - share))


@pytest.fixture(scope="module")
def passes(release: Release) -> Iterator[Passes]:
    """The answering variant by key at every share, in two passes of 10,000 scored requests."""
    before, found = release.lives("v1", "v2"), {}
    for percent in SHARES:
        release.shift(percent)
        shares = {"v1": 100 - percent, "v2": percent}
        release.until_routed(shares)
        probes = [key for key in KEYS if variant_of(key, shares) == "v2"][:40]
        release.gateway.until_asked(probes, lambda seen: set(seen.values()) == {"v2"}, f"v2 answers {percent} %")
        found[percent] = [release.gateway.asked(KEYS) for _ in range(2)]
    yield found
    release.shift(0)
    release.until_routed({"v1": 100})
    assert release.lives("v1", "v2") == before


@pytest.mark.parametrize("percent", SHARES)
def test_a_share_of_ten_thousand_answers_is_within_three_sigma(passes: Passes, percent: int) -> None:
    for seen in passes[percent]:
        assert len(seen) == COUNT
        assert within_three_sigma(list(seen.values()).count("v2"), percent)


@pytest.mark.parametrize("percent", SHARES)
def test_no_key_flips_while_the_share_is_constant(passes: Passes, percent: int) -> None:
    first, second = passes[percent]
    assert [key for key in KEYS if first[key] != second[key]] == []


@pytest.mark.parametrize("percent", SHARES)
def test_ten_thousand_keys_get_the_variant_that_they_get_locally(passes: Passes, percent: int) -> None:
    """The function is the one that tests/local compares with the local Envoy."""
    shares = {"v1": 100 - percent, "v2": percent}
    assert passes[percent][0] == {key: variant_of(key, shares) for key in KEYS}


def test_a_key_that_the_canary_has_it_keeps_as_the_share_grows(passes: Passes) -> None:
    mine = [{key for key in KEYS if passes[percent][0][key] == "v2"} for percent in SHARES]
    for smaller, larger in itertools.pairwise(mine):
        assert smaller < larger


@pytest.mark.parametrize("of", [2000])
def test_requests_without_a_key_are_dealt_in_shares(calm: Release, of: int) -> None:
    calm.shift(25)
    calm.until_routed({"v1": 75, "v2": 25})
    calm.gateway.until_asked(
        [key for key in KEYS if variant_of(key, {"v1": 75, "v2": 25}) == "v2"][:20],
        lambda seen: set(seen.values()) == {"v2"},
        "v2 answers its keys",
    )
    request = calm.gateway.inferences([""])[""]
    seen = calm.gateway.variants({str(number): request for number in range(of)})
    assert within_three_sigma(list(seen.values()).count("v2"), 25, of)


def test_every_door_sends_a_key_to_the_same_variant(calm: Release, doors: Doors, leads: list[dict[str, Any]]) -> None:
    shares = {"v1": 60, "v2": 40}
    calm.shift(40)
    calm.until_routed(shares)
    probes = [key for key in KEYS if variant_of(key, shares) == "v2"][:40]
    calm.gateway.until_asked(probes, lambda seen: set(seen.values()) == {"v2"}, "v2 answers 40 %")
    for number, lead in enumerate(leads[:60]):
        key = KEYS[number]
        for door in ("V1", "V2 JSON", "gRPC typed"):
            answer = doors.ask(door, [lead], headers={KEY: key})
            assert answer.headers["x-lead-variant"] == answer.columns["variant"][0] == variant_of(key, shares)
