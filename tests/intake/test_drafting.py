"""A draft says of every column what it is, in the table's own words, and what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.errors import ContractError, TableError, TrainingError
from lead_scoring.intake.drafting import Columns, draft_contract
from lead_scoring.training import draft_files
from tests.intake.conftest import NOW, draft_of, feature, left_out, notes
from tests.support.tables import calls_table, leads_table, write

ROWS = 2_000
RNG = np.random.default_rng(5)
WON = (RNG.random(ROWS) < 0.3).astype(int).tolist()
SIGNAL = np.round(RNG.normal(0, 1, ROWS) + np.array(WON), 3).tolist()


def table(**columns: Any) -> dict[str, Any]:
    return {"won": WON, "signal": SIGNAL, **columns}


def one(tmp_path: Path, values: Any, **options: Any) -> Any:
    """Return the draft of a table with one more column."""
    return draft_of(table(x=values), tmp_path / "t.csv", **options).draft


def some(values: list[Any], weights: list[float] | None = None) -> list[Any]:
    """Draw from values; every one of them comes."""
    drawn = RNG.choice(np.array(values, dtype=object), ROWS, p=weights).tolist()
    return [*values, *drawn[len(values) :]]


def test_the_whole_school_table(tmp_path: Path) -> None:
    path = write(leads_table(3_000), tmp_path / "X Education (2026).csv", encoding="utf-8-sig")
    drafted = draft_contract(path, Columns(target="Converted", id="Lead Number"), now=NOW)
    draft = drafted.draft
    assert draft.model.name == "x-education-2026"
    assert (draft.model.target, draft.id_field, draft.positive) == ("Converted is 1", "Lead Number", "1")
    assert (drafted.rows, draft.time_field, draft.as_of) == (3_000, None, "2026-06-01T00:00:00Z")
    names = [found.name for found in draft.features]
    assert len(names) == 32
    assert {"What is your current occupation", "Activity (score) ‹1-20>"} <= set(names)
    city = feature(draft, "City")
    assert set(city.categories or []) == {"Mumbai", "Thane & Outskirts", "Tier II Cities", "Other Cities"}
    assert (city.missing_values, city.nullable, city.unknown_category) == (["Select"], True, "missing")
    source = feature(draft, "Lead Source")
    assert (source.unknown_category, source.other_category, source.nullable) == ("other", "other", False)
    assert "google" in (source.categories or [])
    visits = feature(draft, "TotalVisits")
    assert (visits.type, visits.minimum, visits.out_of_range, visits.nullable) == ("integer", 0, "clip", True)
    assert "leakage: " not in left_out(draft, "Prospect ID").reason
    assert left_out(draft, "Prospect ID").reason.startswith("identifier: 3000 different values")
    assert left_out(draft, "Do Not Call").reason == "constant: every row has No"
    assert left_out(draft, "Specialisation").reason == "duplicate: says what 'Specialization' says, row by row"
    assert any("Will revert after reading the email" in message for message in notes(draft, "leakage", "Tags"))
    assert notes(draft, "name", "Activity (score) ‹1-20>")
    assert "read as utf-8-sig with commas" in notes(draft, "file")
    assert draft_files.decode(draft_files.encode(draft)) == draft


def test_the_whole_calls_table(tmp_path: Path) -> None:
    path = write(calls_table(6_000), tmp_path / "calls.csv", separator=";", quoting=2)
    draft = draft_contract(path, Columns(target="y"), now=NOW).draft
    assert (draft.model.target, draft.positive, draft.id_field, draft.id_from) == ("y is yes", "yes", "row_id", "row")
    assert len(draft.features) == 20
    pdays = feature(draft, "pdays")
    assert (pdays.missing_values, pdays.maximum) == ([999.0], 34.0)
    assert feature(draft, "last_order").missing_values == [-1.0]
    assert feature(draft, "age").missing_values == []
    assert "unknown" in (feature(draft, "job").categories or [])
    assert notes(draft, "absence", "job")
    assert "illiterate" not in (feature(draft, "education").categories or [])
    assert notes(draft, "rare categories", "education") == ["1 with few rows count as other"]
    assert notes(draft, "no id")
    assert notes(draft, "leakage", "duration")
    assert not notes(draft, "leakage", "euribor3m")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (some(["yes", "no"]), {"categories": ["no", "yes"], "unknown_category": "reject", "encoder": "ordinal"}),
        (some(["True", "false"]), {"type": "boolean"}),
        (some([0, 1]), {"type": "integer", "minimum": 0, "maximum": 1, "out_of_range": "reject"}),
        (some([1, 2, 3, 4, 5]), {"type": "integer", "minimum": 1, "maximum": 5, "out_of_range": "clip"}),
        (some(["0.25", "0.5", "1.0"]), {"type": "number", "minimum": 0, "maximum": 1}),
        (some(["-3", "100", "7.5"]), {"type": "number", "minimum": -3, "maximum": 100}),
        (RNG.integers(100, 900, ROWS).tolist(), {"type": "integer", "minimum": 0, "maximum": 1100}),
        (some(["1,200", "3,400", "15"]), {"type": "integer", "minimum": 15, "maximum": 3400}),
        (some(["007", "010", "123"]), {"type": "category", "other_category": "other"}),
        (some(["a", "b", ""]), {"nullable": True, "unknown_category": "missing", "imputation": "native"}),
        (some(["a", "b", "Other"]), {"unknown_category": "other", "other_category": "Other"}),
        (some(["a", "b", "c"]), {"unknown_category": "other", "other_category": "other", "nullable": False}),
        (some(["1", "2", "NA"]), {"type": "integer", "nullable": True, "missing_values": []}),
        (some(["a", "b", "n/a", "Please select"]), {"missing_values": ["n/a", "Please select"]}),
        (some([-1, 0, 1]), {"type": "integer", "missing_values": [], "minimum": -1}),
        (some([0, 1, 2, 3, 4, -9], [0.2, 0.2, 0.2, 0.2, 0.1, 0.1]), {"missing_values": [-9.0], "maximum": 4}),
        (some([20, 30, 50, 70, 98, 99]), {"missing_values": []}),
    ],
)  # fmt: skip
def test_what_a_column_becomes(tmp_path: Path, values: list[Any], expected: dict[str, Any]) -> None:
    found = feature(one(tmp_path, values), "x")
    shown = {name: getattr(found, name) for name in expected}
    if "imputation" in shown:
        shown["imputation"] = found.imputation.strategy
    assert {k: sorted(v) if isinstance(v, list) else v for k, v in shown.items()} == {
        k: sorted(v) if isinstance(v, list) else v for k, v in expected.items()
    }


def test_numbers_get_room_beyond_what_was_seen_and_are_clipped_there(tmp_path: Path) -> None:
    """A tree can't tell values beyond the largest that it saw: clipping changes no score, refusing would lose leads."""
    found = feature(one(tmp_path, np.linspace(10, 110, ROWS).round(2).tolist()), "x")
    assert (found.minimum, found.maximum, found.out_of_range) == (0, 140, "clip")
    found = feature(one(tmp_path, np.linspace(-50, 50, ROWS).round(2).tolist()), "x")
    assert (found.minimum, found.maximum, found.out_of_range) == (-75, 75, "clip")


