"""How long the predictor has let everything go unanswered: what tells a frozen or dead one from a busy one."""

from __future__ import annotations

from lead_scoring.errors import DeadlineExceeded, ServiceError
from lead_transformer.predictor import PredictorFault

__all__ = ["Silence"]

_UNHEARD = frozenset(("away", "stuck"))
"""Faults in which the model server said nothing; with any other it answered, be it nonsense."""


class Silence:
    """Time between the first and the last call that went unanswered, with no answer in between.

    Only calls tell: a process that itself was stopped for a minute has seen one moment of silence, not a minute of it.
    Nothing counts before the first answer: a model server may take its time to start.
    """

    def __init__(self, limit_s: float) -> None:
        """Start hopeful; at `limit_s` seconds the model server counts as gone."""
        self._limit_s = limit_s
        self._heard = False
        self._first: float | None = None
        self._last = 0.0

    @property
    def seconds(self) -> float:
        """How long it has lasted; 0 while there are answers."""
        return 0.0 if self._first is None else self._last - self._first

    @property
    def is_over_limit(self) -> bool:
        """Whether the model server should be started anew."""
        return self.seconds >= self._limit_s

    def answered(self) -> None:
        """Note any answer."""
        self._heard = True
        self._first = None

    def failed(self, error: ServiceError, now: float) -> None:
        """Note a failed call at `now`, in seconds on a clock that can't be set."""
        if not (isinstance(error, DeadlineExceeded) or (isinstance(error, PredictorFault) and error.kind in _UNHEARD)):
            self.answered()
        elif self._heard:
            self._last = now
            if self._first is None:
                self._first = now
