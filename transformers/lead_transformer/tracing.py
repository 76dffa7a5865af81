"""OpenTelemetry spans for requests: off by default, and then nothing of it is even imported."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lead_scoring.errors import StackError
from lead_transformer.metrics import STAGES

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

__all__ = ["RequestTracer", "connect", "wanted"]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def wanted(setting: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether to trace: as the setting says; if ``auto``, whether OpenTelemetry's variables name an endpoint."""
    if setting != "auto":
        return setting == "on"
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return any(environment.get(name) for name in _ENDPOINTS)


class RequestTracer:
    """Makes one span per request, below the caller's if it sent a W3C ``traceparent``, with one child per stage."""

    def __init__(self, provider: TracerProvider) -> None:
        """Take spans from `provider`, which is shut down by `close`."""
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer: Tracer = provider.get_tracer("lead_transformer")
        self._propagator = TraceContextTextMapPropagator()

    def start(self, name: str, traceparent: str | None, tracestate: str | None) -> Span:
        """Begin the request's span."""
        from opentelemetry.trace import SpanKind

        carrier = {"traceparent": traceparent or "", "tracestate": tracestate or ""}
        return self._tracer.start_span(name, context=self._propagator.extract(carrier), kind=SpanKind.SERVER)

    def traceparent(self, span: Span) -> str:
        """Return what tells the model server whose child it is."""
        from opentelemetry.trace import set_span_in_context

        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        return carrier.get("traceparent", "")

    def finish(
        self, span: Span, stages: Sequence[float], seconds: float, attributes: Mapping[str, Any], *, failed: bool
    ) -> None:
        """End the request's span with its stages, which end when it does; `seconds` is the whole."""
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        end = time.time_ns()
        moment = end - int(sum(stages) * 1e9)
        context = set_span_in_context(span)
        for stage, spent in zip(STAGES, stages, strict=False):
            child = self._tracer.start_span(stage, context=context, start_time=moment)
            moment += int(spent * 1e9)
            child.end(moment)
        for name, value in attributes.items():
            span.set_attribute(name, value)
        span.set_attribute("lead.duration_s", seconds)
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def connect(variant: str, model_version: str) -> RequestTracer:
    """Return a tracer that exports over OTLP/HTTP, as OpenTelemetry's own variables say.

    Raises:
        StackError: the packages of the `tracing` extra are not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise StackError("tracing is on but not installed: install lead-transformer[tracing]") from error
    resource = Resource.create(
        {"service.name": "lead-transformer", "lead.variant": variant, "lead.model_version": model_version}
    )
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return RequestTracer(provider)