def test_few_gaps_are_filled_in_and_many_are_left_to_the_model(tmp_path: Path) -> None:
    few, many = [str(value) for value in SIGNAL], [str(value) for value in SIGNAL]
    few[:5], many[:300] = [""] * 5, [""] * 300
    draft = draft_of(table(few=few, many=many[::-1]), tmp_path / "t.csv").draft
    assert feature(draft, "few").imputation.strategy == "median"
    assert feature(draft, "many").imputation.strategy == "native"
    assert feature(draft, "signal").nullable is False


def test_odd_words_among_numbers_are_gaps_and_said(tmp_path: Path) -> None:
    values = [str(value) for value in SIGNAL]
    values[10:30] = ["not measured"] * 20
    draft = one(tmp_path, values)
    found = feature(draft, "x")
    assert found.type == "number"
    assert found.in_files is not None
    assert found.in_files.missing == ["not measured"]
    assert notes(draft, "mixed types", "x")


def test_a_column_half_of_words_is_no_column_of_numbers(tmp_path: Path) -> None:
    assert feature(one(tmp_path, some(["1", "2", "many", "few"])), "x").type == "category"


@pytest.mark.parametrize(
    ("written", "date_format", "ambiguous"),
    [
        ("%Y-%m-%d", None, False),
        ("%Y-%m-%dT%H:%M:%SZ", None, False),
        ("%d.%m.%Y", "%d.%m.%Y", False),
        ("%d/%m/%Y", "%d/%m/%Y", False),
        ("%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M", False),
        ("%d %b %Y", "%d %b %Y", False),
        ("%Y%m%d", None, False),
    ],
)
def test_dates_however_they_are_written(tmp_path: Path, written: str, date_format: str | None, ambiguous: bool) -> None:
    days = [np.datetime64("2026-05-28") - int(day) for day in RNG.integers(0, 400, ROWS)]
    draft = one(tmp_path, [day.item().strftime(written) for day in days])
    found = feature(draft, "x")
    if written == "%Y%m%d":  # looks like a number, and is read as one
        assert found.type == "integer"
        return
    assert found.type == "timestamp"
    assert (found.in_files.date_format if found.in_files else None) == date_format
    assert bool(notes(draft, "dates", "x")) == ambiguous
    assert (found.minimum, found.out_of_range, found.unit) == (0, "clip", "days")


