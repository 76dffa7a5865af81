"""Who may be worked for now, who waits, who is turned away at once."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from lead_scoring.errors import DeadlineExceeded, Overloaded

__all__ = ["Admission", "AdmissionLimits"]

_SMOOTHING = 0.1


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """How much at a time.

    Attributes:
        concurrency: requests in work.
        queue: requests that wait.
        wait_s: longest wait.
    """

    concurrency: int
    queue: int
    wait_s: float


class Admission:
    """A bounded number of places and a bounded first-in-first-out queue, for one event loop.

    A request that would wait longer than it may is turned away when it comes, not when its time is up: what it would
    have cost goes to those that can still be answered in time.
    """

    def __init__(self, limits: AdmissionLimits, *, refused: Callable[[str], None] | None = None) -> None:
        """Start empty; `refused` is told the reason of every refusal: ``full``, ``too_slow`` or ``waited``."""
        self._limits = limits
        self._refused = refused or (lambda _reason: None)
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._held_s = 0.0
        self.running = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def enter(self, deadline: float) -> None:
        """Take a place, at once if there is one. Whoever returns from here has to call `leave`.

        Args:
            deadline: on the clock of `time.perf_counter`.

        Raises:
            Overloaded: the queue is full, or it moves too slowly for this request.
            DeadlineExceeded: the deadline came while waiting.
        """
        if self.running < self._limits.concurrency and not self._waiting:
            self.running += 1
            return
        remaining_s = deadline - time.perf_counter()
        patience_s = min(self._limits.wait_s, remaining_s)
        expected_s = self._held_s * (len(self._waiting) + 1) / self._limits.concurrency
        if len(self._waiting) >= self._limits.queue:
            raise self._refusal("full", expected_s)
        if expected_s > patience_s:
            raise self._refusal("too_slow", expected_s)
        await self._wait(patience_s, remaining_s, expected_s)

    def leave(self, held_s: float) -> None:
        """Give the place back, to the one that has waited longest; `held_s` is how long it was taken."""
        self._held_s += _SMOOTHING * (held_s - self._held_s)
        self._pass_on()

    async def _wait(self, patience_s: float, remaining_s: float, expected_s: float) -> None:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        alarm = loop.call_later(patience_s, self._give_up, turn, remaining_s <= patience_s, expected_s)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._pass_on()  # the place came in the same moment as the cancellation
            else:
                self._forget(turn)
            raise
        finally:
            alarm.cancel()

    def _give_up(self, turn: asyncio.Future[None], is_late: bool, expected_s: float) -> None:
        if turn.done():
            return
        self._forget(turn)
        if is_late:
            turn.set_exception(DeadlineExceeded("the time allowed for this request ran out while it waited"))
        else:
            turn.set_exception(self._refusal("waited", expected_s))

    def _pass_on(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)  # the place changes hands: `running` stays
                return
        self.running -= 1

    def _forget(self, turn: asyncio.Future[None]) -> None:
        with suppress(ValueError):  # it had its turn already
            self._waiting.remove(turn)

    def _refusal(self, reason: str, expected_s: float) -> Overloaded:
        self._refused(reason)
        return Overloaded(
            "too many requests at the moment; come back later", retry_after_s=max(1, math.ceil(expected_s))
        )
