"""Intervals cover what they should, and know that a lead's rows are not independent."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lead_scoring.core.statistics import roc_auc, wilson
from lead_scoring.training.judgement import MEASURES, Holdout, by_bucket, compare, judge


def sample(rows: int, seed: int) -> tuple[Holdout, NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    probability = rng.beta(1, 8, rows)
    return Holdout(np.arange(rows), rng.random(rows) < probability, seed), probability


def test_every_measure_has_an_interval_around_its_value() -> None:
    holdout, probability = sample(2000, 0)
    found = judge(holdout, probability)
    assert list(found) == list(MEASURES)
    for name, measure in MEASURES.items():
        assert found[name].value == float(measure(holdout.target, probability, None))
        assert 0 <= found[name].low <= found[name].value <= found[name].high


def test_the_same_seed_gives_the_same_interval() -> None:
    holdout, probability = sample(500, 1)
    assert judge(holdout, probability) == judge(holdout, probability)


def test_the_interval_of_the_auc_covers_the_truth_19_times_in_20() -> None:
    """The truth from a million leads; 60 samples of 600: under 50 hits of 60 has a chance below 1 in 1,000 at 95 %."""
    truth_holdout, truth_probability = sample(1_000_000, 99)
    truth = float(roc_auc(truth_holdout.target, truth_probability))
    hits = 0
    for seed in range(60):
        holdout, probability = sample(600, seed)
        interval = judge(holdout, probability)["roc_auc"]
        hits += interval.low <= truth <= interval.high
    assert hits >= 50


def test_rows_of_one_lead_count_as_one() -> None:
    """Every lead four times over: four times the rows, the same width of the interval."""
    holdout, probability = sample(800, 2)
    copies = np.tile(np.arange(800), 4)
    grouped = Holdout(holdout.group[copies], holdout.target[copies], 2)
    pretended = Holdout(np.arange(3200), holdout.target[copies], 2)

    def width(h: Holdout) -> float:
        interval = judge(h, probability[copies])["roc_auc"]
        return interval.high - interval.low

    single = judge(holdout, probability)["roc_auc"]
    assert width(grouped) == pytest.approx(single.high - single.low, rel=0.15)
    assert width(pretended) < 0.65 * width(grouped)


def test_a_better_model_is_told_from_a_worse_one_and_not_from_itself() -> None:
    holdout, probability = sample(3000, 3)
    noisy = np.clip(probability * np.random.default_rng(0).lognormal(0, 1, 3000), 1e-6, 1 - 1e-6)
    difference = compare(holdout, probability, noisy)
    assert difference["roc_auc"].low > 0
    assert difference["log_loss"].high < 0
    itself = compare(holdout, probability, probability)
    assert all((interval.low, interval.value, interval.high) == (0, 0, 0) for interval in itself.values())


def test_pairing_makes_the_interval_of_a_difference_narrower() -> None:
    holdout, probability = sample(3000, 4)
    close = np.clip(probability * np.random.default_rng(0).lognormal(0, 0.2, 3000), 1e-6, 1 - 1e-6)
    paired = compare(holdout, probability, close)["roc_auc"]
    alone = judge(holdout, probability)["roc_auc"]
    assert paired.high - paired.low < 0.6 * (alone.high - alone.low)


def test_buckets_report_conversion_and_lift() -> None:
    holdout, probability = sample(4000, 5)
    score = np.digitize(probability, [0.05, 0.2]).astype(np.int32) + 1
    rows = by_bucket(holdout, probability, score, 3)
    assert [row["score"] for row in rows] == [1, 2, 3]
    assert sum(row["leads"] for row in rows) == 4000
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    for row in rows:
        inside = score == row["score"]
        won = int(holdout.target[inside].sum())
        assert row["conversions"] == won
        assert row["conversion"]["value"] == won / inside.sum()
        assert (row["conversion"]["low"], row["conversion"]["high"]) == wilson(won, int(inside.sum()))
        assert row["lift"]["value"] == pytest.approx(row["conversion"]["value"] / holdout.target.mean())
        assert row["lift"]["low"] < row["lift"]["value"] < row["lift"]["high"]


def test_an_empty_bucket_is_reported_as_empty() -> None:
    holdout, probability = sample(300, 6)
    empty = by_bucket(holdout, probability, np.ones(300, dtype=np.int32), 2)[1]
    assert empty["leads"] == 0
    assert empty["lift"] is None
    assert (empty["conversion"]["low"], empty["conversion"]["high"]) == (0, 1)
