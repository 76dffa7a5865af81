"""From a drafted table to a published version, whatever the table lacks; nothing but the draft is edited."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from lead_scoring.contract import files
from lead_scoring.core.assembly import from_records
from lead_scoring.core.features import encode
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.errors import TrainingError
from lead_scoring.packaging.verify import verify
from lead_scoring.training import draft_files
from lead_scoring.training.candidate import Candidate
from lead_scoring.training.dataset import Dataset, chance_of, load
from lead_scoring.training.draft import ContractDraft, NearestShares
from lead_scoring.training.edges import cut
from lead_scoring.training.parts import divide
from lead_scoring.training.records import to_records
from tests.intake.conftest import QUICK, Made, draft_of, make_version
from tests.support.tables import calls_table, leads_table, write

ROWS = 2_000


def small_table(seed: int = 1, **columns: Any) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    won = rng.random(ROWS) < 0.35
    return {
        "lead": [f"L{row // 2}" for row in range(ROWS)],
        "signal": np.round(rng.normal(0, 1, ROWS) + won, 2).tolist(),
        "City": rng.choice(["Pune", "Select", "Thane", "Atlantis"], ROWS, p=[0.5, 0.2, 0.298, 0.002]).tolist(),
        "days": np.where(rng.random(ROWS) < 0.3, 999, rng.integers(0, 30, ROWS)).tolist(),
        "seen": [f"{1 + int(d):02d}.0{1 + row % 5}.2026" for row, d in enumerate(rng.integers(0, 27, ROWS))],
        "odd": [
            str(value) if row % 50 else "not measured" for row, value in enumerate(rng.integers(0, 9, ROWS).tolist())
        ],
        "won": np.where(won, "ja", "nein").tolist(),
        **columns,
    }


def loaded(folder: Path, table: dict[str, Any], **columns: Any) -> tuple[ContractDraft, Dataset]:
    draft = draft_of(table, folder / "t.csv", positive="ja", id="lead", **columns).draft
    return draft, load(folder / "t.csv", draft, [draft_files.outline(feature) for feature in draft.features])


def test_a_row_is_trained_on_as_a_client_s_lead_is_scored(tmp_path: Path) -> None:
    """No skew: `Select`, 999, unlisted words and other dates become the very numbers that they become as JSON."""
    draft, data = loaded(tmp_path, small_table())
    features = [draft_files.outline(feature) for feature in draft.features]
    plan = FeaturePlan(tuple(features), draft.id_field)
    rows = np.arange(len(data))
    records = to_records(features, draft.id_field, data, rows)
    assert {"Select", "Atlantis"} <= {record["City"] for record in records}
    assert 999 in {record["days"] for record in records}
    batch = from_records(plan, records, max_leads=len(rows))
    assert batch.report.total == 0
    served = encode(plan, batch.raw, data.moment_s, known_bad=batch.known_bad)
    trained = data.encode(features, rows)
    np.testing.assert_array_equal(served.matrix, trained.matrix)
    gaps = dict(zip(plan.names, trained.missing.tolist(), strict=True))
    table = data.table.to_pydict()
    assert gaps["City"] == table["City"].count("Select") > 0
    assert gaps["days"] == table["days"].count("999") > 0
    assert gaps["odd"] == table["odd"].count("not measured") == ROWS // 50


def test_leads_without_a_time_are_split_by_their_id_alone(tmp_path: Path) -> None:
    table = small_table()
    draft, data = loaded(tmp_path, table)
    order = np.random.default_rng(0).permutation(ROWS)
    _, shuffled = loaded(tmp_path, {name: [values[row] for row in order] for name, values in table.items()})
    sets = []
    for found in (data, shuffled):
        parts = divide(found, draft.training.split)
        ids = np.array(found.table.column("lead").to_pylist())
        sets.append([set(ids[rows]) for rows in (parts.train, parts.stopping, parts.calibration, parts.test)])
        assert parts.dropped == 0
        assert parts.summary(found)["by"] == "chance, grouped by lead"
        assert sum(len(part) for part in sets[-1]) == len(set.union(*sets[-1])) == ROWS // 2
    assert sets[0] == sets[1]
    shares = [len(part) / (ROWS // 2) for part in sets[0]]
    assert shares == pytest.approx([0.6, 0.1, 0.15, 0.15], abs=0.01)


def test_a_sorted_file_still_has_both_outcomes_everywhere(tmp_path: Path) -> None:
    """Why it is chance and not the order of the file."""
    table = small_table(lead=[f"L{row}" for row in range(ROWS)])
    order = np.argsort(table["won"], kind="stable")
    draft, data = loaded(tmp_path, {name: [values[row] for row in order] for name, values in table.items()})
    assert divide(data, draft.training.split).test.size


def test_chance_is_even_and_says_the_same_for_an_id_anywhere() -> None:
    ids = pa.array([f"lead-{number}" for number in range(20_000)])
    found = chance_of(ids.dictionary_encode())
    assert found.min() >= 0
    assert found.max() < 1
    assert np.histogram(found, bins=10, range=(0, 1))[0] == pytest.approx([2_000] * 10, abs=200)
    assert chance_of(ids.take([7, 7, 3]).dictionary_encode()).tolist() == found[[7, 7, 3]].tolist()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"positive": "maybe"}, "won: no outcome is 'maybe'"),
        ({"positive": None}, "won: expected outcomes true and false"),
        ({"id_field": "lead", "id_from": "row"}, "lead: is a column of the table"),
        (
            {"time_field": "seen", "as_of": None, "time_format": "%d/%m/%Y"},
            "seen: holds a text that is no %d/%m/%Y time",
        ),
    ],
)
def test_a_draft_that_doesn_t_fit_the_table_is_refused(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    draft, _ = loaded(tmp_path, small_table())
    with pytest.raises(TrainingError, match=expected):
        load(
            tmp_path / "t.csv", msgspec.structs.replace(draft, **changes),
            [draft_files.outline(feature) for feature in draft.features if feature.name != "seen"],
        )  # fmt: skip


def test_cells_that_can_t_be_read_stop_training_and_are_not_quoted(tmp_path: Path) -> None:
    draft, _ = loaded(tmp_path, small_table())
    odd = [
        msgspec.structs.replace(feature, in_files=None) if feature.name == "odd" else feature
        for feature in draft.features
    ]
    with pytest.raises(
        TrainingError, match="odd: 40 of 2000 cells can't be read as integers; name their words"
    ) as refusal:
        load(tmp_path / "t.csv", draft, [draft_files.outline(feature) for feature in odd])
    assert "not measured" not in str(refusal.value)


def test_ragged_rows_stop_training(tmp_path: Path) -> None:
    draft, _ = loaded(tmp_path, small_table())
    with (tmp_path / "t.csv").open("a", encoding="utf-8") as file:
        file.write("one,cell,too,few\n")
    with pytest.raises(
        TrainingError, match="1 rows have more or fewer cells than the header's 7, the first is row 2001"
    ):
        load(tmp_path / "t.csv", draft, [draft_files.outline(feature) for feature in draft.features])


def test_nearest_shares_part_what_can_be_parted() -> None:
    probability = np.repeat([0.05, 0.1, 0.2, 0.3, 0.7], [500, 100, 150, 150, 100])
    buckets = cut(NearestShares(shares=[0.2] * 5), probability, days=1)
    assert buckets.edges == [0.075, 0.15, 0.25, 0.5]
    assert cut(NearestShares(shares=[0.5, 0.5]), probability, days=1).edges == [0.075]
    even = np.linspace(0.01, 0.99, 1_000)
    assert cut(NearestShares(shares=[0.25] * 4), even, days=1).edges == pytest.approx([0.255, 0.5, 0.745], abs=1e-3)
    with pytest.raises(TrainingError, match="5 different probabilities, too few for 6 scores"):
        cut(NearestShares(shares=[0.1] * 5 + [0.5]), probability, days=1)


def test_a_version_made_of_a_table_speaks_its_words(school: Made) -> None:
    verified = verify(school.version)
    contract = verified.contract
    assert (contract.model.name, contract.id_field, contract.model.target) == (
        "online-school", "Lead Number", "Converted is 1",
    )  # fmt: skip
    names = [feature.name for feature in contract.features]
    assert "Tags" not in names
    assert "What is your current occupation" in names
    assert contract.training.split["by"] == "chance, grouped by lead"
    assert verified.leads >= 50
    city = next(feature for feature in contract.features if feature.name == "City")
    assert city.missing_values == ["Select"]
    card = (school.version / "model-card.html").read_text()
    assert "Converted is 1" in card
    assert "What is your current occupation" in card
    assert "kept back by chance" in card
    assert "newest" not in card


def test_an_edited_draft_is_what_is_trained(tmp_path: Path, type_in: Callable[..., int]) -> None:
    path, draft = write(small_table(), tmp_path / "t.csv"), tmp_path / "d.json"
    assert type_in("draft", path, "--target", "won", "--positive", "ja", "--id", "lead", "--out", draft) == 0
    edited = json.loads(draft.read_bytes())
    edited["features"] = [
        {**one, "description": "Where they live.", "personal": True} if one["name"] == "City" else one
        for one in edited["features"]
        if one["name"] != "odd"
    ]
    edited["buckets"] = {"kind": "nearest_shares", "shares": [0.5, 0.3, 0.2]}
    draft.write_text(json.dumps(edited))
    candidate = tmp_path / "candidate"
    words = [
        "train",
        "--data",
        path,
        "--draft",
        draft,
        "--version",
        "1",
        "--out",
        candidate,
        "--git-commit",
        "x",
        *QUICK,
    ]
    assert type_in(*words) == 0
    contract = Candidate.read(candidate).contract
    city = next(feature for feature in contract.features if feature.name == "City")
    assert (city.description, city.personal) == ("Where they live.", True)
    assert "odd" not in [feature.name for feature in contract.features]
    assert len(contract.buckets.edges) == 2
    again = tmp_path / "again"
    assert type_in(*[again if word is candidate else word for word in words]) == 0
    assert (again / "contract.json").read_bytes() == (candidate / "contract.json").read_bytes()
    assert (again / "model.ubj").read_bytes() == (candidate / "model.ubj").read_bytes()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "rows", "options"),
    [("school", 9_000, ["--target", "Converted", "--id", "Lead Number"]), ("calls", 45_000, ["--target", "y"])],
)
def test_large_tables_take_less_than_a_minute_of_two_cores(
    tmp_path: Path, type_in: Callable[..., int], name: str, rows: int, options: list[str]
) -> None:
    """Draft, train with all the defaults, package. CPU time and not the clock: the machine may be busy."""
    columns = leads_table(rows) if name == "school" else calls_table(rows)
    path = write(columns, tmp_path / "t.csv", separator="," if name == "school" else ";")
    began = time.process_time()
    draft, candidate = tmp_path / "d.json", tmp_path / "candidate"
    assert type_in("draft", path, *options, "--name", name, "--out", draft) == 0
    assert type_in("train", "--data", path, "--draft", draft, "--version", "1", "--out", candidate) == 0
    assert type_in("package", candidate, "--repository", tmp_path / "model-repo") == 0
    assert time.process_time() - began < 60  # one core's; two have 120
    contract = files.read(tmp_path / "model-repo" / name / "1" / "contract.json")
    assert len(contract.features) == len(columns) - {"school": 5, "calls": 1}[name]
    assert contract.training.metrics["roc_auc"].low > 0.7


def test_a_table_with_times_is_split_by_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    scored = [
        f"{1 + int(day):02d}/{1 + row * 12 // ROWS:02d}/2025 14:30" for row, day in enumerate(rng.integers(0, 28, ROWS))
    ]
    table = small_table(scored=scored, seen=[f"2024-{1 + row % 12:02d}-11" for row in range(ROWS)])
    path = write(table, tmp_path / "t.csv")
    options = ["--target", "won", "--positive", "ja", "--id", "lead", "--time", "scored"]
    contract = files.read(make_version(tmp_path, path, *options, name="timed") / "contract.json")
    assert contract.training.split["by"] == "time, grouped by lead"
    assert contract.training.split["train"]["to"] < contract.training.split["test"]["from"]
    assert contract.training.period[1].startswith("2025-12-")
    seen = next(feature for feature in contract.features if feature.name == "seen")
    assert seen.type == "timestamp"
    assert "newest" in (tmp_path / "model-repo" / "timed" / "1" / "model-card.html").read_text()
