"""The made-up leads are reproducible, acceptable to their own contract, and shaped like real ones."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from numpy.typing import NDArray

from lead_scoring.contract.types import Feature
from lead_scoring.core.features import encode
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.core.statistics import roc_auc, wilson
from lead_scoring.data.builtin import lead_scoring_draft
from lead_scoring.data.leads import generate
from lead_scoring.data.population import DAYS, START_S, Drift
from lead_scoring.training.dataset import raw_matrix
from lead_scoring.training.draft_files import outline

LEADS = 20_000


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return generate(LEADS, seed=11)


@pytest.fixture(scope="module")
def features() -> list[Feature]:
    return [outline(feature) for feature in lead_scoring_draft().features]


def moments(table: pa.Table) -> NDArray[np.float64]:
    return np.asarray(table.column("scored_at").cast(pa.int64()).to_numpy() / 1000)


def converted(table: pa.Table) -> NDArray[np.bool_]:
    return np.asarray(table.column("converted").to_numpy())


def rates_differ(target: NDArray[np.bool_], group: NDArray[np.bool_]) -> bool:
    """Whether the 95 % intervals of the conversion rates inside and outside a group are apart."""
    inside = wilson(int(target[group].sum()), int(group.sum()))
    outside = wilson(int(target[~group].sum()), int((~group).sum()))
    return inside[0] > outside[1] or outside[0] > inside[1]


def test_the_50_features_are_those_of_the_built_in_problem() -> None:
    draft = lead_scoring_draft()
    assert [feature.name for feature in draft.features] == [
        "company_size", "industry", "job_title", "seniority_level", "geography", "email_engagement_score",
        "website_sessions", "pages_viewed", "time_on_site", "form_fills", "content_downloads", "campaign_touchpoints",
        "last_campaign_interaction", "account_revenue", "account_employees", "existing_customer",
        *(f"custom_feature_{number}" for number in range(1, 35)),
    ]  # fmt: skip
    assert draft.id_field == "lead_id"
    assert {feature.type for feature in draft.features} == {"number", "integer", "boolean", "category", "timestamp"}
    assert (
        next(feature.type for feature in draft.features if feature.name == "last_campaign_interaction") == "timestamp"
    )


def test_every_rule_that_a_contract_knows_is_used_by_the_built_in_one() -> None:
    features = lead_scoring_draft().features
    assert {feature.out_of_range for feature in features} == {"reject", "clip", "missing"}
    assert {feature.unknown_category for feature in features} == {"reject", "missing", "other"}
    assert {feature.imputation.strategy for feature in features} == {"native", "constant", "median", "most_frequent"}
    assert {feature.nullable for feature in features} == {True, False}
    assert {feature.encoder for feature in features if feature.type == "category"} == {None, "ordinal"}
    assert {feature.personal for feature in features} == {True, False}
    assert all(feature.description for feature in features)


def test_same_seed_same_leads_other_seed_other_leads() -> None:
    assert generate(500, seed=3).equals(generate(500, seed=3))
    one, other = generate(500, seed=3), generate(500, seed=4)
    assert not set(one.column("lead_id").to_pylist()) & set(other.column("lead_id").to_pylist())


def test_columns_are_the_id_the_moment_the_features_and_the_outcome(table: pa.Table, features: list[Feature]) -> None:
    assert table.column_names == ["lead_id", "scored_at", *(feature.name for feature in features), "converted"]
    assert table.num_rows == LEADS


def test_one_lead_is_enough() -> None:
    assert generate(1, seed=0).num_rows == 1


def test_no_lead_breaks_its_own_contract(table: pa.Table, features: list[Feature]) -> None:
    encoded = encode(FeaturePlan(tuple(features), "lead_id"), raw_matrix(features, table), moments(table))
    assert encoded.findings == ()


def test_feeds_hold_unknown_categories_and_values_to_clip_or_drop(table: pa.Table, features: list[Feature]) -> None:
    raw = raw_matrix(features, table)
    encoded = encode(FeaturePlan(tuple(features), "lead_id"), raw, moments(table))
    for column, feature in enumerate(features):
        if feature.type == "category":
            assert (encoded.unknown[column] > 0) == (feature.unknown_category != "reject"), feature.name
        if feature.out_of_range == "clip":
            assert encoded.clipped[column] > 0, feature.name
        if feature.out_of_range == "missing" and feature.maximum is not None:
            assert encoded.missing[column] > np.isnan(raw[:, column]).sum(), feature.name


def test_time_runs_for_about_18_months_with_most_leads_on_weekdays(table: pa.Table) -> None:
    moment = moments(table)
    assert (np.diff(moment) >= 0).all()
    assert START_S <= moment[0] < START_S + 5 * 86_400
    assert START_S + (DAYS - 5) * 86_400 < moment[-1] < START_S + DAYS * 86_400
    weekday = pc.day_of_week(table.column("scored_at")).to_numpy()
    assert 0.02 < (weekday >= 5).mean() < 0.15
    assert (moment > moment.mean()).mean() > 0.5  # business grows


def test_base_rate_is_between_5_and_15_percent(table: pa.Table) -> None:
    assert 0.05 < converted(table).mean() < 0.15


def test_some_leads_come_back_and_remain_the_same_company(table: pa.Table) -> None:
    rows = table.select(["lead_id", "industry", "account_employees", "form_fills"]).to_pandas()
    again = rows[rows.duplicated("lead_id", keep=False)]
    assert 0.05 < len(again) / LEADS < 0.25
    known = again[again.industry != "space_tourism"].groupby("lead_id").industry.nunique()
    assert (known <= 1).all()
    assert again.groupby("lead_id").form_fills.nunique().max() > 1


def test_marginals_are_skewed(table: pa.Table) -> None:
    for name in ("account_revenue", "account_employees", "website_sessions", "pages_viewed", "time_on_site"):
        values = table.column(name).drop_null().to_numpy()
        assert values.mean() > 1.3 * np.median(values), name


@pytest.mark.parametrize("name", ["account_revenue", "email_engagement_score", "custom_feature_10"])
def test_a_missing_value_means_something(table: pa.Table, name: str) -> None:
    assert rates_differ(converted(table), table.column(name).is_null().to_numpy())


@pytest.mark.parametrize("name", ["custom_feature_28", "custom_feature_30", "custom_feature_31", "custom_feature_13"])
def test_some_custom_features_are_noise(table: pa.Table, features: list[Feature], name: str) -> None:
    column = [feature.name for feature in features].index(name)
    values = raw_matrix(features, table)[:, column]
    there = ~np.isnan(values) & (values >= 0)
    assert abs(float(roc_auc(converted(table)[there], values[there])) - 0.5) < 0.03


def test_features_interact(table: pa.Table) -> None:
    """A competitor's contract that is up for renewal is a chance; a fresh one is not."""
    target = converted(table)
    competitor = pc.fill_null(table.column("custom_feature_16"), pa.scalar(False)).to_numpy()
    stage = table.column("custom_feature_9").fill_null("").to_pandas().to_numpy()

    def rate(uses: bool, at: str) -> float:
        return float(target[(competitor == uses) & (stage == at)].mean())

    assert rate(True, "renewal_due") > 1.5 * rate(False, "renewal_due")
    assert rate(True, "early") < rate(False, "early")


