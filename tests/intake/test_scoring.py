"""A file is scored by the very steps of serving, and every row that serving would refuse is named."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from lead_scoring.core.assembly import from_records, seconds
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.errors import TableError
from lead_scoring.intake.leads import LeadReader
from lead_scoring.intake.scoring import score_file
from lead_scoring.packaging import booster
from lead_scoring.packaging.offline import score
from lead_scoring.packaging.verify import Verified, verify
from lead_scoring.tables.files import open_table
from tests.intake.conftest import Made
from tests.support.small_model import AS_OF, build, records


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version with a feature of every type; its id is `lead_id`."""
    return build(tmp_path_factory.mktemp("small"))


def write(leads: list[dict[str, Any]], path: Path) -> Path:
    """Write records as a CSV file, as a program would: nothing for null, True and False."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, leads[0])
        writer.writeheader()
        writer.writerows(leads)
    return path


def served(verified: Verified, leads: list[dict[str, Any]], as_of: Any) -> Any:
    """Return what serving answers to the same leads as V1 records."""
    batch = from_records(FeaturePlan.of(verified.contract), leads, max_leads=len(leads))
    return score(verified.contract, booster.margins(verified.booster), batch, as_of).scores


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_gets_the_answers_of_the_service(small: Path, tmp_path: Path, kind: str) -> None:
    verified, leads = verify(small), records(300, seed=3)
    path = write(leads, tmp_path / "leads.csv")
    if kind == "parquet":
        path = tmp_path / "leads.parquet"
        pq.write_table(pa.Table.from_pylist(leads), path)
    out = tmp_path / "scored.parquet"
    outcome = score_file(verified, open_table(path), as_of=seconds(AS_OF), out=out)
    expected = served(verified, leads, seconds(AS_OF))
    found = pq.read_table(out)
    assert (outcome.scored, outcome.refused, outcome.refusals) == (300, 0, [])
    assert found.column("lead_id").to_pylist() == [lead["lead_id"] for lead in leads]
    assert found.column("row_number").to_pylist() == list(range(1, 301))
    for name in ("score", "probability", "confidence"):
        np.testing.assert_array_equal(found.column(name).to_numpy(), getattr(expected, name))
    assert found.column("model_version").to_pylist() == ["1"] * 300
    assert sum(outcome.by_score.values()) == 300


def test_each_row_can_have_its_own_moment(small: Path, tmp_path: Path) -> None:
    verified, leads = verify(small), records(60, seed=4)
    moments = [f"2026-0{6 + row % 3}-01T00:00:00Z" for row in range(60)]
    path = write([{**lead, "asked": moment} for lead, moment in zip(leads, moments, strict=True)], tmp_path / "t.csv")
    out = tmp_path / "scored.parquet"
    score_file(verified, open_table(path), as_of=0.0, time="asked", out=out)
    expected = served(verified, leads, np.array([seconds(moment) for moment in moments]))
    np.testing.assert_array_equal(pq.read_table(out).column("probability").to_numpy(), expected.probability)


def broken(leads: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return leads of which some would be refused, each for one reason but the last, which has two."""
    changes: dict[int, dict[str, Any]] = {
        2: {"size": ""},
        5: {"size": "many"},
        7: {"size": 0},
        11: {"customer": "perhaps"},
        13: {"lead_id": ""},
        17: {"size": 2.5},
        19: {"last_seen": "yesterday"},
        23: {"seniority": "CEO", "size": -1},
    }
    return [{**lead, **changes.get(row, {})} for row, lead in enumerate(leads, start=1)]


REFUSED = [
    (2, "size", "missing"), (5, "size", "wrong_type"), (7, "size", "out_of_range"), (11, "customer", "wrong_type"),
    (13, "lead_id", "missing"), (17, "size", "wrong_type"), (19, "last_seen", "wrong_type"),
    (23, "seniority", "unknown_category"), (23, "size", "out_of_range"),
]  # fmt: skip


def test_refused_rows_are_named_and_the_others_scored(small: Path, tmp_path: Path) -> None:
    verified, leads = verify(small), records(40, seed=5)
    path = write(broken(leads), tmp_path / "t.csv")
    outcome = score_file(verified, open_table(path), as_of=seconds(AS_OF), out=tmp_path / "s.parquet")
    assert sorted((one.row, one.field, one.reason) for one in outcome.refusals) == REFUSED
    gone = {row for row, *_ in REFUSED}
    assert (outcome.scored, outcome.refused) == (40 - len(gone), len(gone))
    kept = [lead for row, lead in enumerate(leads, start=1) if row not in gone]
    expected = served(verified, kept, seconds(AS_OF))
    found = pq.read_table(tmp_path / "s.parquet")
    answered = found.filter(pa.array([value is None for value in found.column("refused").to_pylist()]))
    np.testing.assert_array_equal(answered.column("probability").to_numpy(), expected.probability)
    refused = found.filter(pa.array([value is not None for value in found.column("refused").to_pylist()]))
    assert set(refused.column("row_number").to_pylist()) == gone
    assert refused.column("score").null_count == len(gone)
    text = "\n".join(map(str, outcome.refusals))
    assert "row 7, size: expected a whole number in [1, 1000000] people, got 0; check the unit" in text
    for cell in ("many", "perhaps", "yesterday", "CEO"):
        assert cell not in text


