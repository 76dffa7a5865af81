"""Which rule of the routes carries the traffic: shares change inside a rule, variants change by switching rules.

Envoy Gateway makes an Envoy cluster of every backend with a weight above 0 and names it after the places of the rule
and of the backend in it. A backend that comes, goes, or changes places with the shares costs requests: the route is
there before its cluster or after it (500, cluster_not_found), or leads to another variant than its headers say. So a
route has several rules, *lanes*, of which one is active; the others match nothing, but their clusters stand ready:

- `alone-N`: one variant with everything. Each variant has one for as long as it has a Service.
- `split-a`, `split-b`: several variants. The inactive one is prepared for the variants that are to share the traffic;
  once the Gateway has taken that up, the lanes are switched. Between the same variants only weights change.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from lead_controller.model import Json

__all__ = ["ALONE", "LANES", "SPLITS", "Lanes", "alone_rule", "even", "lanes_of", "switched"]

LANES = "lead-scoring.io/lanes"
"""Annotation of the routes: what the lanes are for, as JSON."""

ALONE = "alone"
_Split: TypeAlias = Literal["split_a", "split_b"]
SPLITS: tuple[_Split, _Split] = ("split_a", "split_b")
_MOST_PLACES = 13
"""A route takes 16 rules: three besides those of lone variants."""


@dataclass(frozen=True)
class Lanes:
    """What every lane is for."""

    active: Literal["split_a", "split_b", "alone"]
    alone: str
    """The variant that has everything while no split is active."""
    base: str
    """The variant that gets what others don't carry: see `shares`."""
    split_a: tuple[str, ...] = ()
    split_b: tuple[str, ...] = ()
    """Variants in the order of the backends."""
    places: tuple[str, ...] = ()
    """Variants by their lone lanes; a place keeps its name when the variant is gone, until another needs one."""

    def annotation(self) -> str:
        """Return the lanes as `lanes_of` reads them."""
        return json.dumps(asdict(self), separators=(",", ":"))

    def members(self, lane: str) -> tuple[str, ...]:
        """Return the variants of a lane."""
        return {"split_a": self.split_a, "split_b": self.split_b}.get(lane, (self.alone,))

    @property
    def rule(self) -> str:
        """Return the name of the active rule."""
        if self.active == "alone":
            return alone_rule(self.places.index(self.alone) if self.alone in self.places else 0)
        return self.active.replace("_", "-")


def alone_rule(place: int) -> str:
    """Return the name of a lone variant's rule."""
    return f"{ALONE}-{place}"


def even(variants: Sequence[str]) -> dict[str, int]:
    """Return even shares, none of them 0 %: for a lane that only waits."""
    ends = [100 * at // len(variants) for at in range(len(variants) + 1)]
    return {variant: end - start for variant, start, end in zip(variants, ends, ends[1:], strict=False)}


def lanes_of(route: Json | None) -> Lanes | None:
    """Return the lanes of a live route; None without one, or when somebody's hand made nonsense of them."""
    annotations: Mapping[str, str] = (route or {"metadata": {}})["metadata"].get("annotations") or {}
    try:
        noted = json.loads(annotations.get(LANES, ""))
        lists = {key: tuple(str(name) for name in noted[key]) for key in ("split_a", "split_b", "places")}
        active = noted["active"]
        alone, base = str(noted["alone"]), str(noted["base"])
    except (ValueError, TypeError, KeyError):
        return None
    return Lanes(active=active, alone=alone, base=base, **lists) if active in (*SPLITS, ALONE) else None


def switched(
    target: Mapping[str, int],
    *,
    base: str,
    last: Lanes | None,
    settled: bool,
    routed: Sequence[tuple[str, int]],
    variants: Sequence[str],
    exposed: Sequence[str],
    serving: Sequence[str],
) -> tuple[Lanes, list[tuple[str, int]]]:
    """Return the lanes, and variant and share of each backend of the active one.

    Args:
        target: shares to be, none of 0 %, in the order of the backends.
        base: the variant that gets what others don't carry.
        last: the live route's lanes.
        settled: the Gateway has taken up the live routes as they are.
        routed: variant and share of each backend of the live route's active lane.
        variants: names in the spec, the stable one first.
        exposed: those of them that have a Service.
        serving: those of them that have a ready pod; not empty.
    """
    busy = {variant for variant, _ in routed}
    places = _places(last.places if last else (), variants=variants, exposed=exposed, busy=busy)
    wanted = tuple(target)
    backends = list(target.items())
    if len(wanted) == 1:
        return _around(Lanes("alone", wanted[0], base, places=places), last, settled, wanted, serving), backends
    if last is None:
        return Lanes("split_a", wanted[0], base, split_a=wanted, split_b=wanted, places=places), backends
    for lane in SPLITS:
        if last.members(lane) == wanted and (lane == last.active or settled):
            return _around(Lanes(lane, wanted[0], base, places=places), last, settled, wanted, serving), backends
    heir = next((each for each in (*wanted, *serving) if each in last.members(last.active) and each in serving), None)
    if heir is None:  # nobody in the active lane has a ready pod: whoever gets most gets all
        first = max(target, key=lambda variant: target[variant])
        staying = Lanes("alone", first, base, places=places)
        return _around(staying, last, settled, wanted, serving), [(first, 100)]
    staying = Lanes(last.active, last.alone, base, places=places)
    return _around(staying, last, settled, wanted, serving), _meanwhile(last, routed, heir, serving)


def _around(lanes: Lanes, last: Lanes | None, settled: bool, wanted: tuple[str, ...], serving: Sequence[str]) -> Lanes:
    """Return the lanes with their splits: one that was active until now, or that the Gateway is busy with, stays."""
    everyone = (*(each for each in wanted if each in serving), *(each for each in serving if each not in wanted))
    if last is None:
        return Lanes(lanes.active, lanes.alone, lanes.base, everyone, everyone, lanes.places)
    splits: dict[str, tuple[str, ...]] = {split: last.members(split) for split in SPLITS}
    if settled and lanes.active == last.active:
        idle = [split for split in SPLITS if split != lanes.active]
        due = everyone if len(wanted) == 1 or wanted == splits.get(lanes.active) else wanted
        if due not in splits.values():
            splits[idle[0]] = due
        for split in idle:
            if not set(splits[split]) <= set(serving):
                splits[split] = everyone
    return Lanes(lanes.active, lanes.alone, lanes.base, splits["split_a"], splits["split_b"], lanes.places)


def _meanwhile(
    last: Lanes, routed: Sequence[tuple[str, int]], heir: str, serving: Sequence[str]
) -> list[tuple[str, int]]:
    """Return the active lane while another one is prepared: as it is, the heir in the place of who lost its pods."""
    members = last.members(last.active)
    shares = [share for _, share in routed]
    if len(shares) != len(members) or sum(shares) != 100:  # somebody's hand
        shares = list(even(members).values())
    return [(member if member in serving else heir, share) for member, share in zip(members, shares, strict=True)]


def _places(
    previous: Sequence[str], *, variants: Sequence[str], exposed: Sequence[str], busy: Collection[str]
) -> tuple[str, ...]:
    places = list(previous)
    for name in exposed:
        if name not in places:
            abandoned = [at for at, other in enumerate(places) if other not in variants]
            idle = [at for at in abandoned if places[at] not in busy]
            if idle or len(places) >= _MOST_PLACES:
                places[(idle or abandoned)[0]] = name
            else:
                places.append(name)
    return tuple(places)