def test_without_a_time_rows_are_scored_when_the_newest_of_their_times_is_over(tmp_path: Path) -> None:
    draft = one(tmp_path, some(["2026-01-01", "2026-03-05"]))
    assert draft.as_of == "2026-03-06T00:00:00Z"
    assert notes(draft, "no time")


def test_ambiguous_dates_are_said(tmp_path: Path) -> None:
    draft = one(tmp_path, some(["01/02/2026", "03/04/2026", "05/06/2025"]))
    assert notes(draft, "dates", "x") == ["day and month could be swapped; read as %m/%d/%Y"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([f"lead {number:05d}" for number in range(ROWS)], "identifier"),
        (list(range(5_000, 5_000 + ROWS)), "identifier"),
        ((np.cumsum(RNG.integers(1, 90, ROWS)) + 10).tolist(), "identifier"),
        (["same"] * ROWS, "constant"),
        ([""] * ROWS, "empty"),
        (["Select"] * ROWS, "empty"),
        (SIGNAL, "duplicate"),
        ([f"{RNG.integers(0, 900)} Main Street" for _ in range(ROWS)], "free text"),
        ([value + 100 * won for value, won in zip(SIGNAL, WON, strict=True)], "leakage"),
        ([f"{RNG.integers(0, 50)}" if won else "" for won in WON], "leakage"),
    ],
    ids=["name", "number", "rising", "constant", "empty", "nothing chosen", "twin", "text", "leak", "gap"],
)  # fmt: skip
def test_columns_that_are_left_out_and_why(tmp_path: Path, values: list[Any], reason: str) -> None:
    draft = one(tmp_path, values)
    assert left_out(draft, "x").reason.startswith(f"{reason}: ")
    assert notes(draft, reason, "x")
    assert [found.name for found in draft.features] == ["signal"]


def test_a_column_in_other_words_is_a_twin(tmp_path: Path) -> None:
    words = some(["red", "green", "blue"])
    codes = [{"red": 7, "green": 1, "blue": 4}[word] for word in words]
    draft = draft_of(table(colour=words, code=codes), tmp_path / "t.csv").draft
    assert left_out(draft, "code").reason == "duplicate: says what 'colour' says, row by row"


def test_a_rare_word_that_knows_the_outcome_is_named(tmp_path: Path) -> None:
    words = some(["a", "b", "c"])
    rare = [row for row, won in enumerate(WON) if won][:30]
    for row in rare:
        words[row] = "contract sent"
    draft = one(tmp_path, words)
    (message,) = notes(draft, "leakage", "x")
    assert message.startswith("of 30 rows with contract sent, 30 are positive (100.0%")
    assert feature(draft, "x")


def test_a_gap_that_knows_the_outcome_is_named(tmp_path: Path) -> None:
    values = [str(value) for value in SIGNAL]
    for row in [row for row, won in enumerate(WON) if not won][:400]:
        values[row] = ""
    assert any(
        message.startswith("of 400 rows with a gap, 0 are") for message in notes(one(tmp_path, values), "leakage", "x")
    )


def test_harmless_columns_raise_no_suspicion(tmp_path: Path) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        columns = {
            f"x{number}": rng.choice(["a", "b", "c", "rare"], ROWS, p=[0.4, 0.3, 0.29, 0.01]).tolist()
            for number in range(10)
        }
        draft = draft_of(table(**columns), tmp_path / "t.csv").draft
        assert not notes(draft, "leakage")
        assert not draft.left_out


def test_a_time_after_the_moment_of_scoring_is_leakage(tmp_path: Path) -> None:
    scored = [f"2026-01-{1 + row * 28 // ROWS:02d}" for row in range(ROWS)]
    paid = [f"2026-02-{1 + row % 28:02d}" if won else "2025-12-01" for row, won in enumerate(WON)]
    draft = draft_of(table(scored=scored, x=paid), tmp_path / "t.csv", time="scored").draft
    assert any("after the moment of scoring" in message for message in notes(draft, "leakage", "x")) or left_out(
        draft, "x"
    )


