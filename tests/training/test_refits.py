"""Confidence keeps its promise to refits that it has never seen."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from lead_scoring.contract.types import Confidence
from lead_scoring.core.confidence import confidences
from lead_scoring.training.booster import dump
from lead_scoring.training.dataset import Dataset
from lead_scoring.training.draft import ContractDraft
from lead_scoring.training.parts import Parts
from lead_scoring.training.recipe import Fitted
from lead_scoring.training.refits import agreement, learn_confidence, refit

LEVELS = np.arange(0.5, 0.951, 0.05)
ALLOWED = 0.03


@pytest.fixture(scope="module")
def learnt(draft: ContractDraft, data: Dataset, parts: Parts, fitted: Fitted) -> Confidence:
    refits = refit(draft, data, parts, 8, seed=100, workers=2)
    return learn_confidence(fitted, refits, data, parts.calibration)


@pytest.fixture(scope="module")
def seen(draft: ContractDraft, data: Dataset, parts: Parts, fitted: Fitted) -> NDArray[np.float64]:
    """Agreement `(n,)` of each held-out lead over fresh refits."""
    fresh = refit(draft, data, parts, 8, seed=900, workers=2)
    found: NDArray[np.float64] = agreement(fitted, fresh, data, parts.test).mean(axis=0)
    return found


def shortfalls(confidence: NDArray[np.float64], seen: NDArray[np.float64]) -> list[float]:
    """By how much agreement among leads at confidence ≥ c falls short of c, for every level that some lead reaches."""
    return [float(level - seen[confidence >= level].mean()) for level in LEVELS if (confidence >= level).any()]


def test_among_leads_at_confidence_c_fresh_refits_agree_at_least_c(
    data: Dataset, parts: Parts, fitted: Fitted, learnt: Confidence, seen: NDArray[np.float64]
) -> None:
    found = confidences(learnt, fitted.buckets, fitted.log_odds(data, parts.test), fitted.scores(data, parts.test))
    missed = shortfalls(found, seen)
    assert len(missed) == len(LEVELS)  # confidence reaches every level, or the promise would be empty
    assert max(missed) <= ALLOWED


def test_confidence_is_right_in_bands_too_and_on_average(
    data: Dataset, parts: Parts, fitted: Fitted, learnt: Confidence, seen: NDArray[np.float64]
) -> None:
    """Stronger than the promise: not carried by the surest leads."""
    found = confidences(learnt, fitted.buckets, fitted.log_odds(data, parts.test), fitted.scores(data, parts.test))
    assert found.mean() == pytest.approx(seen.mean(), abs=0.06)
    for band in np.array_split(np.argsort(found, kind="stable"), 4):
        assert seen[band].mean() >= found[band].mean() - 0.08
    assert np.corrcoef(found, seen)[0, 1] > 0.4


def test_the_promise_is_broken_by_a_constant_1(
    data: Dataset, parts: Parts, fitted: Fitted, learnt: Confidence, seen: NDArray[np.float64]
) -> None:
    """The same check notices when confidence says nothing."""
    blind = msgspec.structs.replace(learnt, raw=[0.0, 1.0], agreement=[1.0, 1.0])
    found = confidences(blind, fitted.buckets, fitted.log_odds(data, parts.test), fitted.scores(data, parts.test))
    assert max(shortfalls(found, seen)) > ALLOWED


def test_confidence_is_lowest_at_an_edge(fitted: Fitted, learnt: Confidence) -> None:
    edge = fitted.buckets.edges[-1]
    at = float(np.log(edge / (1 - edge)))
    near = confidences(learnt, fitted.buckets, np.array([at + 1e-6, at + 3]), np.array([5, 5], dtype=np.int32))
    assert near[0] < 0.7 < near[1]


def test_workers_change_nothing(draft: ContractDraft, data: Dataset, parts: Parts) -> None:
    one, two = (refit(draft, data, parts, 3, seed=5, workers=workers) for workers in (1, 3))
    assert [dump(fitted.booster) for fitted in one] == [dump(fitted.booster) for fitted in two]
    assert len({dump(fitted.booster) for fitted in one}) == 3


def test_progress_is_told(draft: ContractDraft, data: Dataset, parts: Parts) -> None:
    told: list[int] = []
    refit(draft, data, parts, 2, seed=5, progress=told.append)
    assert told == [1, 2]
