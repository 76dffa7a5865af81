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

__all__ = ["Admission", "AdmissionLimits", "expected_wait_s"]

_SMOOTHING = 0.1
_TURN_S = 0.004
"""Work begun in one turn of the event loop; then it looks at its sockets again, so that nobody goes unseen for long."""


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """How much at a time.

    Attributes:
        concurrency: requests in work.
        queue: requests that wait for one of them to end.
        wait_s: longest wait.
        hold_s: while requests are in work for longer than this, fewer are let in.
    """

    concurrency: int
    queue: int
    wait_s: float
    hold_s: float = math.inf


def expected_wait_s(ahead: int, *, free: int, places: int, held_s: float, cost_s: float) -> float:
    """Return the seconds until the last of `ahead` requests begins: places or the loop's time, whichever is shorter.

    Args:
        ahead: requests that wait, this one among them.
        free: places that nobody has taken.
        places: all of them.
        held_s: how long one is held, on average.
        cost_s: the loop's time that a request takes, on average, with all that happens beside it.
    """
    return max(ahead * cost_s, (ahead - free) * held_s / places)


class Admission:
    """A bounded number of places and a bounded first-in-first-out queue, for one event loop.

    A request that would wait longer than it may is turned away when it comes, not when its time is up: what it would
    have cost goes to those that can still be answered in time. Two things may be short, and both are measured: places,
    when the predictor is slow, and the loop's own time, when decoding is what costs. So that the loop sees whom to turn
    away, it begins only a few milliseconds' work at a time. And where requests at the predictor hold each other up for
    so long that they come too late, there are fewer places, down to one, until they are in time again.
    """

    def __init__(self, limits: AdmissionLimits, *, refused: Callable[[str], None] | None = None) -> None:
        """Start empty; `refused` is told the reason of every refusal: ``full``, ``too_slow`` or ``waited``."""
        self._limits = limits
        self._refused = refused or (lambda _reason: None)
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._places = float(limits.concurrency)
        self._held_s = 0.0
        self._cost_s = 0.0
        self._begun = 0
        self._turn_began = 0.0
        self.running = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def places(self) -> int:
        """How many may be in work at the moment."""
        return int(self._places)

    def check(self, deadline: float) -> None:
        """Turn away, before anything is spent on it, who would be turned away by `enter` now.

        Raises:
            Overloaded: as `enter`.
        """
        if self._waiting or self.running >= self.places:
            self._expect_wait(deadline - time.perf_counter())

    async def enter(self, deadline: float) -> None:
        """Take a place, at once if there is one. Whoever returns from here has to call `leave`.

        Args:
            deadline: on the clock of `time.perf_counter`.

        Raises:
            Overloaded: the queue is full, or it moves too slowly for this request.
            DeadlineExceeded: the deadline came while waiting.
        """
        now = time.perf_counter()
        if not self._waiting and self.running < self.places and (not self._begun or now - self._turn_began < _TURN_S):
            self._take(now)
            return
        remaining_s = deadline - now
        expected_s = self._expect_wait(remaining_s)
        await self._wait(min(self._limits.wait_s, remaining_s), remaining_s, expected_s)

    def leave(self, held_s: float) -> None:
        """Give the place back, to the one that has waited longest; `held_s` is how long it was taken."""
        self._held_s += _SMOOTHING * (held_s - self._held_s)
        # One less for every two that take too long, one more each time that all places were left in time.
        change = -0.5 if held_s > self._limits.hold_s else 1 / self._places
        self._places = min(max(1.0, self._places + change), self._limits.concurrency)
        self.running -= 1
        self._serve()

    def _expect_wait(self, remaining_s: float) -> float:
        """Return the seconds that whoever comes now will wait, going by what places and the loop lately needed."""
        ahead = len(self._waiting) + 1
        free = self.places - self.running
        expected_s = expected_wait_s(ahead, free=free, places=self.places, held_s=self._held_s, cost_s=self._cost_s)
        if ahead - free > self._limits.queue:
            raise self._refusal("full", expected_s)
        if expected_s > min(self._limits.wait_s, remaining_s):
            raise self._refusal("too_slow", expected_s)
        return expected_s

    def _take(self, now: float) -> None:
        self.running += 1
        self._begun += 1
        if self._begun == 1:
            self._turn_began = now
            asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        """Note what a turn cost for each request begun in it, and begin the next ones."""
        cost_s = (time.perf_counter() - self._turn_began) / self._begun
        self._cost_s += _SMOOTHING * (cost_s - self._cost_s)
        self._begun = 0
        self._serve()

    def _serve(self) -> None:
        """Give places to those that have waited longest, as many as a turn has time for."""
        while (
            self._waiting and self.running < self.places and (not self._begun or self._begun * self._cost_s < _TURN_S)
        ):
            turn = self._waiting.popleft()
            if not turn.done():
                self._take(time.perf_counter())
                turn.set_result(None)

    async def _wait(self, patience_s: float, remaining_s: float, expected_s: float) -> None:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        alarm = loop.call_later(patience_s, self._give_up, turn, remaining_s <= patience_s, expected_s)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.running -= 1  # the place came in the same moment as the cancellation
                self._serve()
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

    def _forget(self, turn: asyncio.Future[None]) -> None:
        with suppress(ValueError):  # it had its turn already
            self._waiting.remove(turn)

    def _refusal(self, reason: str, expected_s: float) -> Overloaded:
        self._refused(reason)
        return Overloaded(
            "too many requests at the moment; come back later", retry_after_s=max(1, math.ceil(expected_s))
        )
