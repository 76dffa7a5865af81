"""Kubernetes Events about the ModelRollout: one per transition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lead_controller.model import Event, Json, Reference
from lead_controller.status import Condition

__all__ = ["EVENTS", "of_conditions", "of_creations", "of_orphans", "of_repairs", "of_split"]

EVENTS: dict[str, str] = {
    "SharesShifted": "Normal",
    "Repaired": "Warning",
    "OrphanDeleted": "Normal",
    "InferenceServiceCreated": "Normal",
}
"""Reasons and types of the events that aren't a condition's transition."""

_QUIET = {("Routed", "Pending"), ("Routed", "Accepted"), ("Ready", "NotRouted"), ("Ready", "AsAsked")}
"""Reasons that every shift passes through: SharesShifted tells that story."""
_BAD = {"Routed": "False", "CapacityReady": "False", "Aborted": "True", "Degraded": "True"}
_ASKED = {"Aborted", "ShadowActive"}
"""News even when first seen as asked for."""
_REFUSED = {"UnknownVariant", "HasShare", "NoReadyPods"}


def of_conditions(conditions: Sequence[Condition], previous: Json, about: Reference) -> list[Event]:
    """Return an event for every condition whose status or reason changed, named after both: `CapacityReadyTooFewPods`.

    A condition that is new and as it should be is no news.
    """
    before = {each["type"]: (each["status"], each["reason"]) for each in previous.get("conditions") or ()}
    events = []
    for condition in conditions:
        if condition.type == "Ready" or (condition.type, condition.reason) in _QUIET:
            continue
        bad = _BAD.get(condition.type) == condition.status or (
            condition.type == "ShadowActive" and condition.reason in _REFUSED
        )
        last = before.get(condition.type)
        news = bad or last or (condition.type in _ASKED and condition.status == "True")
        if news and last != (condition.status, condition.reason):
            reason = f"{condition.type}{condition.reason}"
            message = condition.message or f"{condition.type} is {condition.status} again"
            events.append(Event("Warning" if bad else "Normal", reason, message, about))
    return events


def of_creations(created: Iterable[Json], about: Reference) -> list[Event]:
    """Return an event for every object of a bootstrap."""
    return [_event("InferenceServiceCreated", f"{each['metadata']['name']} didn't exist", about) for each in created]


def of_split(before: str, after: str, about: Reference) -> list[Event]:
    """Return the event of a shift of traffic."""
    if before == after:
        return []
    return [_event("SharesShifted", f"{before or 'no route'} -> {after}", about)]


def of_repairs(repairs: Iterable[Reference], about: Reference) -> list[Event]:
    """Return an event for every object that somebody else had changed or deleted."""
    return [_event("Repaired", f"{each.kind} {each.name} had been changed by somebody else", about) for each in repairs]


def of_orphans(orphans: Iterable[Reference], about: Reference) -> list[Event]:
    """Return an event for every object that nothing needs any more."""
    return [_event("OrphanDeleted", f"{each.kind} {each.name} is not needed any more", about) for each in orphans]


def _event(reason: str, message: str, about: Reference) -> Event:
    return Event("Warning" if EVENTS[reason] == "Warning" else "Normal", reason, message, about)
