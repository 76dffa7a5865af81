"""MLServer with one model in it: doors open first, ready when the golden leads scored right, drained before it ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import xgboost
from mlserver.model import MLModel
from mlserver.server import MLServer
from mlserver.settings import ModelSettings, Settings
from mlserver.version import __version__ as mlserver_version

from lead_predictor.frame_edge import FrameEdge
from lead_predictor.grpc_edge import GrpcEdge
from lead_predictor.lifecycle import Lifecycle, State
from lead_predictor.rest_edge import RestEdge
from lead_predictor.runtime import LeadScoringRuntime
from lead_predictor.scorer import threads
from lead_scoring.errors import StackError

__all__ = ["Drain", "LeadServer"]

_LOGGER = logging.getLogger("lead_predictor")


@dataclass(frozen=True)
class Drain:
    """How an end goes.

    Attributes:
        linger_s: how long requests are still taken after the signal, for those that are already on the wire.
        refuse_s: how long after that new ones are told to go elsewhere before the ports close. (gRPC cancels what it
            has received and not yet handed over when it stops; a caller can't tell that from its own cancelling.)
        grace_s: how long those that run may take then.
    """

    linger_s: float = 0.3
    refuse_s: float = 0.2
    grace_s: int = 10


class LeadServer(MLServer):
    """MLServer whose start, doors and end are ours; registry, data plane and runtime are its own."""

    _rest_server: RestEdge
    _grpc_server: GrpcEdge

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        lifecycle: Lifecycle,
        *,
        frames: Path | None = None,
        drain: Drain | None = None,
    ) -> None:
        """Set up both servers on the running event loop.

        Args:
            settings: from `lead_predictor.settings`.
            listener: bound REST socket.
            lifecycle: what the doors tell about the model.
            frames: unix socket of the fast door; None for none.
            drain: how the end goes.
        """
        self._listener = listener
        self._lifecycle = lifecycle
        self._frames = frames
        self._frame_edge: FrameEdge | None = None
        self._drain = drain or Drain()
        self._ending = asyncio.Event()
        super().__init__(settings)

    async def serve(self, model: ModelSettings) -> None:
        """Load the model and answer until SIGTERM or SIGINT; returns when every request has its answer.

        Raises:
            StackError: the gRPC port is taken, the socket can't be made, or the REST server ended by itself.
            PackageError: the model's folder can't be trusted, or it scores differently.
            ContractError: its contract is malformed.
        """
        began = time.monotonic()
        host, port = self._settings.host, self._settings.grpc_port
        try:
            port = self._grpc_server.listen()
        except RuntimeError as error:
            raise StackError(
                f"gRPC port {port} on {host} can't be used: it is taken, or the host is not ours"
            ) from error
        await self._grpc_server.start()
        rest = asyncio.create_task(self._rest_server.start())
        ending = asyncio.create_task(self._ending.wait())
        try:
            _log("listening", host=host, http_port=self._listener.getsockname()[1], grpc_port=port)
            loading = asyncio.create_task(self._model_registry.load(model))
            await asyncio.wait((loading, ending, rest), return_when=asyncio.FIRST_COMPLETED)
            if loading.done() and not ending.done():
                await self._open_frames(loading.result())
                self._now_ready(loading.result(), time.monotonic() - began)
                await asyncio.wait((ending, rest), return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                raise StackError("the REST server ended by itself")
        finally:
            ending.cancel()
            await self._end(rest)

    async def _open_frames(self, model: MLModel) -> None:
        """Open the fast door: only now, so that a connection means a model that has proven itself."""
        if self._frames is not None and isinstance(model, LeadScoringRuntime):
            self._frame_edge = FrameEdge(self._frames, model.loaded())
            await self._frame_edge.start()

    def _now_ready(self, model: MLModel, seconds: float) -> None:
        gc.collect()
        gc.freeze()  # what has been loaded stays: the collector need not walk it during requests
        self._lifecycle.state = State.READY
        _log(
            "ready",
            model=model.name,
            version=model.version,
            golden_leads=getattr(model, "golden_leads", 0),
            inline_leads=getattr(model, "inline_leads", 0),
            threads=threads(),
            mlserver=mlserver_version,
            xgboost=xgboost.__version__,
            seconds=round(seconds, 3),
        )

    async def _end(self, rest: asyncio.Task[None]) -> None:
        """Stop in the order in which nothing is cut off: not ready, doors closed, requests answered, model unloaded."""
        was_ready = self._lifecycle.ready
        self._lifecycle.state = State.DRAINING
        if was_ready:
            _log("draining")
            await asyncio.sleep(self._drain.linger_s)
            self._lifecycle.state = State.CLOSING
            await asyncio.sleep(self._drain.refuse_s)
        if not rest.done():
            await self._rest_server.stop()
        if self._frame_edge is not None:
            await self._frame_edge.stop()
        await asyncio.gather(self._grpc_server.stop(), rest)
        if was_ready:
            await self._model_registry.unload(self._lifecycle.name)
        _log("ended")

    def _add_signal_handlers(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)

    def _configure_logger(self) -> None:
        """Leave logging to the launcher."""

    def _create_servers(self) -> None:
        parts = (self._settings, self._data_plane, self._model_repository_handlers)
        self._rest_server, self._grpc_server, self._kafka_server = RestEdge(*parts), GrpcEdge(*parts), None
        self._rest_server.listener = self._listener
        self._rest_server.lifecycle = self._grpc_server.lifecycle = self._lifecycle
        self._rest_server.drain_s = self._grpc_server.drain_s = self._drain.grace_s


def _log(event: str, **fields: object) -> None:
    _LOGGER.info(event, extra={"fields": fields})