def test_covariate_drift_changes_who_comes_and_only_after_it_began() -> None:
    calm, drifted = generate(LEADS, seed=5), generate(LEADS, seed=5, drift=Drift(covariate=1.0, since=0.5))
    early = moments(calm) < START_S + 0.5 * DAYS * 86_400
    late = moments(calm) > START_S + 0.6 * DAYS * 86_400
    small = [np.isin(t.column("company_size").to_pandas(), ("1-10", "11-50")) for t in (calm, drifted)]
    assert small[0][early].tolist() == small[1][early].tolist()
    assert small[1][late].mean() > small[0][late].mean() + 0.2
    retail = [t.column("industry").to_pandas().to_numpy() == "retail" for t in (calm, drifted)]
    assert retail[1][late].mean() > retail[0][late].mean() + 0.08


def test_concept_drift_changes_who_converts_but_not_who_comes() -> None:
    calm, drifted = generate(LEADS, seed=5), generate(LEADS, seed=5, drift=Drift(concept=1.0, since=0.5))
    assert calm.drop(["converted"]).equals(drifted.drop(["converted"]))
    late = moments(calm) > START_S + 0.6 * DAYS * 86_400
    clicks = calm.column("email_engagement_score").fill_null(20.0).to_numpy()
    before, after = (float(roc_auc(converted(t)[late], clicks[late])) for t in (calm, drifted))
    assert after < before - 0.05


def test_100_000_leads_take_seconds() -> None:
    """Seconds of this process's own CPU time, so that a busy machine can't fail it."""
    start = time.process_time()
    generate(100_000, seed=1)
    assert time.process_time() - start < 30
