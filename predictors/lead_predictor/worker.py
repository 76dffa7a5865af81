"""One thread for what would hold up the event loop, and a limit to how many requests may wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from lead_scoring.errors import Overloaded

__all__ = ["Busy", "Worker"]

T = TypeVar("T")


class Busy(Overloaded):
    """More is being asked than can be answered in time; nothing was computed (503 / RESOURCE_EXHAUSTED)."""

    def __init__(self) -> None:
        super().__init__("more requests are waiting than can be answered in time; come back later")


class Worker:
    """A single thread: XGBoost lets go of the interpreter's lock while it computes, so one keeps the loop free."""

    def __init__(self, *, max_requests: int) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="xgboost")
        self._max_requests = max_requests
        self._requests = 0

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a request in and out.

        Raises:
            Busy: `max_requests` are in already.
        """
        if self._requests >= self._max_requests:
            raise Busy
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    async def run(self, call: Callable[[], T]) -> T:
        """Run a call in the thread; when the caller is cancelled, a call that still waits its turn is dropped."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def close(self) -> None:
        """Let the thread finish its call and end."""
        self._executor.shutdown(wait=True, cancel_futures=True)
