"""The model server over its unix socket: raw frames, many under way on one connection (`lead_scoring.core.frames`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import count

import numpy as np
from numpy.typing import NDArray

from lead_scoring.core import frames
from lead_scoring.core.frames import Ask, Frame, FrameError, FrameReader, Status
from lead_scoring.errors import DeadlineExceeded
from lead_transformer.predictor import Prediction, Predictor, PredictorFault, PredictorIdentity, checked

__all__ = ["SocketPredictor"]

_RECONNECT_S = 0.1
_MAX_UNSENT_BYTES = 8 * 1024 * 1024
_NUMBERS = 2**32
_MUTE_S = 0.3


class SocketPredictor:
    """A `Predictor` whose predictions take the socket; what the server says about itself still comes over V2 gRPC.

    It can be left out: without a socket, `GrpcPredictor` does the same at about 1 ms of CPU more a request.
    """

    def __init__(self, path: str, metadata: Predictor, *, retried: Callable[[], None] | None = None) -> None:
        """Set up; the socket is connected on first use. Trace context does not travel over it.

        Args:
            path: of the socket.
            metadata: asked for the model's identity.
            retried: told of every retry.
        """
        self._path = path
        self._metadata = metadata
        self._retried = retried or (lambda: None)
        self._numbers = count(1)
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()

    async def predict(
        self, matrix: NDArray[np.float32], *, explain: bool, timeout_s: float, traceparent: str | None
    ) -> Prediction:
        """Return margins, and contributions if `explain`, as `Predictor.predict` says."""
        del traceparent
        leads, width = matrix.shape
        connection = self._connection
        if connection is None or connection.is_closed:
            began = time.perf_counter()
            connection = await self._connect(timeout_s)
            timeout_s -= time.perf_counter() - began
        number = next(self._numbers) % _NUMBERS
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Frame] = loop.create_future()
        alarm = loop.call_later(max(timeout_s, 0.0), _expire, waiter)
        sent = time.perf_counter()
        try:
            connection.send(
                number, frames.question(number, matrix, Ask.CONTRIBUTIONS if explain else Ask.MARGIN), waiter
            )
            frame = await waiter
        except (asyncio.CancelledError, DeadlineExceeded):
            connection.call_off(number)
            connection.give_up(sent)
            raise
        finally:
            alarm.cancel()
            connection.forget(number)
        if frame.kind != Status.OK:
            kind = "refused" if frame.kind == Status.REFUSED else "failed"
            raise PredictorFault("the model server refused the request", kind=kind)
        if len(frame.payload) % 4 or frame.rows != leads:
            raise PredictorFault("the model server's answer can't be used", kind="malformed")
        values = np.frombuffer(frame.payload, dtype="<f4")
        margin, shares = (values[:leads], values[leads:]) if explain else (values, None)
        return checked(margin, shares, leads=leads, width=width, explain=explain)

    async def identify(self, *, timeout_s: float) -> PredictorIdentity:
        """Return what the server's metadata say, as `Predictor.identify` says."""
        return await self._metadata.identify(timeout_s=timeout_s)

    async def close(self) -> None:
        """Close the connection; requests that still run fail."""
        if self._connection is not None:
            self._connection.close()
        await self._metadata.close()

    async def _connect(self, timeout_s: float) -> _Connection:
        """Connect, once more if that fails; those that come meanwhile wait for the same connection."""
        try:
            async with asyncio.timeout(max(timeout_s, 0.0)), self._connecting:
                if self._connection is None or self._connection.is_closed:
                    try:
                        self._connection = await self._open()
                    except OSError:
                        self._retried()
                        await asyncio.sleep(_RECONNECT_S)
                        self._connection = await self._open()
                return self._connection
        except TimeoutError:
            raise DeadlineExceeded("the time allowed for this request ran out") from None
        except OSError:
            raise PredictorFault("the model server is away", kind="away") from None

    async def _open(self) -> _Connection:
        _, connection = await asyncio.get_running_loop().create_unix_connection(_Connection, self._path)
        return connection


def _expire(waiter: asyncio.Future[Frame]) -> None:
    if not waiter.done():
        waiter.set_exception(DeadlineExceeded("the time allowed for this request ran out"))


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._reader = FrameReader()
        self._waiting: dict[int, asyncio.Future[Frame]] = {}
        self._transport: asyncio.Transport | None = None
        self._heard = 0.0

    @property
    def is_closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def send(self, number: int, question: bytes, waiter: asyncio.Future[Frame]) -> None:
        if self._transport is None or self._transport.is_closing():
            raise PredictorFault("the model server is away", kind="away")
        if self._transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            # It takes nothing any more: let go, so that what piled up here is freed and the next one connects anew.
            self._transport.abort()
            raise PredictorFault("the model server does not take requests", kind="stuck")
        self._waiting[number] = waiter
        self._transport.write(question)

    def call_off(self, number: int) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frames.cancellation(number))

    def give_up(self, since: float) -> None:
        """Hang up if nobody has been answered since then: after a broken frame, no later one can be told from it."""
        if self._transport is not None and self._heard < since < time.perf_counter() - _MUTE_S:
            self._transport.abort()

    def forget(self, number: int) -> None:
        self._waiting.pop(number, None)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(PredictorFault("the model server is away", kind="away"))
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                waiter = self._waiting.get(frame.number)
                if waiter is not None:
                    self._heard = time.perf_counter()
                    if not waiter.done():
                        waiter.set_result(frame)
        except FrameError:
            self.close()