def test_drift_over_time_is_said_where_there_is_a_time(tmp_path: Path) -> None:
    scored = [f"2026-{1 + row * 12 // ROWS:02d}-01" for row in range(ROWS)]
    late = np.arange(ROWS) > 0.8 * ROWS
    columns = table(
        scored=scored, x=np.where(late, 9.5, RNG.normal(0, 3, ROWS).round(2)).tolist(), y=some(list("abcd"))
    )
    draft = draft_of(columns, tmp_path / "t.csv", time="scored").draft
    assert len(notes(draft, "time drift", "x")) == 1
    assert not notes(draft, "time drift", "y")
    assert not notes(draft, "time drift", "signal")
    assert draft.time_field == "scored"
    assert draft.as_of is None
    drafted = draft_of({**columns, "won": late.astype(int).tolist()[::-1]}, tmp_path / "t.csv", positive=None)
    assert not notes(drafted.draft, "time drift")


def test_a_changing_share_of_outcomes_is_said(tmp_path: Path) -> None:
    scored = [f"2026-{1 + row * 12 // ROWS:02d}-01" for row in range(ROWS)]
    won = (RNG.random(ROWS) < np.where(np.arange(ROWS) < 0.8 * ROWS, 0.15, 0.6)).astype(int).tolist()
    draft = draft_of({"won": won, "signal": SIGNAL, "scored": scored}, tmp_path / "t.csv", time="scored").draft
    assert any("share of positive outcomes goes from" in message for message in notes(draft, "time drift", ""))


