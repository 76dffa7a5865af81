"""What Prometheus is told; the process's own memory and CPU come with the client library."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from lead_controller.model import Reference, Shares

__all__ = ["Metrics"]

_SHARE = ["inference_service", "variant"]


class Metrics:
    """The figures of one controller, which looks after one InferenceService."""

    def __init__(self, inference_service: str) -> None:
        """Register everything in a registry of its own; counters that may matter start at 0."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each counter
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._name = inference_service
        self._intended = self._gauge(
            "lead_rollout_intended_share", "Percent of the traffic that people ask for.", _SHARE
        )
        self._routed = self._gauge("lead_rollout_routed_share", "Percent of the traffic that the routes give.", _SHARE)
        self._ready = self._gauge("lead_rollout_ready_pods", "Pods that are ready and not terminating.", _SHARE)
        self._needed = self._gauge("lead_rollout_needed_pods", "Pods that would carry the intended share.", _SHARE)
        self._by_variant = (self._intended, self._routed, self._ready, self._needed)
        self._shown: set[str] = set()
        self.leader = self._gauge("lead_rollout_leader", "1 in the replica that acts; only it tells shares and pods.")
        self.leader.set(0)
        self.last_success = self._gauge(
            "lead_rollout_last_success_timestamp_seconds",
            "When this replica last made everything true, as a unix time.",
        )
        self.reconciles = self._counter("lead_rollout_reconciles", "Times that the leader planned.", ["result"])
        self.repairs = self._counter(
            "lead_rollout_repairs", "Objects that somebody else had changed or deleted.", ["kind"]
        )
        self.writes = self._counter("lead_rollout_writes", "Objects written or deleted.", ["kind"])
        self.watch_failures = self._counter("lead_rollout_watch_failures", "Lists and watches that failed.", ["kind"])
        self.duration = Histogram(
            "lead_rollout_reconcile_duration_seconds",
            "From the first change seen to the last write answered, the debounce included.",
            buckets=(0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10),
            registry=self.registry,
        )
        for result in ("success", "error"):
            self.reconciles.labels(result)
        for kind in ("HTTPRoute", "GRPCRoute", "BackendTrafficPolicy", "HorizontalPodAutoscaler"):
            self.repairs.labels(kind)

    def show(self, shares: Shares) -> None:
        """Tell the shares of a plan; variants that are gone are no longer told."""
        names = {each.name for each in shares.variants}
        for gauge in self._by_variant:
            for gone in self._shown - names:
                gauge.remove(self._name, gone)
        self._shown = names
        for each in shares.variants:
            self._intended.labels(self._name, each.name).set(each.intended)
            self._routed.labels(self._name, each.name).set(each.live)
            self._ready.labels(self._name, each.name).set(each.ready)
            self._needed.labels(self._name, each.name).set(each.needed)

    def hide(self) -> None:
        """Tell no shares: another replica does."""
        self.show(Shares())

    def repaired(self, objects: Iterable[Reference]) -> None:
        """Count objects put right."""
        for reference in objects:
            self.repairs.labels(reference.kind).inc()

    def _gauge(self, name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
        return Gauge(name, text, tuple(labels), registry=self.registry)

    def _counter(self, name: str, text: str, labels: Iterable[str]) -> Counter:
        return Counter(name, text, tuple(labels), registry=self.registry)
