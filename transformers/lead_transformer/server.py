"""The process: the KServe SDK's model server with our doors, our readiness, and an end in the right order."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from importlib.metadata import version as installed_version
from typing import Any

from kserve import ModelServer
from kserve.predictor_config import PredictorConfig
from prometheus_client import REGISTRY

from lead_scoring.errors import StackError
from lead_scoring.packaging.folder import VersionFiles
from lead_transformer import tracing
from lead_transformer.admission import Admission, AdmissionLimits
from lead_transformer.calls import Calls
from lead_transformer.connections import ConnectionLimits, bounded
from lead_transformer.deadlines import Allowance
from lead_transformer.grpc_predictor import GrpcPredictor
from lead_transformer.lifecycle import Lifecycle
from lead_transformer.logs import LineWriter
from lead_transformer.metrics import Gauges, Identity, Metrics
from lead_transformer.model import LeadDataPlane, LeadModel
from lead_transformer.predictor import Predictor
from lead_transformer.readiness import DeepChecks, Readiness
from lead_transformer.rest import BodyLimits, RestApp
from lead_transformer.rest_server import RestServer, listen
from lead_transformer.rpc import RpcLimits, RpcServer, Servicer
from lead_transformer.service import Service
from lead_transformer.settings import Settings
from lead_transformer.silence import Silence
from lead_transformer.socket_predictor import SocketPredictor

__all__ = ["LeadServer"]

_LOGGER = logging.getLogger("lead_transformer")


class LeadServer(ModelServer):  # type: ignore[misc]
    """Serves one version over REST and gRPC until it is told to stop."""

    def __init__(self, settings: Settings, version: VersionFiles, writer: LineWriter) -> None:
        """Set the SDK's server up; ports are taken in `start`.

        Args:
            settings: of the process.
            version: the verified folder.
            writer: where the access log goes.
        """
        super().__init__(
            http_port=settings.http_port,
            grpc_port=settings.grpc_port,
            workers=1,
            enable_grpc=settings.enable_grpc,
            enable_docs_url=False,
            enable_latency_logging=False,
            access_log_format=None,
            event_loop=settings.event_loop,
            timeout_keep_alive=settings.keep_alive_s,
            grace_period=settings.grace_s,
            predictor_config=PredictorConfig(
                predictor_host=settings.predictor_host, predictor_protocol="grpc-v2", predictor_health_check=False
            ),
            ssl_certfile=None,
            ssl_keyfile=None,
        )
        contract = version.contract
        self._settings = settings
        self._contract = contract
        self._variant = settings.variant or f"v{contract.model.version}"
        self._software_version = installed_version("lead-transformer")
        self._writer = writer
        self._lifecycle = Lifecycle()
        identity = Identity(
            self._variant, contract.model.name, contract.model.version, version.digest, self._software_version
        )
        self._metrics = Metrics(
            identity, [feature.name for feature in contract.features], len(contract.buckets.edges) + 1
        )
        self._metrics.lines_dropped = lambda: writer.dropped
        self._signals = 0
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self.dataplane = LeadDataPlane(self.registered_models, self._lifecycle)

    def start(self, models: list[Any] | None = None) -> None:
        """Serve until SIGTERM or SIGINT; return when every request has its answer.

        Args:
            models: must be left out: the one model is made here.

        Raises:
            StackError: a port can't be used.
        """
        if models:
            raise StackError("the model comes from the version folder")
        with asyncio.Runner(loop_factory=_loop_factory(self._settings.event_loop)) as runner:
            runner.run(self._serve())

    def stop(self, sig: int) -> None:
        """Begin the end; told twice, hurry."""
        self._signals += 1
        if self._signals == 1:
            _LOGGER.info("stopping", extra={"fields": {"signal": signal.Signals(sig).name}})
            self._stopping.set()
        else:
            self._hurry.set()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_loop_error)
        for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(sig, self.stop, sig)
        settings, contract = self._settings, self._contract
        with listen(settings.host, settings.http_port) as listener:
            predictor: Predictor = GrpcPredictor(
                settings.predictor_host,
                name=contract.model.name,
                version=contract.model.version,
                retried=self._count_retry,
            )
            if settings.predictor_socket:
                predictor = SocketPredictor(settings.predictor_socket, predictor, retried=self._count_retry)
            tracer = None
            if tracing.wanted(settings.tracing):
                tracer = tracing.connect(self._variant, contract.model.version)
            try:
                await self._run(listener, predictor, tracer)
            finally:
                await predictor.close()  # last: what was in work until now may have needed it
                if tracer is not None:
                    await asyncio.to_thread(tracer.close)

    async def _run(self, listener: socket.socket, predictor: Predictor, tracer: tracing.RequestTracer | None) -> None:
        settings = self._settings
        admission = Admission(
            AdmissionLimits(
                settings.concurrency,
                settings.queue,
                wait_s=settings.queue_wait_ms / 1000,
                hold_s=settings.deadline_ms / 2000,
            ),
            refused=self._count_refusal,
        )
        self._metrics.gauges = Gauges(
            lambda: admission.running, lambda: admission.waiting, lambda: self._lifecycle.ready
        )
        REGISTRY.register(self._metrics)
        calls = Calls(
            variant=self._variant,
            model_version=self._contract.model.version,
            allowance=Allowance(settings.deadline_ms / 1000, settings.deadline_margin_ms / 1000),
            metrics=self._metrics,
            access_log=self._writer.write if settings.access_log else None,
            tracer=tracer,
        )
        silence = Silence(settings.predictor_silence_s)
        service = Service(
            self._contract,
            predictor,
            variant=self._variant,
            admission=admission,
            lifecycle=self._lifecycle,
            metrics=self._metrics,
            silence=silence,
            max_leads=settings.max_leads,
        )
        checks = DeepChecks(settings.check_interval_s, settings.check_timeout_ms / 1000, settings.check_failures)
        readiness = Readiness(
            self._contract,
            service,
            predictor,
            self._lifecycle,
            self._metrics,
            silence,
            checks,
            max_leads=settings.max_leads,
        )
        self.register_model(LeadModel(service, calls, self._lifecycle))
        rest = self._open_rest(service, calls, silence)
        rpc = self._open_rpc(service, calls) if self.enable_grpc else None
        if rpc is not None:
            await rpc.start()
        serving = asyncio.create_task(rest.serve(listener))
        proving = asyncio.create_task(readiness.run())
        stopping = asyncio.create_task(self._stopping.wait())
        self._say_where(listener.getsockname()[1], None if rpc is None else rpc.port)
        try:
            await asyncio.wait((serving, stopping, proving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._drain(rest, serving, rpc)
            proving.cancel()
            stopping.cancel()
            await asyncio.gather(serving, proving, stopping, return_exceptions=True)
            REGISTRY.unregister(self._metrics)
        if not self._stopping.is_set():
            raise StackError("a part of the server ended by itself")
        _LOGGER.info("stopped")

    async def _drain(self, rest: RestServer, serving: asyncio.Task[None], rpc: RpcServer | None) -> None:
        """Be unready first, then take no new requests, then return when the last one has its answer."""
        self._lifecycle.draining = True
        await asyncio.wait((asyncio.ensure_future(self._hurry.wait()),), timeout=self._settings.drain_s)
        rest.stop()
        if rpc is not None:
            await rpc.stop(float(self._settings.grace_s))
        await asyncio.wait((serving,), timeout=self._settings.grace_s + 1.0)

    def _say_where(self, http_port: int, grpc_port: int | None) -> None:
        fields = {
            "host": self._settings.host,
            "http_port": http_port,
            "grpc_port": grpc_port,
            "variant": self._variant,
            "model": self._contract.model.name,
            "version": self._contract.model.version,
        }
        _LOGGER.info("listening", extra={"fields": fields})

    def _open_rest(self, service: Service, calls: Calls, silence: Silence) -> RestServer:
        settings = self._settings
        limits = ConnectionLimits(
            settings.max_header_bytes, settings.receive_timeout_s, settings.max_connections, self._count_rejection
        )
        rest = RestServer(self, bounded(limits))
        rest.app = RestApp(
            service,
            calls,
            self._lifecycle,
            silence,
            rest.sdk_app(),
            limits=BodyLimits(settings.max_body_bytes, settings.receive_timeout_s),
            max_leads=settings.max_leads,
            variant=self._variant,
            software_version=self._software_version,
        )
        return rest

    def _open_rpc(self, service: Service, calls: Calls) -> RpcServer:
        settings = self._settings
        servicer = Servicer(
            service,
            calls,
            self._lifecycle,
            self.dataplane,
            self.model_repository_extension,
            variant=self._variant,
            software_version=self._software_version,
        )
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        limits = RpcLimits(settings.max_body_bytes, settings.max_streams)
        return RpcServer(servicer, address=f"{host}:{settings.grpc_port}", limits=limits)

    def _count_retry(self) -> None:
        self._metrics.predictor_retries += 1

    def _count_refusal(self, reason: str) -> None:
        self._metrics.queue_rejections[reason] += 1

    def _count_rejection(self, reason: str) -> None:
        self._metrics.rejections[reason] += 1


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "asyncio":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop


def _log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    _LOGGER.error("event loop: %s", context.get("message"), exc_info=context.get("exception"))
