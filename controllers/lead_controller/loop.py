"""Level-triggered: whatever changes, the whole plan is made anew from everything seen, and what differs is written."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from lead_controller.apiserver import (
    AUTOSCALER,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    GRPC_ROUTE,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    POLICY,
    ROLLOUT,
    ApiServerError,
    Kind,
)
from lead_controller.apply import Applied, Deposed, Writer
from lead_controller.backoff import Backoff
from lead_controller.election import Election
from lead_controller.metrics import Metrics
from lead_controller.model import Event, Json, Observed, Plan, Reference
from lead_controller.recorder import Recorder
from lead_controller.refusal import refused
from lead_controller.watches import Watches

__all__ = ["Loop"]

_log = logging.getLogger(__name__)

_DEBOUNCE_S = 0.05
_RETRY_FIRST_S = 0.5
_RETRY_MOST_S = 15.0


class Loop:
    """Plans and writes, in a thread of its own, while this replica leads."""

    def __init__(
        self,
        *,
        planner: Callable[[Observed, datetime], Plan],
        watches: Watches,
        election: Election,
        writer: Writer,
        recorder: Recorder,
        metrics: Metrics,
        resync_s: float,
        stuck_s: float = 60.0,
    ) -> None:
        """Be ready to start.

        `planner`: pure; observed objects and the time in, a plan out. Asked at least every `resync_s`.
        `stuck_s`: how long a turn may take until the loop counts as stuck; every call of a turn has a deadline of 5 s.
        """
        self._planner = planner
        self._watches = watches
        self._election = election
        self._writer = writer
        self._recorder = recorder
        self._metrics = metrics
        self._resync_s = resync_s
        self._stuck_s = stuck_s
        self._backoff = Backoff(first_s=_RETRY_FIRST_S, most_s=_RETRY_MOST_S)
        self._retry_s: float | None = None
        self._alive_at = time.monotonic()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="loop", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, *, timeout_s: float) -> bool:
        """Ask the thread to end after its current write; return whether it did in time."""
        self._stopping = True
        self._watches.changed.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def stuck(self) -> str:
        """Return what is wrong if the thread has not come round for long or has died, else an empty text."""
        if not self._thread.is_alive():
            return "the loop has ended"
        idle_s = time.monotonic() - self._alive_at
        return f"the loop has not come round for {idle_s:.0f} s" if idle_s > self._stuck_s + self._resync_s else ""

    def _run(self) -> None:
        changed = self._watches.changed
        while not self._stopping:
            self._alive_at = time.monotonic()
            changed.wait(self._resync_s if self._retry_s is None else self._retry_s)
            started = time.monotonic()
            if self._retry_s is not None:  # what failed may have caused the change: no hot loop
                time.sleep(max(0.0, self._alive_at + _RETRY_FIRST_S / 2 - started))
            time.sleep(_DEBOUNCE_S)
            changed.clear()
            if self._stopping:
                return
            self._retry_s = None
            try:
                self._turn(started)
            except Deposed:
                _log.info("not leading: stopped writing")
            except Exception as error:
                self._metrics.reconciles.labels("error").inc()
                self._retry_s = self._backoff.failed()
                if isinstance(error, ApiServerError):
                    fields = {"error": str(error), "retry_in_s": round(self._retry_s, 1)}
                    _log.warning("turn failed", extra={"fields": fields})
                else:
                    _log.exception("turn failed")

    def _turn(self, started: float) -> None:
        leading = self._election.leading
        self._metrics.leader.set(leading)
        if not leading:
            self._metrics.hide()
        if not leading or not self._watches.synced:
            return
        observed = self._observe()
        plan = self._planner(observed, datetime.now(UTC))
        applied = self._writer.write(plan)
        written = {(reference.kind, reference.name) for reference in applied.writes}
        for kind, _ in written:
            self._metrics.writes.labels(kind).inc()
        self._metrics.repaired(each for each in plan.repairs if (each.kind, each.name) in written)
        if not applied.held:
            self._metrics.show(plan.shares)
            self._tell(observed.rollout, plan)
        if applied.errors:
            self._refused(observed.rollout, applied)
            return
        self._backoff.succeeded()
        self._metrics.reconciles.labels("success").inc()
        self._metrics.last_success.set_to_current_time()
        if applied.writes:
            self._metrics.duration.observe(time.monotonic() - started)

    def _tell(self, rollout: Json | None, plan: Plan) -> None:
        """Write status and Events of a plan whose routes stand."""
        if plan.status is not None and rollout is not None:
            self._writer.write_status(rollout, plan.status)
            self._metrics.writes.labels(ROLLOUT.kind).inc()
        for event in plan.events:
            self._recorder.tell(event, timeout_s=self._writer.timeout_s())

    def _refused(self, rollout: Json | None, applied: Applied) -> None:
        """Say what was refused, and try again later."""
        self._metrics.reconciles.labels("error").inc()
        self._retry_s = self._backoff.failed()
        if rollout is None:
            return
        message = "; ".join(applied.errors)
        self._recorder.tell(
            Event("Warning", "WriteRefused", message, Reference.of(rollout)), timeout_s=self._writer.timeout_s()
        )
        if applied.held:
            before: Json = rollout.get("status") or {}
            generation = rollout["metadata"].get("generation", 0)
            after = refused(before, message, generation=generation, now=datetime.now(UTC))
            if after != before:
                self._writer.write_status(rollout, after)

    def _observe(self) -> Observed:
        def of(*kinds: Kind) -> list[Json]:
            return [item for kind in kinds for item in self._watches.caches[kind].objects()]

        return Observed(
            inference_service=next(iter(of(INFERENCE_SERVICE)), None),
            rollout=next(iter(of(ROLLOUT)), None),
            endpoint_slices=of(ENDPOINT_SLICE),
            deployments=of(DEPLOYMENT),
            routes=of(HTTP_ROUTE, GRPC_ROUTE),
            policies=of(POLICY),
            autoscalers=of(AUTOSCALER),
        )
