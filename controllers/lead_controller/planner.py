"""Desired objects from observed ones: the one function that the loop calls."""

from __future__ import annotations

from datetime import datetime

from lead_controller.config import Config
from lead_controller.model import Json, Observed, Plan

__all__ = ["plan"]


def plan(observed: Observed, config: Config, *, now: datetime, bootstrap: Json | None = None) -> Plan:
    """Return what has to change for the cluster to be as its InferenceService and ModelRollout ask.

    `now` (UTC) only stamps conditions that change. `bootstrap` is the InferenceService to create if there is none.
    """
    del config, now
    return Plan(create=() if observed.inference_service or bootstrap is None else (bootstrap,))
