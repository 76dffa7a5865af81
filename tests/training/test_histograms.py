"""Reference histograms count every row once."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest

from lead_scoring.contract.types import Feature, Histogram
from lead_scoring.core import histograms
from lead_scoring.core.features import encode
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.training.dataset import Dataset
from lead_scoring.training.draft import ContractDraft
from lead_scoring.training.draft_files import outline
from lead_scoring.training.parts import Parts

FEATURES = [
    Feature(name="amount", type="number", minimum=0, maximum=100, out_of_range="clip"),
    Feature(name="count", type="integer"),
    Feature(name="flag", type="boolean"),
]


def encoded_of(raw: list[list[float]]) -> object:
    return encode(FeaturePlan(tuple(FEATURES), "id"), np.array(raw, dtype=float), 0.0)


def total(histogram: Histogram) -> int:
    return sum(histogram.counts) + histogram.below + histogram.above + histogram.other + histogram.missing


def referenced(features: list[Feature], found: list[Histogram]) -> list[Feature]:
    return [msgspec.structs.replace(f, reference=h) for f, h in zip(features, found, strict=True)]


def test_every_row_is_in_one_place_of_each_feature(data: Dataset, draft: ContractDraft, parts: Parts) -> None:
    features = [outline(feature) for feature in draft.features]
    found = histograms.reference(features, data.encode(features, parts.train))
    for feature, histogram in zip(features, found, strict=True):
        assert total(histogram) == len(parts.train), feature.name
        assert min(histogram.counts) >= 0
        assert histogram.below == histogram.above == 0
        assert len(histogram.counts) <= max(histograms.MOST_BINS, len(feature.categories or []))


def test_counting_the_same_rows_again_gives_the_reference(data: Dataset, draft: ContractDraft, parts: Parts) -> None:
    features = [outline(feature) for feature in draft.features]
    encoded = data.encode(features, parts.train)
    found = histograms.reference(features, encoded)
    assert histograms.count(referenced(features, found), encoded) == found


def test_unknown_categories_are_other_whatever_their_rule(data: Dataset, draft: ContractDraft) -> None:
    features = [outline(feature) for feature in draft.features]
    rows = np.arange(len(data))
    found = histograms.reference(features, data.encode(features, rows))
    for name in ("industry", "geography"):  # one becomes `other`, the other missing
        column = [feature.name for feature in features].index(name)
        raw = data.raw[:, column]
        assert found[column].other == (raw == -1).sum() > 0
        assert found[column].missing == np.isnan(raw).sum()
        known = raw[raw >= 0].astype(int)
        assert found[column].counts == np.bincount(known, minlength=len(features[column].categories or [])).tolist()


def test_numbers_get_quantile_bins_few_values_get_one_each() -> None:
    rng = np.random.default_rng(0)
    raw = [[value, place % 4, place % 2] for place, value in enumerate(rng.uniform(0, 100, 1000))]
    amount, count, flag = histograms.reference(FEATURES, encoded_of(raw))  # type: ignore[arg-type]
    assert len(amount.counts) == 20
    assert max(amount.counts) - min(amount.counts) <= 2
    assert count.counts == [250] * 4
    assert (flag.edges, flag.counts) == ([0.0, 0.5, 1.0], [500, 500])


def test_later_rows_outside_the_reference_are_below_or_above() -> None:
    first = encoded_of([[value, 5, 1] for value in range(10, 90)])
    features = referenced(FEATURES, histograms.reference(FEATURES, first))  # type: ignore[arg-type]
    later = encoded_of([[5, 4, 0], [95, 6, 1], [np.nan, 5, np.nan], [50, 5, 1]])
    amount, count, flag = histograms.count(features, later)  # type: ignore[arg-type]
    assert (amount.below, amount.above, amount.missing, sum(amount.counts)) == (1, 1, 1, 1)
    assert (count.below, count.above, count.counts) == (1, 1, [2])
    assert (flag.counts, flag.missing) == ([1, 2], 1)


def test_a_column_without_values_is_all_missing() -> None:
    amount, *_ = histograms.reference(FEATURES, encoded_of([[np.nan, 1, 0]] * 3))  # type: ignore[arg-type]
    assert (amount.missing, sum(amount.counts)) == (3, 0)


def test_counting_without_a_reference_is_refused(data: Dataset, draft: ContractDraft) -> None:
    features = [outline(feature) for feature in draft.features]
    few = data.encode(features, np.arange(3))
    with pytest.raises(ValueError, match="company_size has no reference"):
        histograms.count(features, dataclasses.replace(few))
