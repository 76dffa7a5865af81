"""What the service counts, and how Prometheus is told. `docs/metrics.md` explains every name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lead_scoring.core.features import Encoded
from lead_scoring.core.scoring import Scores
from lead_transformer.tallies import Histogram

__all__ = ["STAGES", "Gauges", "Identity", "Metrics"]

STAGES: Final = ("queue", "decode", "encode", "predict", "postprocess", "respond")
"""Parts of a request's time, in order; reading the body comes before them and is in the whole alone."""

_SECONDS: Final = (
    0.0005,
    0.001,
    0.002,
    0.003,
    0.005,
    0.0075,
    0.01,
    0.015,
    0.02,
    0.03,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.5,
    0.9,
    1.0,
)
_STAGE_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_LEADS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 350, 500)
_PROBABILITIES: Final = tuple(round(0.05 * step, 2) for step in range(1, 20))


@dataclass(frozen=True, slots=True)
class Identity:
    """What every series is labelled with, and what is known once per process."""

    variant: str
    model_name: str
    model_version: str
    digest: str
    software_version: str


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is asked for when Prometheus asks."""

    running: Callable[[], int] = lambda: 0
    waiting: Callable[[], int] = lambda: 0
    ready: Callable[[], bool] = lambda: False


@dataclass(slots=True)
class _Traffic:
    """Counts of either the real requests or the shadow's."""

    scores: list[int]
    missing: NDArray[np.int64]
    imputed: NDArray[np.int64]
    clipped: NDArray[np.int64]
    unknown: NDArray[np.int64]
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    durations: dict[str, Histogram] = field(default_factory=dict)
    stages: list[Histogram] = field(default_factory=lambda: [Histogram(_STAGE_SECONDS) for _ in STAGES])
    leads: Histogram = field(default_factory=lambda: Histogram(_LEADS))
    probability: Histogram = field(default_factory=lambda: Histogram(_PROBABILITIES))


