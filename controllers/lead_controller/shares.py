"""From the shares that people ask for to those that ready pods can carry: whole percents that add up to 100."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["carried", "intended"]


def intended(percents: Mapping[str, int], *, abort_to: str | None = None) -> dict[str, int]:
    """Return what every variant is meant to get: what the spec says, or all for the variant that an abort names."""
    if abort_to is None:
        return dict(percents)
    return {variant: 100 if variant == abort_to else 0 for variant in percents}


def carried(
    shares: Mapping[str, int],
    *,
    previous: Mapping[str, int],
    base: str | None,
    ready: Mapping[str, int],
    of_all: int,
    target: str | None = None,
) -> tuple[dict[str, int], str] | None:
    """Return the shares to be and the base, the variant that gets what others don't carry; None when nothing is ready.

    The base comes first, the others follow in the order of `shares`, none has 0 %.

    - A share rises only as far as the variant's ready pods carry it (`of_all` pods carry 100 %), and never for a
      variant without one; it falls at once. What isn't carried yet goes to the base: the stable variant.
    - A variant that has its share keeps it while it has a ready pod, whatever the load does: keys don't flip for that.
    - After a promotion the base still is the variant that was stable before: it keeps what the new stable one can't
      carry yet, and the new one becomes the base once it has its share. After an abort likewise.
    - An unready stable variant's share goes to the ready ones that had traffic last, else to those that are meant to
      have some, else to the first.
    - With a `target` (abort) capacity is not asked for: it gets all, if one of its pods is ready.

    Args:
        shares: intended whole percents, the stable variant first, adding up to 100.
        previous: live whole percents; empty without a route.
        base: the base until now; None without a route.
        ready: ready pods.
        of_all: pods that carry 100 %, 1 or more.
        target: the variant that an abort sends everything to.
    """
    serving = [variant for variant in shares if ready.get(variant, 0) > 0]
    if not serving:
        return None
    stable = next(iter(shares))
    if target is not None:
        heir = next((each for each in (target, stable) if each in serving), None)
        return ({heir: 100}, heir) if heir else (_fallback(dict.fromkeys(serving, 0), previous), stable)
    gated = _gated(shares, previous, ready, of_all)
    if stable not in serving:
        return _fallback({variant: gated[variant] for variant in serving}, previous), stable
    if base != stable and base in serving and gated[stable] < shares[stable]:
        return _with_rest(gated, base), base
    return _with_rest(gated, stable), stable


def _gated(
    shares: Mapping[str, int], previous: Mapping[str, int], ready: Mapping[str, int], of_all: int
) -> dict[str, int]:
    """Return what everyone can have of the intended share."""
    gated = {}
    for variant, share in shares.items():
        pods = ready.get(variant, 0)
        gated[variant] = min(share, max(previous.get(variant, 0), 100 * pods // of_all)) if pods else 0
    return gated


def _with_rest(gated: Mapping[str, int], base: str) -> dict[str, int]:
    others = {variant: share for variant, share in gated.items() if variant != base}
    return _present({base: 100 - sum(others.values()), **others})


def _fallback(own: Mapping[str, int], previous: Mapping[str, int]) -> dict[str, int]:
    """Return 100 % over those that serve: their own shares, and the rest by what they had last; done once, it stays."""
    last = {variant: previous.get(variant, 0) for variant in own}
    if sum(last.values()) == 100 and all(last[variant] >= share for variant, share in own.items()):
        return _present(last)
    for weights in (last, own):
        if any(weights.values()):
            return _present(_spread(own, weights))
    return {next(iter(own)): 100}


def _spread(own: Mapping[str, int], weights: Mapping[str, int]) -> dict[str, int]:
    """Return shares that add up to 100: the missing percents by weight, largest remainders first, ties in order."""
    rest, total = 100 - sum(own.values()), sum(weights.values())
    given = {variant: rest * weights[variant] // total for variant in own}
    by_remainder = sorted(own, key=lambda variant: -(rest * weights[variant] % total))
    for variant in by_remainder[: rest - sum(given.values())]:
        given[variant] += 1
    return {variant: own[variant] + given[variant] for variant in own}


def _present(shares: Mapping[str, int]) -> dict[str, int]:
    return {variant: share for variant, share in shares.items() if share}
