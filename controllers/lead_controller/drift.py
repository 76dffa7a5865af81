"""Whether a live object still is what was asked for: a comparison that knows defaults from other people's edits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lead_controller.model import Json
from lead_controller.names import FIELD_MANAGER

__all__ = ["DIGEST", "foreign", "sealed", "standing", "unasked_edit"]

DIGEST = "lead-scoring.io/desired"
"""Annotation with the digest of what was last asked for: tells our own change of mind from somebody else's edit."""


def sealed(desired: Json) -> Json:
    """Return the object with its own digest in an annotation."""
    text = json.dumps(desired, sort_keys=True, separators=(",", ":"))
    metadata = desired["metadata"]
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return {**desired, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), DIGEST: digest}}}


def standing(desired: Json, live: Json | None) -> bool:
    """Return whether applying would change nothing: all that is desired is there, and no field was taken over.

    Fields that only the live object has are the API server's defaults or somebody else's: `foreign` finds the latter.
    """
    if live is None:
        return False
    asked = desired["spec"]
    taken = any(_known(asked, path) == len(path) for path in _taken(live))
    return not taken and _within(asked, live.get("spec")) and _within(desired["metadata"], live["metadata"])


def unasked_edit(desired: Json, live: Json) -> bool:
    """Return whether a live object that differs was last asked to be what is desired: somebody changed it since."""
    return _digest(desired) == _digest(live)


def foreign(desired: Json, live: Json) -> Json:
    """Return a JSON merge patch that removes what others added to the spec beside what is desired; empty if nothing."""
    patch: Json = {}
    for path in _taken(live):
        known = _known(desired["spec"], path)
        extra = path[: known + 1]
        if known < len(path) and _known(live.get("spec"), extra) == len(extra):
            at = patch
            for key in extra[:-1]:
                at = at.setdefault(key, {})
            at[extra[-1]] = None
    return {"spec": patch} if patch else {}


def _digest(item: Json) -> str | None:
    annotations: Mapping[str, str] = item["metadata"].get("annotations") or {}
    return annotations.get(DIGEST)


def _within(desired: Any, live: Any) -> bool:
    if desired is None or desired in ({}, []):
        return not live
    if isinstance(desired, Mapping):
        return isinstance(live, Mapping) and all(_within(value, live.get(key)) for key, value in desired.items())
    if isinstance(desired, Sequence) and not isinstance(desired, str):
        if not isinstance(live, Sequence) or isinstance(live, str):
            return False
        if desired and isinstance(desired[0], Mapping) and "uid" in desired[0]:  # ownerReferences: a list by uid
            return all(any(_within(each, other) for other in live) for each in desired)
        return len(desired) == len(live) and all(map(_within, desired, live))
    return isinstance(desired, bool) == isinstance(live, bool) and bool(desired == live)


def _taken(live: Json) -> list[tuple[str, ...]]:
    """Return paths in the spec that another manager owns and we don't."""
    ours: set[tuple[str, ...]] = set()
    theirs: set[tuple[str, ...]] = set()
    for entry in live["metadata"].get("managedFields") or ():
        owned = ours if entry.get("manager") == FIELD_MANAGER else theirs
        owned.update(_leaves((entry.get("fieldsV1") or {}).get("f:spec") or {}, ()))
    return sorted(theirs - ours)


def _leaves(fields: Mapping[str, Any], at: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the paths of leaves; items of a keyed list count as the list."""
    named = {key[2:]: value for key, value in fields.items() if key.startswith("f:")}
    if at and not named:
        yield at
    for key, value in named.items():
        yield from _leaves(value, (*at, key))


def _known(item: Any, path: tuple[str, ...]) -> int:
    """Return how many keys of a path exist, from its start."""
    for depth, key in enumerate(path):
        if not isinstance(item, Mapping) or key not in item:
            return depth
        item = item[key]
    return len(path)
