from __future__ import annotations

import pytest
import xxhash

from lead_scoring.core.hashing import slot_of, variant_of

KEYS = [f"lead-{number}" for number in range(10_000)]


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        (b"", 0xEF46DB3751D8E999),
        (b"a", 0xD24EC4F1A98C6E5B),
        (b"abc", 0x44BC2CF5AD770999),
        (b"Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),
    ],
)
def test_published_vectors_of_xxh64(key: bytes, digest: int) -> None:
    """From the xxHash specification and the xxhash package's documentation: Envoy computes the very same function."""
    assert xxhash.xxh64_intdigest(key) == digest
    assert slot_of(key) == digest % 100
    assert slot_of(key.decode()) == digest % 100


def test_text_and_its_utf_8_bytes_are_one_key() -> None:
    assert slot_of("läuft") == slot_of("läuft".encode())


def test_a_growing_canary_keeps_every_key_it_has() -> None:
    before: set[str] = set()
    for percent in range(101):
        now = {key for key in KEYS if variant_of(key, {"v1": 100 - percent, "v2": percent}) == "v2"}
        assert before <= now
        before = now
    assert before == set(KEYS)


def test_shares_are_kept_within_three_standard_deviations() -> None:
    share = sum(variant_of(key, {"v1": 80, "v2": 20}) == "v2" for key in KEYS) / len(KEYS)
    assert abs(share - 0.2) < 3 * (0.2 * 0.8 / len(KEYS)) ** 0.5


def test_the_canary_has_the_last_slots() -> None:
    shares = {"v1": 95, "v2": 5}
    assert {slot_of(key) for key in KEYS if variant_of(key, shares) == "v2"} == {95, 96, 97, 98, 99}


def test_three_variants_follow_each_other() -> None:
    shares = {"a": 50, "b": 30, "c": 20}
    expected = ["a" if slot_of(key) < 50 else "b" if slot_of(key) < 80 else "c" for key in KEYS[:500]]
    assert [variant_of(key, shares) for key in KEYS[:500]] == expected


def test_a_variant_without_a_share_gets_nothing() -> None:
    assert {variant_of(key, {"v1": 0, "v2": 100}) for key in KEYS[:500]} == {"v2"}


@pytest.mark.parametrize("shares", [{}, {"v1": 99}, {"v1": 60, "v2": 60}, {"v1": 150, "v2": -50}])
def test_impossible_shares_are_refused(shares: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="add up to 100"):
        variant_of("key", shares)
