"""Encoders and imputations are learnt from the rows they are given and from nothing else."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest

from lead_scoring.contract.types import Feature, TargetRate
from lead_scoring.errors import TrainingError
from lead_scoring.training.dataset import Dataset
from lead_scoring.training.draft import ContractDraft
from lead_scoring.training.encoders import learn
from lead_scoring.training.parts import Parts


def by_name(features: tuple[Feature, ...]) -> dict[str, Feature]:
    return {feature.name: feature for feature in features}


def test_target_rates_are_smoothed_log_odds(data: Dataset, draft: ContractDraft, parts: Parts) -> None:
    features = by_name(learn(draft, data, parts.train))
    feature = features["geography"]
    assert isinstance(feature.encoder, TargetRate)
    column = [f.name for f in draft.features].index("geography")
    place = (feature.categories or []).index("dach")
    inside = data.raw[parts.train, column] == place
    target = data.target[parts.train]
    rate = (target[inside].sum() + 50 * target.mean()) / (inside.sum() + 50)
    assert feature.encoder.values[place] == pytest.approx(np.log(rate / (1 - rate)), abs=1e-6)


def test_unknown_categories_count_where_their_rule_puts_them(data: Dataset, draft: ContractDraft, parts: Parts) -> None:
    """An unknown industry is `other`, so `other` is learnt with it."""
    feature = by_name(learn(draft, data, parts.train))["industry"]
    assert isinstance(feature.encoder, TargetRate)
    column = [f.name for f in draft.features].index("industry")
    place = (feature.categories or []).index("other")
    values = data.raw[parts.train, column]
    inside = (values == place) | (values == -1)
    assert (values == -1).any()
    target = data.target[parts.train]
    rate = (target[inside].sum() + 50 * target.mean()) / (inside.sum() + 50)
    assert feature.encoder.values[place] == pytest.approx(np.log(rate / (1 - rate)), abs=1e-6)


def test_a_category_that_never_occurs_gets_the_average(data: Dataset, draft: ContractDraft, parts: Parts) -> None:
    changed = [
        msgspec.structs.replace(feature, categories=[*(feature.categories or []), "antarctica"])
        if feature.name == "geography"
        else feature
        for feature in draft.features
    ]
    feature = by_name(learn(msgspec.structs.replace(draft, features=changed), data, parts.train))["geography"]
    assert isinstance(feature.encoder, TargetRate)
    base = data.target[parts.train].mean()
    assert feature.encoder.values[-1] == pytest.approx(np.log(base / (1 - base)), abs=1e-6)


def test_nothing_is_learnt_from_other_rows(data: Dataset, draft: ContractDraft, parts: Parts) -> None:
    """Turning every other outcome and value upside down changes nothing."""
    target, raw = ~data.target, data.raw[::-1].copy()
    target[parts.train], raw[parts.train] = data.target[parts.train], data.raw[parts.train]
    spoilt = dataclasses.replace(data, target=target, raw=raw)
    assert learn(draft, spoilt, parts.train) == learn(draft, data, parts.train)
    assert learn(draft, spoilt, parts.test) != learn(draft, data, parts.test)


def test_imputations_are_medians_and_modes_of_what_serving_would_see(
    data: Dataset, draft: ContractDraft, parts: Parts
) -> None:
    features = by_name(learn(draft, data, parts.train))
    plain = data.encode(list(features.values()), parts.train).plain
    names = list(features)
    spend = plain[:, names.index("custom_feature_21")]
    assert features["custom_feature_21"].imputation.value == np.nanmedian(spend)
    assert features["campaign_touchpoints"].imputation.value in np.unique(plain[:, names.index("campaign_touchpoints")])
    crm = plain[:, names.index("custom_feature_8")]
    counts = np.bincount(crm[~np.isnan(crm)].astype(int))
    assert features["custom_feature_8"].imputation.value == counts.argmax()
    same = features["custom_feature_19"].categories or []
    assert features["custom_feature_19"].imputation.value == same.index("same")  # a constant, as decided


def test_an_imputation_that_no_row_can_teach_is_refused(data: Dataset, draft: ContractDraft, parts: Parts) -> None:
    raw = data.raw.copy()
    raw[:, [feature.name for feature in draft.features].index("custom_feature_21")] = np.nan
    with pytest.raises(TrainingError, match="custom_feature_21: no training row has a value"):
        learn(draft, dataclasses.replace(data, raw=raw), parts.train)
