"""From a draft and a table to a candidate: reproducible, complete, and for any draft."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET  # the card's own drawings

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from lead_scoring.contract import files
from lead_scoring.core.assembly import from_records, seconds
from lead_scoring.core.features import encode
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.core.scoring import interpret
from lead_scoring.errors import ContractError, TrainingError
from lead_scoring.packaging.publishing import publish
from lead_scoring.packaging.verify import verify
from lead_scoring.training import draft_files
from lead_scoring.training.baseline import Baseline
from lead_scoring.training.booster import load_booster, margins
from lead_scoring.training.candidate import CARD, Candidate
from lead_scoring.training.dataset import Dataset
from lead_scoring.training.draft import ContractDraft, Probabilities
from lead_scoring.training.parts import Parts
from lead_scoring.training.pipeline import Origin, train
from tests.training.conftest import dataset

ORIGIN = Origin(version="1", seed=7, author="tests", git_commit="0" * 40)


@pytest.fixture(scope="module")
def candidate(draft: ContractDraft, data: Dataset) -> Candidate:
    return train(draft, data, ORIGIN)


@pytest.fixture(scope="module")
def baseline(draft: ContractDraft, data: Dataset) -> Baseline:
    """A version of five small trees."""
    dull = msgspec.structs.replace(draft.training, max_depth=2, rounds=5, learning_rate=0.3, refits=4)
    few = Probabilities(edges=[0.06, 0.1, 0.2])
    found = train(msgspec.structs.replace(draft, training=dull, buckets=few), data, ORIGIN)
    return Baseline(found.contract, load_booster(found.model))


def test_the_same_arguments_give_the_same_bytes(draft: ContractDraft, data: Dataset, candidate: Candidate) -> None:
    again = train(draft, data, ORIGIN, workers=3)
    assert again.model == candidate.model
    assert files.encode(again.contract) == files.encode(candidate.contract)
    assert again.card == candidate.card
    assert again.pool == candidate.pool


def test_the_contract_says_where_the_model_comes_from(
    draft: ContractDraft, data: Dataset, parts: Parts, candidate: Candidate
) -> None:
    training = candidate.contract.training
    assert training.data_sha256 == data.sha256
    assert training.feature_set_sha256 == files.feature_set_sha256(candidate.contract.features)
    assert training.rows == len(data)
    assert training.base_rate == data.target.mean()
    assert training.trees == load_booster(candidate.model).num_boosted_rounds()
    assert training.split["test"]["rows"] == len(parts.test)
    assert training.parameters["max_depth"] == draft.training.max_depth
    assert training.parameters["xgboost"]["nthread"] == 1
    assert (training.author, training.git_commit, training.seed) == ("tests", "0" * 40, 7)
    assert set(training.metrics) == {"roc_auc", "pr_auc", "log_loss", "brier", "calibration_error"}
    assert [row["score"] for row in training.by_bucket] == [1, 2, 3, 4, 5]
    assert training.compared_with is None
    assert candidate.contract.golden.leads == []


def test_what_was_decided_is_in_the_contract_unchanged(draft: ContractDraft, candidate: Candidate) -> None:
    for decided, feature in zip(draft.features, candidate.contract.features, strict=True):
        for name in (
            "name",
            "type",
            "unit",
            "minimum",
            "maximum",
            "categories",
            "nullable",
            "out_of_range",
            "monotone",
        ):
            assert getattr(feature, name) == getattr(decided, name)
        assert feature.imputation.strategy == decided.imputation.strategy
        assert feature.reference is not None


def test_conversion_rises_with_the_score(candidate: Candidate) -> None:
    rates = [row["conversion"]["value"] for row in candidate.contract.training.by_bucket]
    assert rates == sorted(rates)
    assert rates[-1] > 5 * rates[0]


def test_metrics_are_those_of_the_test_part(data: Dataset, parts: Parts, candidate: Candidate) -> None:
    from sklearn.metrics import roc_auc_score

    matrix = data.encode(candidate.contract.features, parts.test).matrix
    answers = interpret(candidate.contract, margins(load_booster(candidate.model), matrix))
    found = candidate.contract.training.metrics["roc_auc"].value
    assert found == pytest.approx(roc_auc_score(data.target[parts.test], answers.probability), abs=1e-12)


def test_the_pool_scores_over_the_whole_range(candidate: Candidate) -> None:
    contract = candidate.contract
    plan = FeaturePlan.of(contract)
    batch = from_records(plan, list(candidate.pool), max_leads=len(candidate.pool))
    encoded = encode(plan, batch.raw, seconds(contract.golden.as_of), known_bad=batch.known_bad)
    assert batch.report.total == 0
    assert encoded.findings == ()
    score = interpret(contract, margins(load_booster(candidate.model), encoded.matrix)).score
    assert set(score.tolist()) == {1, 2, 3, 4, 5}


def test_a_baseline_is_compared_on_the_same_leads(
    draft: ContractDraft, data: Dataset, parts: Parts, baseline: Baseline
) -> None:
    found = train(draft, data, ORIGIN, baseline=baseline)
    compared = found.contract.training.compared_with
    assert compared is not None
    assert compared["version"] == "1"
    assert compared["rows"] == len(parts.test)
    auc = compared["difference"]["roc_auc"]
    own = found.contract.training.metrics["roc_auc"].value
    assert auc["value"] == pytest.approx(own - compared["baseline"]["roc_auc"]["value"])
    assert auc["low"] > 0
    assert b"Difference" in found.card


def test_a_baseline_that_can_not_read_the_table_is_refused(
    draft: ContractDraft, data: Dataset, baseline: Baseline
) -> None:
    strict = [
        msgspec.structs.replace(feature, maximum=3, out_of_range="reject")
        if feature.name == "pages_viewed"
        else feature
        for feature in baseline.contract.features
    ]
    contract = msgspec.structs.replace(baseline.contract, features=strict)
    with pytest.raises(
        TrainingError, match=r"the baseline refuses \d+ of the test rows \(pages_viewed: out_of_range\)"
    ):
        train(draft, data, ORIGIN, baseline=Baseline(contract, baseline.booster))


@pytest.mark.parametrize("version", ["../1", "", "a b", "1/2", "x" * 40])
def test_a_version_that_is_no_folder_name_is_refused(draft: ContractDraft, data: Dataset, version: str) -> None:
    with pytest.raises(TrainingError, match="can't be called that"):
        train(draft, data, Origin(version=version, seed=0, author="", git_commit=""))


def test_the_card_needs_nothing_else_and_shows_every_picture(candidate: Candidate) -> None:
    page = candidate.card.decode()
    assert not re.search(r"(src|href)=\"(?!#)(?!data:)", page.replace('xlink:href="#', ""))
    assert "@import" not in page
    assert "<script" not in page
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 6
    for drawing in drawings:
        assert len(ET.fromstring(drawing).findall(".//{http://www.w3.org/2000/svg}path")) > 5  # noqa: S314
    for feature in candidate.contract.features:
        assert feature.name in page
    for row in candidate.contract.training.by_bucket:
        assert f"{row['conversion']['value']:.4f}" in page
    assert f"{candidate.contract.training.metrics['roc_auc'].low:.4f}" in page


def test_the_card_escapes_what_people_wrote(draft: ContractDraft, data: Dataset) -> None:
    rude = msgspec.structs.replace(
        draft,
        model=msgspec.structs.replace(draft.model, description="<script>alert(1)</script>"),
        training=msgspec.structs.replace(draft.training, rounds=20, refits=4),
    )
    assert b"<script" not in train(rude, data, ORIGIN).card


def test_a_candidate_survives_being_written(candidate: Candidate, tmp_path: Path) -> None:
    candidate.write(tmp_path / "candidate")
    assert Candidate.read(tmp_path / "candidate") == candidate


def test_a_folder_in_use_is_not_overwritten(candidate: Candidate, tmp_path: Path) -> None:
    (tmp_path / "something").write_text("mine")
    with pytest.raises(TrainingError, match="is not empty"):
        candidate.write(tmp_path)
    with pytest.raises(TrainingError, match=r"Not a directory|File exists"):
        candidate.write(tmp_path / "something")


@pytest.mark.parametrize(
    ("name", "contents", "error"),
    [
        ("model.ubj", None, TrainingError),
        ("holdout-leads.json", b"{", TrainingError),
        ("holdout-leads.json", b"[1]", TrainingError),
        ("contract.json", b"{}", ContractError),
        ("contract.json", None, ContractError),
    ],
)
def test_a_broken_candidate_is_refused(
    candidate: Candidate, tmp_path: Path, name: str, contents: bytes | None, error: type[Exception]
) -> None:
    candidate.write(tmp_path / "candidate")
    if contents is None:
        (tmp_path / "candidate" / name).unlink()
    else:
        (tmp_path / "candidate" / name).write_bytes(contents)
    with pytest.raises(error, match=name):
        Candidate.read(tmp_path / "candidate")


def churn_draft() -> ContractDraft:
    return draft_files.decode(
        json.dumps(
            {
                "model": {"name": "churn", "target": "the subscription ends"},
                "id_field": "customer_no",
                "time_field": "billed_at",
                "target_field": "left",
                "features": [
                    {"name": "Anzahl Käufe", "type": "integer", "minimum": 0, "imputation": {"strategy": "median"}},
                    {"name": "plan", "type": "category", "categories": ["basic", "pro", "?"], "nullable": False,
                     "unknown_category": "other", "other_category": "?"},
                    {"name": "last_login", "type": "timestamp", "minimum": 0, "maximum": 400, "out_of_range": "clip"},
                    {"name": "balance", "type": "number", "minimum": -100, "out_of_range": "missing"},
                    {"name": "paper & pen> $x_$", "type": "boolean"},
                ],
                "buckets": {"kind": "capacity", "leads_per_day": 2.0, "rest": [0.6, 0.4]},
                "training": {"rounds": 40, "max_depth": 3, "refits": 4, "learning_rate": 0.2},
            }
        ).encode()
    )  # fmt: skip


def churn_table(rows: int = 3000) -> pa.Table:
    rng = np.random.default_rng(8)
    billed = np.sort(rng.integers(1_700_000_000, 1_730_000_000, rows))
    plan = rng.integers(0, 4, rows)
    login = rng.exponential(60, rows)
    log_odds = -2.5 + 0.02 * login - 0.8 * (plan == 1)
    return pa.table(
        {
            "customer_no": rng.integers(0, 2500, rows),
            "billed_at": pa.array(billed * 1000).cast(pa.timestamp("ms", tz="UTC")),
            "Anzahl Käufe": pa.array(rng.poisson(3, rows), mask=rng.random(rows) < 0.1),
            "plan": pa.array(np.array(["basic", "pro", "?", "unheard of"])[plan]),
            "last_login": pa.array((billed - login * 86_400).astype(int) * 1000).cast(pa.timestamp("ms", tz="UTC")),
            "balance": pa.array(rng.normal(50, 100, rows)),
            "paper & pen> $x_$": pa.array(rng.random(rows) < 0.3, mask=rng.random(rows) < 0.5),
            "left": pa.array(rng.random(rows) < 1 / (1 + np.exp(-log_odds))),
        }
    )


def test_any_draft_becomes_a_published_version(tmp_path: Path) -> None:
    """Other names, other columns, another policy: nothing here knows about leads."""
    draft = churn_draft()
    found = train(draft, dataset(churn_table(), draft, tmp_path), ORIGIN)
    assert found.contract.model.name == "churn"
    assert len(found.contract.buckets.edges) == 2
    assert found.contract.training.metrics["roc_auc"].low > 0.6
    folder = publish(
        tmp_path / "repo", found.contract, found.model, found.pool,
        as_of=found.contract.golden.as_of, extra={CARD: found.card},
    )  # fmt: skip
    assert folder == tmp_path / "repo" / "churn" / "1"
    assert verify(folder).leads >= 50
    assert "Anzahl Käufe" in found.card.decode()
    assert found.card.count(b"paper &amp; pen&gt; $x_$") == 2  # in the table and in a picture