class Metrics(Collector):
    """All counts of one process; updated on the event loop's thread alone."""

    def __init__(self, identity: Identity, features: Sequence[str], buckets: int) -> None:
        """Start at zero.

        Args:
            identity: labels.
            features: names in contract order.
            buckets: how many scores there are.
        """
        self._identity = identity
        self._features = features
        zeros = np.zeros(len(features), dtype=np.int64)
        self._traffic = tuple(
            _Traffic([0] * buckets, zeros.copy(), zeros.copy(), zeros.copy(), zeros.copy()) for _shadow in (False, True)
        )
        self.gauges = Gauges()
        self.rejections: Counter[str] = Counter()
        self.queue_rejections: Counter[str] = Counter()
        self.predictor_failures: Counter[str] = Counter()
        self.predictor_retries = 0
        self.cancelled: Counter[str] = Counter()
        self.deep_checks: Counter[str] = Counter()
        self.lines_dropped: Callable[[], int] = lambda: 0

    def scored(self, shadow: bool, encoded: Encoded, scores: Scores) -> None:
        """Count a batch that was scored."""
        traffic = self._traffic[shadow]
        if len(scores.score) == 1:
            traffic.scores[int(scores.score[0]) - 1] += 1
        else:
            for position, count in enumerate(np.bincount(scores.score, minlength=len(traffic.scores) + 1)[1:].tolist()):
                traffic.scores[position] += count
        traffic.probability.observe_many(scores.probability)
        traffic.leads.observe(len(scores.score))
        traffic.missing += encoded.missing
        traffic.imputed += encoded.imputed
        traffic.clipped += encoded.clipped
        traffic.unknown += encoded.unknown

    def finished(self, shadow: bool, protocol: str, code: str, seconds: float, stages: Sequence[float]) -> None:
        """Count a request that was answered; `stages` are the seconds of the stages that it came through."""
        traffic = self._traffic[shadow]
        traffic.requests[protocol, code] += 1
        duration = traffic.durations.get(protocol)
        if duration is None:
            duration = traffic.durations[protocol] = Histogram(_SECONDS)
        duration.observe(seconds)
        for histogram, spent in zip(traffic.stages, stages, strict=False):
            histogram.observe(spent)

    def collect(self) -> Iterator[Metric]:
        """Yield everything as Prometheus' families."""
        yield from self._collect_requests()
        yield from self._collect_scores()
        yield from self._collect_events()
        yield from self._collect_state()

    def _collect_requests(self) -> Iterable[Metric]:
        requests = CounterMetricFamily("lead_requests", "Requests answered.", labels=[*_LABELS, "protocol", "code"])
        durations = HistogramMetricFamily(
            "lead_request_duration_seconds", "From the request's arrival to its answer.", labels=[*_LABELS, "protocol"]
        )
        stages = HistogramMetricFamily("lead_stage_duration_seconds", "Parts of it.", labels=[*_LABELS, "stage"])
        leads = HistogramMetricFamily("lead_batch_size", "Leads per request that was scored.", labels=_LABELS)
        for labels, traffic in self._each():
            for (protocol, code), count in traffic.requests.items():
                requests.add_metric([*labels, protocol, code], count)
            for protocol, histogram in traffic.durations.items():
                _add(durations, [*labels, protocol], histogram)
            for stage, histogram in zip(STAGES, traffic.stages, strict=True):
                _add(stages, [*labels, stage], histogram)
            _add(leads, labels, traffic.leads)
        return requests, durations, stages, leads

    def _collect_scores(self) -> Iterable[Metric]:
        scores = CounterMetricFamily("lead_scores", "Leads scored, by score.", labels=[*_LABELS, "score"])
        probability = HistogramMetricFamily("lead_probability", "Calibrated probabilities.", labels=_LABELS)
        treated = {
            name: CounterMetricFamily(f"lead_feature_{name}", f"Values that were {name}.", labels=[*_LABELS, "feature"])
            for name in ("missing", "imputed", "clipped", "unknown")
        }
        for labels, traffic in self._each():
            for score, count in enumerate(traffic.scores, start=1):
                scores.add_metric([*labels, str(score)], count)
            _add(probability, labels, traffic.probability)
            for name, family in treated.items():
                for feature, count in zip(self._features, getattr(traffic, name).tolist(), strict=True):
                    family.add_metric([*labels, feature], count)
        return scores, probability, *treated.values()

    def _collect_events(self) -> Iterable[Metric]:
        own = self._own
        for name, text, label, counts in (
            ("lead_rejections", "Requests refused, by what was wrong with them.", "reason", self.rejections),
            ("lead_queue_rejections", "Requests turned away for want of capacity.", "reason", self.queue_rejections),
            ("lead_predictor_failures", "Predictor calls that failed.", "kind", self.predictor_failures),
            ("lead_cancelled_requests", "Requests whose caller went away.", "protocol", self.cancelled),
            ("lead_deep_checks", "Golden leads scored to see whether all is well.", "result", self.deep_checks),
        ):
            family = CounterMetricFamily(name, text, labels=[*_OWN_LABELS, label])
            for value, count in counts.items():
                family.add_metric([*own, value], count)
            yield family
        for name, text, total in (
            ("lead_predictor_retries", "Predictor calls repeated after a connect failure.", self.predictor_retries),
            ("lead_log_lines_dropped", "Log lines lost because nobody read them fast enough.", self.lines_dropped()),
        ):
            counter = CounterMetricFamily(name, text, labels=_OWN_LABELS)
            counter.add_metric(own, total)
            yield counter

    def _collect_state(self) -> Iterable[Metric]:
        for name, text, number in (
            ("lead_requests_in_flight", "Requests in work.", self.gauges.running()),
            ("lead_queue_depth", "Requests that wait for work.", self.gauges.waiting()),
            ("lead_ready", "1 while new requests should come here.", int(self.gauges.ready())),
        ):
            gauge = GaugeMetricFamily(name, text, labels=_OWN_LABELS)
            gauge.add_metric(self._own, number)
            yield gauge
        identity = self._identity
        info = GaugeMetricFamily(
            "lead_model_info", "1, with what is running as labels.",
            labels=[*_OWN_LABELS, "model_name", "digest", "software_version"],
        )  # fmt: skip
        info.add_metric([*self._own, identity.model_name, identity.digest, identity.software_version], 1)
        yield info

    @property
    def _own(self) -> list[str]:
        return [self._identity.variant, self._identity.model_version]

    def _each(self) -> Iterator[tuple[list[str], _Traffic]]:
        """Return labels and counts of the real traffic and, once there was any, of the shadow's."""
        real, shadow = self._traffic
        yield [*self._own, "false"], real
        if shadow.requests:
            yield [*self._own, "true"], shadow


_OWN_LABELS: Final = ["variant", "model_version"]
_LABELS: Final = [*_OWN_LABELS, "shadow"]


def _add(family: HistogramMetricFamily, labels: Sequence[str], histogram: Histogram) -> None:
    family.add_metric(labels, buckets=histogram.cumulative(), sum_value=histogram.total)
