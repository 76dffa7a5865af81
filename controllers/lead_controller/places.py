"""Which place in the route's list of backends a variant has: kept for as long as the variant lives.

Envoy Gateway names an Envoy cluster after a backend's place in its rule. If a place changed hands, or came or went,
with the shares, requests would meet a cluster that isn't there yet or not any more (500, cluster_not_found), or
another variant than their headers say. So every variant has a place as soon as it has a Service, at weight 0 if need
be, and an abandoned place stays, at weight 0, for the next variant to come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lead_controller.model import Json

__all__ = ["BASE", "PLACES", "arranged", "base_of", "places_of"]

PLACES = "lead-scoring.io/places"
"""Annotation of the routes: names of variants by place, those that are gone included."""
BASE = "lead-scoring.io/base"
"""Annotation of the routes: the variant that gets what the others don't carry."""


def arranged(
    previous: Sequence[str], *, variants: Sequence[str], exposed: Sequence[str], busy: Mapping[str, int]
) -> list[str]:
    """Return the names by place: the previous ones, then new variants, in abandoned places that are idle if there are.

    Args:
        previous: names by place of the live route.
        variants: names in the spec, the stable one first.
        exposed: those of them that have a Service.
        busy: live shares of the live route.
    """
    places = list(previous)
    idle = [at for at, name in enumerate(places) if name not in variants and not busy.get(name)]
    for name in exposed:
        if name not in places:
            if idle:
                places[idle.pop(0)] = name
            else:
                places.append(name)
    return places


def places_of(route: Json | None, routed: Mapping[str, int]) -> list[str]:
    """Return the names by place of a live route: its annotation, else the backends that it has."""
    noted = _annotation(route, PLACES)
    return list(dict.fromkeys(name for name in noted.split(",") if name)) if noted else list(routed)


def base_of(route: Json | None) -> str | None:
    """Return the variant that gets what the others don't carry, by the live route."""
    return _annotation(route, BASE)


def _annotation(route: Json | None, key: str) -> str | None:
    annotations: Mapping[str, str] = (route or {"metadata": {}})["metadata"].get("annotations") or {}
    return annotations.get(key)
