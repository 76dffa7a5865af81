"""The fast door: raw frames over a unix socket (`core.frames`), one prediction shared by the requests that wait."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_predictor.predictions import MAX_LEADS, Predictions
from lead_predictor.worker import Busy
from lead_scoring.core import frames
from lead_scoring.core.frames import Ask, Frame, FrameError, FrameReader, Status
from lead_scoring.errors import StackError

__all__ = ["FrameEdge"]

SHARED_LEADS = 1_024
"""The most leads that share one prediction: two of the largest batches save a tenth, and nobody waits for more."""
MAX_WAITING = 1_024

_LOGGER = logging.getLogger("lead_predictor")
_Reply = Callable[[bytes], None]


class FrameEdge:
    """Answers frames; margins that wait are predicted together, and a row's answer is its own all the same."""

    def __init__(self, path: Path, predictions: Predictions) -> None:
        """Set up; a stale socket at `path` is replaced. Only this user and group may connect."""
        self._path = path
        self._predictions = predictions
        self._waiting: list[tuple[int, NDArray[np.float32], _Reply]] = []
        self._running = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._explaining: dict[tuple[int, _Reply], asyncio.Task[None]] = {}
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            StackError: the socket can't be made there.
        """
        try:
            self._path.unlink(missing_ok=True)
            self._server = await asyncio.get_running_loop().create_unix_server(self._connected, str(self._path))
            # The transformer may be another user of the same group.
            os.chmod(self._path, 0o660)  # nosec B103
        except OSError as error:
            raise StackError(f"socket {self._path} can't be used: {error.strerror or error}") from error

    async def stop(self) -> None:
        """Take no new connections, answer what was asked, close."""
        if self._server is None:
            return
        self._server.close()
        while self._waiting or self._tasks or self._running:  # noqa: ASYNC110 (nothing signals it)
            await asyncio.sleep(0.005)
        for connection in list(self._connections):
            connection.close()
        self._path.unlink(missing_ok=True)

    def ask(self, frame: Frame, reply: _Reply) -> None:
        """Take a request; the answer goes to `reply`, now or later."""
        if frame.kind == Ask.CANCEL:
            self._drop(lambda number, to: number == frame.number and to == reply)
            return
        if fault := self._fault(frame):
            reply(frames.refusal(frame.number, Status.REFUSED, fault))
            return
        matrix = np.frombuffer(frame.payload, dtype="<f4").reshape(frame.rows, self._predictions.width)
        if frame.kind == Ask.CONTRIBUTIONS:
            task = self._spawn(self._explain(frame.number, matrix, reply))
            self._explaining[frame.number, reply] = task
            task.add_done_callback(lambda _: self._explaining.pop((frame.number, reply), None))
            return
        if len(self._waiting) >= MAX_WAITING:
            reply(frames.refusal(frame.number, Status.FAILED, "too many requests are waiting"))
            return
        if not self._waiting and not self._running:
            # Once the loop has read what else has arrived: all of that shares one prediction.
            asyncio.get_running_loop().call_soon(self._predict_waiting)
        self._waiting.append((frame.number, matrix, reply))

    def forget(self, connection: _Connection) -> None:
        """Drop a closed connection and what it still waits for."""
        self._connections.discard(connection)
        self._drop(lambda _, to: to == connection.reply)

    def _drop(self, is_dropped: Callable[[int, _Reply], bool]) -> None:
        """Forget what waits, and end the explanations that run, by number and by where the answer would go."""
        self._waiting = [entry for entry in self._waiting if not is_dropped(entry[0], entry[2])]
        for (number, reply), task in list(self._explaining.items()):
            if is_dropped(number, reply):
                task.cancel()

    def _connected(self) -> _Connection:
        connection = _Connection(self)
        self._connections.add(connection)
        return connection

    def _fault(self, frame: Frame) -> str | None:
        if frame.kind not in (Ask.MARGIN, Ask.CONTRIBUTIONS):
            return f"kind {frame.kind} is neither margins nor contributions"
        if frame.columns != self._predictions.width or not 1 <= frame.rows <= MAX_LEADS:
            width = self._predictions.width
            return f"expected 1 to {MAX_LEADS} rows of {width} columns, got {frame.rows} of {frame.columns}"
        if len(frame.payload) != 4 * frame.rows * frame.columns:
            return f"{frame.rows} rows of {frame.columns} columns are not {len(frame.payload)} bytes"
        return None

    def _take(self) -> list[tuple[int, NDArray[np.float32], _Reply]]:
        """Take as many of the waiting, oldest first, as may share a prediction; at least one."""
        total = 0
        for count, (_, matrix, _) in enumerate(self._waiting):
            total += len(matrix)
            if count and total > SHARED_LEADS:
                taken, self._waiting = self._waiting[:count], self._waiting[count:]
                return taken
        taken, self._waiting = self._waiting, []
        return taken

    def _predict_waiting(self) -> None:
        while self._waiting and not self._running:
            group = self._take()
            matrix = group[0][1] if len(group) == 1 else np.concatenate([matrix for _, matrix, _ in group])
            if len(matrix) <= self._predictions.inline_leads:
                try:
                    self._distribute(group, self._predictions.scorer.margin(matrix))
                except Exception:
                    self._fail(group)
            else:
                self._running = True
                self._spawn(self._predict_in_thread(group, matrix))

    async def _predict_in_thread(
        self, group: list[tuple[int, NDArray[np.float32], _Reply]], matrix: NDArray[np.float32]
    ) -> None:
        try:
            self._distribute(group, (await self._predictions.answer(("margin",), matrix))["margin"])
        except Exception:
            self._fail(group)
        finally:
            self._running = False
            self._predict_waiting()

    async def _explain(self, number: int, matrix: NDArray[np.float32], reply: _Reply) -> None:
        try:
            found = await self._predictions.answer(("margin", "contributions"), matrix)
            reply(frames.answer(number, found["margin"], found["contributions"]))
        except Busy:
            reply(frames.refusal(number, Status.FAILED, "too many requests are waiting"))
        except Exception:
            self._fail([(number, matrix, reply)])

    @staticmethod
    def _distribute(group: list[tuple[int, NDArray[np.float32], _Reply]], margin: NDArray[np.float32]) -> None:
        begin = 0
        for number, matrix, reply in group:
            end = begin + len(matrix)
            reply(frames.answer(number, margin[begin:end]))
            begin = end

    @staticmethod
    def _fail(group: list[tuple[int, NDArray[np.float32], _Reply]]) -> None:
        _LOGGER.exception("prediction failed")
        for number, _, reply in group:
            reply(frames.refusal(number, Status.FAILED, "the prediction failed"))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Connection(asyncio.Protocol):
    def __init__(self, edge: FrameEdge) -> None:
        self._edge = edge
        self._reader = FrameReader()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self._edge.forget(self)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                self._edge.ask(frame, self.reply)
        except FrameError:
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def reply(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)