def test_serving_refuses_the_very_same_rows(small: Path) -> None:
    """Each broken lead alone as a record, with the types that JSON has for it."""
    verified = verify(small)
    plan = FeaturePlan.of(verified.contract)
    for row, lead in enumerate(broken(records(40, seed=5)), start=1):
        batch = from_records(
            plan, [{name: None if value == "" else value for name, value in lead.items()}], max_leads=1
        )
        try:
            score(verified.contract, booster.margins(verified.booster), batch, seconds(AS_OF))
            refused = False
        except Exception as error:
            refused = type(error).__name__ == "InvalidLeads"
        assert refused == (row in {number for number, *_ in REFUSED}), row


def test_rows_with_too_many_cells_and_without_a_moment_are_refused(small: Path, tmp_path: Path) -> None:
    path = write(
        [{**lead, "asked": "" if row == 3 else AS_OF} for row, lead in enumerate(records(9), start=1)],
        tmp_path / "t.csv",
    )
    lines = path.read_text().splitlines()
    lines[6] += ",more"
    path.write_text("\n".join(lines) + "\n")
    outcome = score_file(verify(small), open_table(path), as_of=0.0, time="asked")
    assert [(one.row, one.field, one.reason) for one in outcome.refusals] == [
        (3, "asked", "wrong_type"), (6, "the whole row", "ragged"),
    ]  # fmt: skip
    assert (outcome.scored, outcome.refused) == (7, 2)


def test_pieces_change_nothing(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verified = verify(small)
    path = write(broken(records(40, seed=5)), tmp_path / "t.csv")
    found = []
    for rows in (10_000, 7):
        monkeypatch.setattr("lead_scoring.intake.scoring._ROWS_AT_ONCE", rows)
        outcome = score_file(verified, open_table(path), as_of=seconds(AS_OF), out=tmp_path / "s.json")
        found.append((outcome, json.loads((tmp_path / "s.json").read_bytes())))
    assert found[0] == found[1]


def test_optional_columns_may_be_absent_and_required_ones_not(small: Path, tmp_path: Path) -> None:
    contract = verify(small).contract
    plain = [{name: lead[name] for name in ("lead_id", "size", "industry")} for lead in records(5)]
    reader = LeadReader(contract, open_table(write(plain, tmp_path / "t.csv")), as_of=0.0)
    assert reader.absent == ["seniority", "region", "engagement", "revenue", "customer", "last_seen"]
    without = [{"lead_id": lead["lead_id"], "industry": lead["industry"], "note": "x"} for lead in records(5)]
    with pytest.raises(TableError, match="lacks 1 columns that the model needs: 'size'"):
        LeadReader(contract, open_table(write(without, tmp_path / "t.csv")), as_of=0.0)
    with pytest.raises(TableError, match="has no column 'asked'"):
        LeadReader(contract, open_table(write(plain, tmp_path / "t.csv")), as_of=0.0, time="asked")


def test_without_ids_rows_are_known_by_their_number(small: Path, tmp_path: Path) -> None:
    leads = [{name: value for name, value in lead.items() if name != "lead_id"} for lead in records(12)]
    score_file(
        verify(small), open_table(write(leads, tmp_path / "t.csv")), as_of=seconds(AS_OF), out=tmp_path / "s.json"
    )
    assert [row["lead_id"] for row in json.loads((tmp_path / "s.json").read_bytes())] == [str(n) for n in range(1, 13)]


def test_the_table_that_a_model_was_drafted_from_is_scored_in_its_own_words(school: Made, tmp_path: Path) -> None:
    outcome = score_file(verify(school.version), open_table(school.table), as_of=0.0, out=tmp_path / "s.csv")
    assert (outcome.scored, outcome.refused) == (3_000, 0)
    found = pcsv.read_csv(tmp_path / "s.csv")
    assert found.column_names[:2] == ["row_number", "Lead Number"]


def test_the_command_and_its_exit_codes(
    small: Path, tmp_path: Path, type_in: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    sound, bad = write(records(30), tmp_path / "sound.csv"), write(broken(records(30)), tmp_path / "bad.csv")
    model = ["--model", small, "--as-of", AS_OF]
    assert type_in("score", sound, *model) == 0
    assert "30 rows scored by lead-scoring 1 (" in capsys.readouterr().out
    assert type_in("score", bad, *model, "--show", 2, "--refused", tmp_path / "r.csv", "--out", tmp_path / "s.csv") == 1
    shown = capsys.readouterr()
    assert "row 2, size: expected" in shown.out
    assert "… and 7 more problems: all of them are in" in shown.out
    assert "30 rows" in shown.err
    with (tmp_path / "r.csv").open(encoding="utf-8", newline="") as file:
        listed = [(int(row["row"]), row["field"], row["reason"]) for row in csv.DictReader(file)]
    assert sorted(listed) == REFUSED
    assert type_in("score", tmp_path / "absent.csv", *model) == 6
    assert type_in("score", sound, "--model", tmp_path) == 3
    assert type_in("score", sound, *model, "--out", tmp_path / "s.xlsx") == 6
    with pytest.raises(SystemExit) as usage:
        type_in("score", sound, *model, "--time", "last_seen")
    assert usage.value.code == 2
