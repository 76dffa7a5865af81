"""The recipe is reproducible to the byte and keeps what the draft demands."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from lead_scoring.core.calibration import probability
from lead_scoring.core.statistics import roc_auc
from lead_scoring.errors import TrainingError
from lead_scoring.training.booster import contributions, dump, load_booster, margins
from lead_scoring.training.dataset import Dataset
from lead_scoring.training.draft import ContractDraft
from lead_scoring.training.parts import Parts
from lead_scoring.training.recipe import Fitted, fit
from tests.training.conftest import SEED


def refitted(draft: ContractDraft, data: Dataset, parts: Parts, seed: int = SEED) -> Fitted:
    return fit(draft, data, train=parts.train, stopping=parts.stopping, calibration=parts.calibration, seed=seed)


def test_the_same_seed_gives_the_same_bytes(draft: ContractDraft, data: Dataset, parts: Parts, fitted: Fitted) -> None:
    again = refitted(draft, data, parts)
    assert dump(again.booster) == dump(fitted.booster)
    assert (again.features, again.calibration, again.buckets) == (fitted.features, fitted.calibration, fitted.buckets)


def test_another_seed_gives_another_model(draft: ContractDraft, data: Dataset, parts: Parts, fitted: Fitted) -> None:
    assert dump(refitted(draft, data, parts, seed=SEED + 1).booster) != dump(fitted.booster)


def test_a_model_is_good_at_new_leads(data: Dataset, parts: Parts, fitted: Fitted) -> None:
    """The generator promises 0.80 to 0.90 to a good model; a small one on little data comes near."""
    margin = fitted.margins(data, parts.test).astype(np.float64)
    assert 0.77 < roc_auc(data.target[parts.test], margin) < 0.90


def test_early_stopping_keeps_the_best_trees_only(draft: ContractDraft, data: Dataset, parts: Parts) -> None:
    greedy = msgspec.structs.replace(draft.training, rounds=400, learning_rate=0.5, early_stopping_rounds=10)
    found = refitted(msgspec.structs.replace(draft, training=greedy), data, parts)
    assert found.booster.num_boosted_rounds() < 400
    stopping = data.target[parts.stopping]

    def loss(count: int) -> float:
        part = found.booster[:count]
        margin = margins(part, data.encode(found.features, parts.stopping).matrix).astype(np.float64)
        return float(-np.log(np.where(stopping, probability(margin), 1 - probability(margin))).mean())

    rounds = found.booster.num_boosted_rounds()
    assert loss(rounds) == min(loss(count) for count in range(1, rounds + 1))


def test_monotone_features_never_lower_the_margin(draft: ContractDraft, data: Dataset, parts: Parts) -> None:
    rows = parts.test[:200]

    def falls(monotone: int) -> float:
        features = [
            msgspec.structs.replace(feature, monotone=monotone) if feature.name == "email_engagement_score" else feature
            for feature in draft.features
        ]
        fitted = refitted(msgspec.structs.replace(draft, features=features), data, parts)
        matrix = data.encode(fitted.features, rows).matrix
        column = [feature.name for feature in features].index("email_engagement_score")
        response = []
        for value in np.linspace(0, 100, 60, dtype=np.float32):
            matrix[:, column] = value
            response.append(margins(fitted.booster, matrix))
        return float((np.diff(np.stack(response), axis=0) < 0).mean())

    assert falls(1) == 0
    assert falls(0) > 0  # or the constraint would have had nothing to do


def test_contributions_add_up_to_the_margin(data: Dataset, parts: Parts, fitted: Fitted) -> None:
    matrix = data.encode(fitted.features, parts.test).matrix
    total = contributions(fitted.booster, matrix).astype(np.float64).sum(axis=1)
    np.testing.assert_allclose(total, margins(fitted.booster, matrix), atol=1e-5)


def test_a_model_read_back_predicts_the_same_bits(data: Dataset, parts: Parts, fitted: Fitted) -> None:
    matrix = data.encode(fitted.features, parts.test).matrix
    again = load_booster(dump(fitted.booster))
    np.testing.assert_array_equal(margins(again, matrix), margins(fitted.booster, matrix))
    assert dump(again) == dump(fitted.booster)


def test_scores_follow_the_policy_on_the_calibration_part(data: Dataset, parts: Parts, fitted: Fitted) -> None:
    share = np.bincount(fitted.scores(data, parts.calibration))[1:] / len(parts.calibration)
    assert share.tolist() == pytest.approx([0.3, 0.25, 0.2, 0.15, 0.1], abs=0.01)


def test_probabilities_mean_what_they_say_on_the_test_part(data: Dataset, parts: Parts, fitted: Fitted) -> None:
    found = probability(fitted.log_odds(data, parts.test))
    assert found.mean() == pytest.approx(data.target[parts.test].mean(), abs=0.03)


def test_outcomes_that_nothing_explains_give_no_calibration(draft: ContractDraft, data: Dataset, parts: Parts) -> None:
    """Labels of the calibration part turned round: what the booster learnt is wrong there."""
    target = data.target.copy()
    target[parts.calibration] = fitted_backwards(draft, data, parts)
    turned = dataclasses.replace(data, target=target)
    with pytest.raises(TrainingError, match="has learnt nothing"):
        refitted(draft, turned, parts)


def fitted_backwards(draft: ContractDraft, data: Dataset, parts: Parts) -> NDArray[np.bool_]:
    margin = refitted(draft, data, parts).margins(data, parts.calibration)
    return np.asarray(margin < np.quantile(margin, 0.1))


def test_one_outcome_alone_is_refused(draft: ContractDraft, data: Dataset, parts: Parts) -> None:
    for name in ("train", "stopping", "calibration"):
        rows = {other: getattr(parts, other) for other in ("train", "stopping", "calibration")}
        rows[name] = rows[name][data.target[rows[name]]]
        with pytest.raises(TrainingError, match="leads that converted and leads that did not"):
            fit(draft, data, **rows, seed=0)
