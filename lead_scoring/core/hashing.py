"""Which variant a key belongs to: the same answer here, in the local Envoy and behind Envoy Gateway."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

import xxhash

__all__ = ["slot_of", "variant_of"]


def slot_of(key: str | bytes) -> int:
    """Return ``xxh64(key, seed 0) % 100``, the slot in [0, 99] that Envoy's header hash policy gives a key."""
    return xxhash.xxh64_intdigest(key.encode() if isinstance(key, str) else key) % 100


def variant_of(key: str | bytes, shares: Mapping[str, int]) -> str:
    """Return the variant that a key falls to under whole-percent shares, taken in their order.

    With the stable variant first, a canary's slots are those at the end of [0, 99]: a key that is in the canary at 5 %
    is still in it at 20 %.

    Raises:
        ValueError: a share is negative, or they don't add up to 100.
    """
    if sum(shares.values()) != 100 or min(shares.values()) < 0:
        raise ValueError(f"shares must be 0 or more and add up to 100, got {list(shares.values())}")
    slot = slot_of(key)
    ends = zip(shares, accumulate(shares.values()), strict=True)
    return next(variant for variant, end in ends if slot < end)
