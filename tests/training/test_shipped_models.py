"""What the repository ships: two real versions, the second truly better, shown on leads that neither has seen."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from lead_scoring.core.calibration import log_odds, probability
from lead_scoring.core.statistics import calibration_error, roc_auc
from lead_scoring.data.builtin import lead_scoring_draft
from lead_scoring.data.leads import generate
from lead_scoring.packaging.verify import Verified, verify
from lead_scoring.training.baseline import Baseline
from lead_scoring.training.booster import contributions, margins
from lead_scoring.training.dataset import Dataset
from lead_scoring.training.judgement import Holdout, by_bucket, compare
from tests.training.conftest import dataset

REPOSITORY = Path(__file__).parents[2] / "model-repo" / "lead-scoring"


@pytest.fixture(scope="module")
def versions() -> dict[str, Verified]:
    return {name: verify(REPOSITORY / name) for name in ("1", "2")}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """20,000 leads of a seed that no shipped version was trained on."""
    return dataset(generate(20_000, seed=4242), lead_scoring_draft(), tmp_path_factory.mktemp("fresh"))


def probabilities(version: Verified, data: Dataset) -> np.ndarray:
    return Baseline(version.contract, version.booster).probability(data, np.arange(len(data)))


def test_version_2_ranks_fresh_leads_better_than_version_1(versions: dict[str, Verified], fresh: Dataset) -> None:
    """The interval of the difference in AUC excludes 0, computed anew with both shipped boosters."""
    holdout = Holdout(fresh.group, fresh.target)
    one, two = (probabilities(versions[name], fresh) for name in ("1", "2"))
    assert compare(holdout, two, one)["roc_auc"].low > 0


def test_the_contract_of_version_2_says_so(versions: dict[str, Verified]) -> None:
    compared = versions["2"].contract.training.compared_with
    assert compared is not None
    assert (compared["model"], compared["version"]) == ("lead-scoring", "1")
    assert compared["difference"]["roc_auc"]["low"] > 0


@pytest.mark.parametrize("name", ["1", "2"])
def test_the_stated_metrics_hold_on_fresh_leads(versions: dict[str, Verified], fresh: Dataset, name: str) -> None:
    contract = versions[name].contract
    found = float(roc_auc(fresh.target, probabilities(versions[name], fresh)))
    stated = contract.training.metrics["roc_auc"]
    assert 0.80 < found < 0.90
    assert stated.low - 0.02 < found < stated.high + 0.02


@pytest.mark.parametrize("name", ["1", "2"])
def test_probabilities_and_scores_mean_what_they_say(versions: dict[str, Verified], fresh: Dataset, name: str) -> None:
    contract = versions[name].contract
    found = probabilities(versions[name], fresh)
    assert calibration_error(fresh.target, found) < 0.02
    score = 1 + np.searchsorted(contract.buckets.edges, found, side="right").astype(np.int32)
    rows = by_bucket(Holdout(fresh.group, fresh.target), found, score, 5)
    rates = [row["conversion"]["value"] for row in rows]
    assert rates == sorted(rates)
    assert [row["share"] for row in rows] == pytest.approx([0.3, 0.25, 0.2, 0.15, 0.1], abs=0.04)


@pytest.mark.parametrize("name", ["1", "2"])
def test_shipped_folders_are_small_complete_and_traceable(versions: dict[str, Verified], name: str) -> None:
    training = versions[name].contract.training
    assert sum(path.stat().st_size for path in (REPOSITORY / name).iterdir()) < 4 * 1024 * 1024
    assert (REPOSITORY / name / "model-card.html").stat().st_size > 10_000
    assert re.fullmatch("[0-9a-f]{40}", training.git_commit)
    assert training.xgboost_version.startswith("3.")
    assert training.trees <= 400
    assert len(versions[name].contract.features) == 50


def test_both_versions_read_the_same_fields(versions: dict[str, Verified]) -> None:
    """So that a request for one is a request for the other."""
    one, two = ([(f.name, f.type, f.nullable) for f in versions[name].contract.features] for name in ("1", "2"))
    assert one == two


@pytest.mark.parametrize("name", ["1", "2"])
def test_contributions_of_500_leads_add_up(versions: dict[str, Verified], fresh: Dataset, name: str) -> None:
    version = versions[name]
    matrix = fresh.encode(version.contract.features, np.arange(500)).matrix
    total = contributions(version.booster, matrix).astype(np.float64).sum(axis=1)
    margin = margins(version.booster, matrix)
    np.testing.assert_allclose(total, margin, atol=1e-5)
    calibrated = probability(log_odds(version.contract.calibration, margin))
    np.testing.assert_array_equal(calibrated, probabilities(version, fresh)[:500])
