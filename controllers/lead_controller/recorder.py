"""Kubernetes Events: what happened, for `kubectl describe modelrollout` and `kubectl get events`."""

from __future__ import annotations

import logging
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

from lead_controller.apiserver import EVENT, ApiServer, ApiServerError, Unreachable
from lead_controller.model import Event

__all__ = ["Recorder"]

_log = logging.getLogger(__name__)

_REPEAT_S = 600.0
_REMEMBERED = 128
_LONGEST = 1024  # characters of a note that the API takes


@dataclass
class _Told:
    name: str
    count: int
    at: datetime


class Recorder:
    """Writes Events; one that repeats within ten minutes is counted on the first instead of written again."""

    def __init__(self, server: ApiServer, identity: str) -> None:
        """Have told nothing yet. `identity`: this replica."""
        self._server = server
        self._identity = identity
        self._told: OrderedDict[Event, _Told] = OrderedDict()

    def tell(self, event: Event, *, timeout_s: float) -> None:
        """Write an Event. One that can't be written is lost: it is logged anyway, and nothing depends on it."""
        fields = {"reason": event.reason, "about": f"{event.about.kind}/{event.about.name}"}
        level = logging.WARNING if event.type == "Warning" else logging.INFO
        _log.log(level, "event: %s", event.message, extra={"fields": fields})
        now = datetime.now(UTC)
        told = self._told.get(event)
        try:
            if told is not None and (now - told.at).total_seconds() < _REPEAT_S:
                told.count, told.at = told.count + 1, now
                series = {"series": {"count": told.count, "lastObservedTime": _micro(now)}}
                self._server.merge(EVENT, told.name, series, timeout_s=timeout_s)
            else:
                self._told[event] = _Told(self._write(event, now, timeout_s), 1, now)
        except ApiServerError as error:
            if not isinstance(error, Unreachable):
                self._told.pop(event, None)  # expired, perhaps: next time a new one
            _log.warning("event not written", extra={"fields": {**fields, "error": str(error)}})
        if event in self._told:
            self._told.move_to_end(event)
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)

    def _write(self, event: Event, now: datetime, timeout_s: float) -> str:
        about = event.about
        regarding = {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
        }
        name = f"{about.name[:200]}.{uuid.uuid4().hex[:16]}"
        body = {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": name, "namespace": self._server.namespace},
            "type": event.type,
            "reason": event.reason,
            "note": event.message[:_LONGEST],
            "action": event.reason,
            "eventTime": _micro(now),
            "regarding": {key: value for key, value in regarding.items() if value},
            "reportingController": "lead-scoring.io/controller",
            "reportingInstance": self._identity[:128],
        }
        self._server.create(EVENT, body, timeout_s=timeout_s)
        return name


def _micro(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
