"""How good a model is on the holdout: measures with 95 % confidence intervals, by bucket, and against another model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Interval
from lead_scoring.core.statistics import average_precision, brier, calibration_error, log_loss, roc_auc, wilson

__all__ = ["MEASURES", "Holdout", "by_bucket", "compare", "intervals", "judge"]

Floats = NDArray[np.float64]
Measure = Callable[[NDArray[np.bool_], Floats, Floats | None], Floats]

MEASURES: dict[str, Measure] = {
    "roc_auc": roc_auc,
    "pr_auc": average_precision,
    "log_loss": log_loss,
    "brier": brier,
    "calibration_error": calibration_error,
}
RESAMPLES = 1000
_AT_ONCE = 50


@dataclass(frozen=True)
class Holdout:
    """The n leads that judge: `group` says which rows are about the same lead; they are resampled together."""

    group: NDArray[np.intp]
    target: NDArray[np.bool_]
    seed: int = 0


def judge(holdout: Holdout, probability: Floats) -> dict[str, Interval]:
    """Return every measure of calibrated probabilities `(n,)`."""
    statistics = {
        name: lambda weights, measure=measure: measure(holdout.target, probability, weights)
        for name, measure in MEASURES.items()
    }
    return intervals(holdout, statistics, lowest=0.0)


def compare(holdout: Holdout, probability: Floats, baseline: Floats) -> dict[str, Interval]:
    """Return how much each measure of a model is above that of a baseline on the same leads, with paired intervals."""

    def difference(measure: Measure) -> Callable[[Floats | None], Floats]:
        return lambda weights: (
            measure(holdout.target, probability, weights) - measure(holdout.target, baseline, weights)
        )

    return intervals(holdout, {name: difference(measure) for name, measure in MEASURES.items()})


def by_bucket(holdout: Holdout, probability: Floats, score: NDArray[np.int32], buckets: int) -> list[dict[str, Any]]:
    """Return for each score from 1: leads, conversions, their rate (Wilson interval) and lift over all (bootstrap)."""
    target = holdout.target

    def lift(bucket: int) -> Callable[[Floats | None], Floats]:
        inside = score == bucket

        def found(weights: Floats | None) -> Floats:
            w = np.ones(len(target)) if weights is None else weights
            with np.errstate(invalid="ignore", divide="ignore"):
                return np.asarray((w @ (inside & target)) / (w @ inside) / ((w @ target) / w.sum(axis=-1)))

        return found

    lifts = intervals(holdout, {str(bucket): lift(bucket) for bucket in range(1, buckets + 1)}, lowest=0.0)
    rows = []
    for bucket in range(1, buckets + 1):
        inside = score == bucket
        leads, conversions = int(inside.sum()), int(target[inside].sum())
        low, high = wilson(conversions, leads)
        conversion = Interval(value=conversions / leads if leads else 0.0, low=low, high=high)
        rows.append(
            {
                "score": bucket,
                "leads": leads,
                "share": leads / len(score),
                "conversions": conversions,
                "mean_probability": float(probability[inside].mean()) if leads else None,
                "conversion": msgspec.to_builtins(conversion),
                "lift": msgspec.to_builtins(lifts[str(bucket)]) if leads else None,
            }
        )
    return rows


def intervals(
    holdout: Holdout, statistics: Mapping[str, Callable[[Floats | None], Floats]], *, lowest: float = -np.inf
) -> dict[str, Interval]:
    """Return each statistic with its 95 % interval from a bootstrap of leads (not rows: a lead's rows go together).

    Each statistic takes weights `(b, n)` and returns `(b,)`, or None for the plain value. Intervals are the
    percentiles, moved by the bootstrap's bias: resampled calibration errors, say, are all too large. The same seed
    gives the same interval.
    """
    rng = np.random.default_rng([holdout.seed, 95])
    _, group = np.unique(holdout.group, return_inverse=True)
    leads = int(group.max()) + 1
    samples: dict[str, list[Floats]] = {name: [] for name in statistics}
    for _ in range(0, RESAMPLES, _AT_ONCE):
        times = np.stack([np.bincount(rng.integers(0, leads, leads), minlength=leads) for _ in range(_AT_ONCE)]).astype(
            np.float64
        )
        weights = times[:, group]
        for name, statistic in statistics.items():
            samples[name].append(statistic(weights))
    return {
        name: _interval(float(statistic(None)), np.concatenate(samples[name]), lowest)
        for name, statistic in statistics.items()
    }


def _interval(value: float, samples: Floats, lowest: float) -> Interval:
    samples = samples[np.isfinite(samples)]
    if not (samples.size and np.isfinite(value)):
        return Interval(value=0.0, low=0.0, high=0.0)
    low, high = (np.quantile(samples, (0.025, 0.975)) - (samples.mean() - value)).tolist()
    return Interval(value=value, low=max(min(low, value), lowest), high=max(high, value))