def test_rows_that_repeat_across_the_split_are_counted(tmp_path: Path) -> None:
    columns = {name: values[: ROWS // 2] * 2 for name, values in table(y=some(list("abc"))).items()}
    (message,) = notes(draft_of(columns, tmp_path / "t.csv").draft, "duplicate rows")
    counts = re.match(r"(\d+) of 2000 rows repeat another row's features; (\d+) of the (\d+) rows that judge", message)
    assert counts
    assert 1_000 <= int(counts[1]) < 1_100
    assert int(counts[2]) > 0.7 * int(counts[3])
    assert not notes(one(tmp_path, RNG.normal(size=ROWS).tolist()), "duplicate rows")


def test_rows_of_one_lead_are_counted(tmp_path: Path) -> None:
    ids = [str(row // 2) for row in range(ROWS)]
    draft = draft_of(table(lead=ids), tmp_path / "t.csv", id="lead").draft
    assert notes(draft, "repeated ids", "lead") == ["1000 of 2000 rows repeat a lead; its rows stay in one part"]


@pytest.mark.parametrize(
    ("values", "positive", "said", "target"),
    [
        (["yes", "no"], None, "yes", "won is yes"),
        (["Y", "N"], None, "Y", "won is Y"),
        (["churned", "stayed"], "churned", "churned", "won is churned"),
        ([2, 1], "2", "2", "won is 2"),
        (["A", "B", "C"], "A", "A", "won is A"),
        ([1.0, 0.0], None, "1.0", "won is 1.0"),
    ],
)
def test_outcomes(tmp_path: Path, values: list[Any], positive: str | None, said: str, target: str) -> None:
    won = [values[0] if flag else values[1 + row % (len(values) - 1)] for row, flag in enumerate(WON)]
    drafted = draft_of({"won": won, "signal": SIGNAL}, tmp_path / "t.csv", positive=positive)
    assert drafted.base_rate == pytest.approx(np.mean(WON))
    assert (drafted.draft.positive, drafted.draft.model.target) == (said, target)


@pytest.mark.parametrize(
    ("won", "positive", "expected"),
    [
        (["a", "b"], None, r"name the positive one with --positive: it holds (a|b) \(\d+\), (a|b) \(\d+\)"),
        (["a", "b"], "c", "no row has the outcome that --positive names"),
        ([1, 1], None, "all 2000 rows have the same outcome"),
        ([1, 2], None, "name the positive one"),
    ],
)
def test_outcomes_that_can_t_be_told(tmp_path: Path, won: list[Any], positive: str | None, expected: str) -> None:
    values = [won[flag] for flag in WON]
    with pytest.raises(TableError, match=expected):
        draft_of({"won": values, "signal": SIGNAL}, tmp_path / "t.csv", positive=positive)


def test_rows_without_an_outcome_are_left_out_and_said(tmp_path: Path) -> None:
    won = ["" if row % 10 == 0 else flag for row, flag in enumerate(WON)]
    drafted = draft_of({"won": won, "signal": SIGNAL}, tmp_path / "t.csv")
    assert (drafted.rows, drafted.draft.without_outcome) == (1_800, "leave_out")
    assert notes(drafted.draft, "no outcome", "won") == ["200 rows have none and are left out"]


@pytest.mark.parametrize(
    ("options", "changes", "expected"),
    [
        ({"id": "lead"}, {}, "has no column 'lead'; it has won, signal"),
        ({"id": "won"}, {}, "can't be two of target, id and time"),
        ({"id": "x"}, {"x": ["", *range(1, ROWS)]}, "x: 1 of 2000 rows have no id"),
        (
            {"time": "x"},
            {"x": ["soon", *["2026-01-01"] * (ROWS - 1)]},
            "x: 1 of 2000 rows have no time that can be read",
        ),
        ({}, {"signal": [1] * ROWS}, "no column is left that could be a feature"),
    ],
)
def test_tables_that_can_t_be_drafted_from(
    tmp_path: Path, options: dict[str, Any], changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(TableError, match=expected):
        draft_of(table(**changes), tmp_path / "t.csv", **options)


def test_too_few_outcomes_are_refused_before_any_training(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="too few rows for a model that can be judged"):
        draft_of({"won": [1] * 60 + [0] * 1_000, "signal": SIGNAL[:1_060]}, tmp_path / "t.csv")


def test_parquet_says_what_csv_says(tmp_path: Path) -> None:
    """But for what only types tell."""
    columns = leads_table(2_000)
    from_csv = draft_contract(
        write(columns, tmp_path / "t.csv"), Columns(target="Converted", id="Lead Number"), now=NOW
    )
    typed = {name: pa.array([None if value == "" else value for value in values]) for name, values in columns.items()}
    pq.write_table(pa.table(typed), tmp_path / "t.parquet")
    found = draft_contract(tmp_path / "t.parquet", Columns(target="Converted", id="Lead Number"), now=NOW)
    assert found.draft.features == from_csv.draft.features
    assert found.draft.left_out == from_csv.draft.left_out


def test_the_command_writes_a_draft_and_says_what_to_look_at(
    tmp_path: Path, type_in: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(table(x=["same"] * ROWS), tmp_path / "my leads.csv")
    assert type_in("draft", path, "--target", "won", "--leave-out", "x", "--out", tmp_path / "d.json") == 0
    shown = capsys.readouterr().out
    assert "2000 rows" in shown
    assert "left out: somebody said so" in shown
    assert "lead-scoring train --data" in shown
    written = json.loads((tmp_path / "d.json").read_bytes())
    assert written["model"]["name"] == "my-leads"
    assert [one["reason"] for one in written["left_out"]] == ["unwanted: somebody said so"]


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["absent.csv", "--target", "won"], 6, "can't be read as a table"),
        (["t.csv", "--target", "lost"], 6, "has no column 'lost'"),
        (["t.csv", "--target", "won", "--name", "My Model"], 2, "can't be drafted"),
    ],
)
def test_the_command_s_exit_codes(
    tmp_path: Path,
    type_in: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    expected: str,
) -> None:
    write(table(), tmp_path / "t.csv")
    assert type_in("draft", tmp_path / words[0], *words[1:], "--out", tmp_path / "d.json") == code
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "d.json").exists()


def test_a_draft_that_contradicts_itself_is_refused() -> None:
    draft: dict[str, Any] = {
        "model": {"name": "x", "target": "y"}, "time_field": None, "as_of": "2026-01-01",
        "features": [{"name": "a", "type": "number"}],
    }  # fmt: skip
    assert draft_files.decode(json.dumps(draft).encode()).as_of == "2026-01-01"
    for changes, expected in (
        ({"as_of": None}, "needs the moment of scoring of all rows"),
        ({"time_field": "t"}, "every row has its own moment"),
        ({"buckets": {"kind": "capacity", "leads_per_day": 5, "rest": [1.0]}}, "can't be measured without time_field"),
        ({"buckets": {"kind": "nearest_shares", "shares": [0.5, 0.4]}}, "must add up to 1"),
    ):
        with pytest.raises(ContractError, match=expected):
            draft_files.decode(json.dumps({**draft, **changes}).encode())
