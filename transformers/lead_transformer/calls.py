"""One request on its way through the service, and what is noted when it is over."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from lead_scoring.errors import InvalidLeads, LeadScoringError, RequestError
from lead_transformer import request_ids
from lead_transformer.deadlines import ENVOY_HEADER, Allowance, envoy_allowance_s
from lead_transformer.logs import Throttle, timestamp
from lead_transformer.metrics import Metrics
from lead_transformer.predictor import PredictorFault

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from lead_transformer.tracing import RequestTracer

__all__ = ["VARIANT_HEADER", "Call", "Calls"]

VARIANT_HEADER = "x-lead-variant"

_LOGGER = logging.getLogger("lead_transformer")


@dataclass(slots=True)
class Call:
    """What is known of a request beside its leads.

    Attributes:
        protocol: ``v2-rest``, ``v2-grpc`` or ``v1``.
        request_id: sane in any log.
        shadow: it is a copy of a request that another variant answers.
        began: when it arrived, and
        deadline: when its time is up, both on the clock of `time.perf_counter`.
        stages: seconds of the stages it came through, in the order of `metrics.STAGES`.
        leads: how many it carried; 0 until that is known.
    """

    protocol: str
    request_id: str
    shadow: bool
    began: float
    deadline: float
    stages: list[float] = field(default_factory=list)
    leads: int = 0
    span: Span | None = None
    traceparent: str | None = None


class Calls:
    """Begins and ends calls: request ids, deadlines, shadow, metrics, the access log, spans."""

    def __init__(
        self,
        *,
        variant: str,
        model_version: str,
        allowance: Allowance,
        metrics: Metrics,
        access_log: Callable[[bytes], None] | None,
        tracer: RequestTracer | None,
    ) -> None:
        """Keep what every call needs; `access_log` takes a line, None for no log."""
        self.metrics = metrics
        self._variant = variant
        self._model_version = model_version
        self._allowance = allowance
        self._access_log = access_log
        self._tracer = tracer
        self._throttle = Throttle()

    def begin(
        self,
        protocol: str,
        header: Callable[[str], str | None],
        *,
        began: float,
        caller_allows_s: float | None = None,
    ) -> Call:
        """Open a call.

        Args:
            protocol: as in `Call`.
            header: looks a header (or gRPC metadata) up by its lower-case name.
            began: when the request arrived.
            caller_allows_s: seconds that a gRPC caller still waits.
        """
        variant = header(VARIANT_HEADER)
        allowed_s = self._allowance.seconds(envoy_allowance_s(header(ENVOY_HEADER)), caller_allows_s)
        call = Call(
            protocol,
            request_ids.choose(header(request_ids.HEADER)),
            variant is not None and variant != self._variant,
            began,
            began + allowed_s,
        )
        if self._tracer is not None:
            call.span = self._tracer.start(protocol, header("traceparent"), header("tracestate"))
            call.traceparent = self._tracer.traceparent(call.span)
        return call

    def end(self, call: Call, code: str, *, failed: bool = False, error: str | None = None) -> None:
        """Note an answered call; `code` is the protocol's own status, `error` the short word of what was wrong."""
        seconds = time.perf_counter() - call.began
        self.metrics.finished(call.shadow, call.protocol, code, seconds, call.stages)
        if self._access_log is not None:
            line = {
                "time": timestamp(time.time()),
                "level": "INFO",
                "logger": "access",
                "request_id": call.request_id,
                "protocol": call.protocol,
                "status": code,
                "leads": call.leads,
                "ms": round(seconds * 1000, 3),
                "variant": self._variant,
                "model_version": self._model_version,
                "shadow": call.shadow,
            }
            if error is not None:
                line["error"] = error
            self._access_log(orjson.dumps(line))
        if call.span is not None and self._tracer is not None:
            attributes = {
                "lead.request_id": call.request_id,
                "lead.status": code,
                "lead.leads": call.leads,
                "lead.shadow": call.shadow,
            }
            self._tracer.finish(call.span, call.stages, seconds, attributes, failed=failed)

    def end_cancelled(self, call: Call) -> None:
        """Note a call whose caller went away."""
        self.metrics.cancelled[call.protocol] += 1
        self.end(call, "cancelled")

    def note(self, error: BaseException, call: Call) -> str:
        """Count an error and, if it is ours, log it without any value; return its short word."""
        if isinstance(error, InvalidLeads):
            for reason in {problem.reason for problem in error.problems}:
                self.metrics.rejections[reason] += 1
            return error.reason
        if isinstance(error, RequestError):
            self.metrics.rejections[error.reason] += 1
            return error.reason
        if isinstance(error, PredictorFault):
            self._log_throttled(f"predictor failed: {error.kind}", call)
            return f"predictor_{error.kind}"
        if isinstance(error, LeadScoringError):
            return type(error).__name__
        if not isinstance(error, asyncio.CancelledError):
            _LOGGER.error("internal error", exc_info=error, extra={"fields": {"request_id": call.request_id}})
        return "internal"

    def _log_throttled(self, message: str, call: Call) -> None:
        held_back = self._throttle.admit(message)
        if held_back is not None:
            _LOGGER.error(message, extra={"fields": {"request_id": call.request_id, "held_back": held_back}})
