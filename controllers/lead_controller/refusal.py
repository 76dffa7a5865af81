"""What the status says while the API server refuses the routes or their policy: the last shares, and why."""

from __future__ import annotations

from datetime import UTC, datetime

from lead_controller.model import Json

__all__ = ["refused"]

_LONGEST = 4096  # characters of a message


def refused(status: Json, message: str, *, generation: int, now: datetime) -> Json:
    """Return the status with Degraded and Ready telling of the refusal; the rest is of the last routes written.

    `generation`: the ModelRollout's that was planned for.
    """
    before = {each["type"]: each for each in status.get("conditions") or ()}
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for kind, state, reason in (("Ready", "False", "Degraded"), ("Degraded", "True", "WriteRefused")):
        same = before.get(kind, {}).get("status") == state
        before[kind] = {
            "type": kind,
            "status": state,
            "reason": reason,
            "message": message[:_LONGEST],
            "observedGeneration": generation,
            "lastTransitionTime": before[kind]["lastTransitionTime"] if same else stamp,
        }
    return {**status, "conditions": list(before.values())}
