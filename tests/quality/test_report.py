"""Every planted defect and drift is found, clean leads raise no alarm, and too few leads are never called well."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from lead_scoring.cli import main
from lead_scoring.data.defects import DEFECTS, plant
from lead_scoring.data.leads import generate
from lead_scoring.data.population import Drift
from lead_scoring.data.tables import write_table
from lead_scoring.errors import TableError
from lead_scoring.packaging.verify import Verified
from lead_scoring.quality.page import render
from lead_scoring.quality.report import Question, Report, judge_file
from lead_scoring.quality.verdicts import Thresholds, worst
from lead_scoring.tables.files import open_table
from tests.quality.conftest import MODEL, wrong

LEADS = 5_000
Judge = Callable[..., Report]

FOUND = {
    "unit_change": ("shift", "account_revenue"),
    "null_burst": ("coverage", "email_engagement_score"),
    "category_rename": ("shift", "geography"),
    "constant_column": ("shift", "website_sessions"),
    "stale_timestamps": ("freshness", "last_campaign_interaction"),
    "duplicates": ("duplicates", ""),
    "label_leakage": ("outcomes", "custom_feature_13"),
    "shuffled_labels": ("outcomes", "the score"),
}
"""Where each planted defect must show."""


@pytest.fixture(scope="module")
def clean() -> pa.Table:
    return generate(LEADS, seed=300)


@pytest.mark.parametrize("seed", range(101, 109))
@pytest.mark.parametrize("leads", [500, LEADS])
def test_clean_leads_raise_nothing(judge: Judge, seed: int, leads: int) -> None:
    report = judge(generate(leads, seed=seed), target="converted")
    assert wrong(report) == {}
    assert report.level == "ok"
    assert (report.rows, report.refused, report.extra, report.absent) == (leads, 0, [], [])


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_a_planted_defect_is_found(judge: Judge, clean: pa.Table, defect: str) -> None:
    report = judge(plant(clean, defect, since=0.0), target="converted")
    assert FOUND[defect] in wrong(report)
    assert wrong(report)[FOUND[defect]].level == "alarm"
    assert report.level == "alarm"


def test_every_defect_has_its_place() -> None:
    assert FOUND.keys() == DEFECTS.keys()


@pytest.mark.parametrize("defect", sorted(DEFECTS.keys() - {"label_leakage"}))
def test_a_defect_of_the_newest_third_is_found_too(judge: Judge, clean: pa.Table, defect: str) -> None:
    assert FOUND[defect] in wrong(judge(plant(clean, defect, since=0.7), target="converted"))


def test_another_population_is_found(judge: Judge) -> None:
    report = judge(generate(LEADS, seed=200, drift=Drift(covariate=1.0, since=0.0)))
    assert {("shift", "industry"), ("shift", "geography"), ("shift", "company_size")} <= wrong(report).keys()


def test_another_meaning_is_found_where_outcomes_are_known(judge: Judge) -> None:
    table = generate(LEADS, seed=200, drift=Drift(concept=1.0, since=0.0))
    assert wrong(judge(table)) == {}  # nothing that a feature could show
    assert ("outcomes", "the score") in wrong(judge(table, target="converted"))


def test_rows_that_would_be_refused_are_counted_by_feature_and_reason(judge: Judge, clean: pa.Table) -> None:
    renamed = plant(clean, "category_rename", column="industry", since=0.0)  # unknown ones count as `other` there
    assert wrong(judge(renamed), "violations") == {}
    sizes = clean.column("company_size").to_pylist()
    sizes[100:200] = ["huge"] * 100
    sizes[4_000] = None
    broken = clean.set_column(clean.column_names.index("company_size"), "company_size", pa.array(sizes))
    report = judge(broken)
    checks = {check.message.partition(":")[0]: check for check in report.of("violations")}
    assert report.refused == 101
    assert checks["unknown_category"].level == "alarm"
    assert checks["unknown_category"].figures["rows"] == 100
    assert "rows 101, 102, 103, 104, 105 …" in checks["unknown_category"].message
    assert checks["missing"].level == "warning"
    assert "huge" not in json.dumps(report.as_document())


def test_a_lead_that_comes_twice_with_other_values_is_a_contradiction(judge: Judge, clean: pa.Table) -> None:
    again = clean.slice(0, 60)
    again = again.set_column(again.column_names.index("form_fills"), "form_fills", pa.array([7] * 60, pa.int64()))
    report = judge(pa.concat_tables([clean, again]))
    assert any("contradict an earlier row" in check.message for check in wrong(report, "duplicates").values())


def test_an_old_feed_is_stale(judge: Judge, clean: pa.Table) -> None:
    newest = clean.column("scored_at").to_pylist()[-1].timestamp()
    for days, level in ((1, "ok"), (9, "alarm")):
        report = judge(clean, now_s=newest + days * 86_400, max_age_days=7)
        (check,) = [check for check in report.of("freshness") if not check.feature]
        assert check.level == level
        assert check.figures["age_days"] == pytest.approx(days)


def test_too_few_leads_are_insufficient_and_never_ok(judge: Judge) -> None:
    report = judge(generate(60, seed=1), target="converted")
    assert {check.level for check in report.of("shift")} == {"insufficient"}
    assert {check.level for check in report.of("coverage")} == {"insufficient"}
    assert {check.level for check in report.of("outcomes")} == {"insufficient"}
    assert worst(report.of("violations")) == "insufficient"
    assert report.level == "insufficient"


def test_a_small_batch_can_still_alarm(judge: Judge) -> None:
    report = judge(plant(generate(300, seed=4), "null_burst", since=0.0))
    assert wrong(report)["coverage", "email_engagement_score"].level == "alarm"


def test_a_file_without_rows_is_insufficient(judge: Judge, clean: pa.Table) -> None:
    report = judge(clean.slice(0, 0), target="converted")
    assert (report.rows, report.level, report.period) == (0, "insufficient", None)


def test_without_ids_duplicates_can_t_be_told(judge: Judge, clean: pa.Table) -> None:
    (check,) = judge(clean.drop(["lead_id"])).of("duplicates")
    assert check.level == "insufficient"


def test_a_feature_without_a_column_is_said(judge: Judge, clean: pa.Table) -> None:
    report = judge(clean.drop(["custom_feature_22"]).append_column("note", pa.array(["x"] * LEADS)))
    assert (report.absent, report.extra) == (["custom_feature_22"], ["converted", "note"])
    assert wrong(report)["coverage", "custom_feature_22"].level == "alarm"


def test_unknown_outcomes_are_not_judged(judge: Judge, clean: pa.Table) -> None:
    known = [won if row < 2_000 else None for row, won in enumerate(clean.column("converted").to_pylist())]
    table = clean.set_column(clean.column_names.index("converted"), "converted", pa.array(known))
    whole, part = judge(table, target="converted"), judge(clean.slice(0, 2_000), target="converted")
    assert [c.figures for c in whole.of("outcomes")] == [c.figures for c in part.of("outcomes")]


def test_outcomes_in_words_need_the_positive_one(judge: Judge, clean: pa.Table) -> None:
    words = ["won" if won else "lost" for won in clean.column("converted").to_pylist()]
    table = clean.set_column(clean.column_names.index("converted"), "converted", pa.array(words))
    assert judge(table, target="converted", positive="won").level == "ok"
    with pytest.raises(TableError, match="name the positive outcome with --positive"):
        judge(table, target="converted")
    with pytest.raises(TableError, match="has no column 'sold'"):
        judge(table, target="sold")


@pytest.mark.parametrize("rows", [37, 20_000])
def test_pieces_change_nothing(judge: Judge, clean: pa.Table, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    whole = judge(clean.slice(0, 1_500), target="converted").as_document()
    monkeypatch.setattr("lead_scoring.quality.report._ROWS_AT_ONCE", rows)
    assert judge(clean.slice(0, 1_500), target="converted").as_document() == whole


def test_csv_and_parquet_say_the_same(judge: Judge, clean: pa.Table) -> None:
    documents = [judge(clean, name=name, target="converted").as_document() for name in ("t.csv", "t.parquet")]
    assert {**documents[0], "file": ""} == {**documents[1], "file": ""}


def test_a_feature_without_a_reference_is_not_judged(version: Verified, clean: pa.Table, tmp_path: Path) -> None:
    features = [
        msgspec.structs.replace(one, reference=None) if one.name == "industry" else one
        for one in version.contract.features
    ]
    contract = msgspec.structs.replace(version.contract, features=features)
    bare = replace(version, files=replace(version.files, contract=contract))
    write_table(clean, tmp_path / "t.parquet")
    report = judge_file(bare, open_table(tmp_path / "t.parquet"), Question(as_of=0.0, time="scored_at"))
    assert "industry" not in {check.feature for check in report.of("shift")}
    assert report.level == "ok"


def test_the_limits_are_in_the_report(judge: Judge, clean: pa.Table) -> None:
    assert judge(clean).as_document()["thresholds"] == Thresholds().as_words()
    strict = judge(clean, thresholds=Thresholds(fewest_rows=LEADS + 1))
    assert {check.level for check in strict.of("coverage")} == {"insufficient"}


def test_the_command_its_exit_codes_and_its_page(
    tmp_path: Path, clean: pa.Table, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(clean, tmp_path / "clean.parquet")
    write_table(plant(clean, "category_rename", since=0.0), tmp_path / "bad.parquet")
    mild = plant(clean, "null_burst", column="custom_feature_2", since=0.9)
    write_table(mild, tmp_path / "mild.parquet")
    words = ["--model", str(MODEL), "--time", "scored_at"]
    page = tmp_path / "report.html"
    assert main(["quality", str(tmp_path / "clean.parquet"), *words]) == 0
    assert "in all: ok" in capsys.readouterr().out
    assert main(["quality", str(tmp_path / "bad.parquet"), *words, "--html", str(page)]) == 1
    shown = capsys.readouterr().out
    assert "geography" in shown
    assert "unknown categories" in shown
    text = page.read_text()
    assert "<svg" in text
    assert "geography" in text
    assert "http://" not in text.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    assert "<script" not in text
    assert main(["quality", str(tmp_path / "bad.parquet"), *words, "--fail-on", "never", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["level"], document["areas"]["shift"]) == ("alarm", "alarm")
    assert main(["quality", str(tmp_path / "mild.parquet"), *words]) == 0
    assert main(["quality", str(tmp_path / "mild.parquet"), *words, "--fail-on", "warning"]) == 1
    capsys.readouterr()
    assert main(["quality", str(tmp_path / "absent.parquet"), *words]) == 6
    assert main(["quality", str(tmp_path / "clean.parquet"), "--model", str(tmp_path)]) == 3


def test_names_on_the_page_are_text(judge: Judge) -> None:
    table = generate(400, seed=2)
    report = judge(table.append_column("<script>alert(1)</script>", pa.array(["x"] * 400)))
    assert b"<script>" not in render(report)


def test_a_large_file_takes_seconds(judge: Judge) -> None:
    table = generate(40_000, seed=8)
    began = time.process_time()
    judge(table, target="converted")
    assert time.process_time() - began < 20
