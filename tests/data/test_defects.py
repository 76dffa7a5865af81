"""Each planted defect is there, where it should be and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lead_scoring.core.statistics import roc_auc
from lead_scoring.data.builtin import lead_scoring_draft
from lead_scoring.data.defects import DEFECTS, plant
from lead_scoring.data.leads import generate
from lead_scoring.data.tables import write_table
from lead_scoring.errors import TrainingError
from lead_scoring.training.dataset import load
from lead_scoring.training.draft_files import outline

LEADS = 4000
KEPT = 2800


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return generate(LEADS, seed=2)


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_a_defect_strikes_the_newest_rows_of_one_column_and_is_reproducible(table: pa.Table, defect: str) -> None:
    struck = plant(table, defect, since=0.7)
    assert struck.equals(plant(table, defect, since=0.7))
    assert struck.slice(0, KEPT).equals(table.slice(0, KEPT))
    assert not struck.slice(KEPT).equals(table.slice(KEPT))
    assert struck.schema.equals(table.schema)
    if defect != "duplicates":
        usual, _ = DEFECTS[defect]
        assert struck.drop([usual]).equals(table.drop([usual]))


def test_unit_change_divides_by_a_thousand(table: pa.Table) -> None:
    struck = plant(table, "unit_change", since=0)
    before, after = (t.column("account_revenue").drop_null().to_numpy() for t in (table, struck))
    assert after == pytest.approx(before / 1000)


def test_null_burst_loses_most_values(table: pa.Table) -> None:
    lost = plant(table, "null_burst", column="time_on_site", since=0).column("time_on_site").null_count
    assert lost > 0.85 * LEADS


def test_category_rename_makes_every_category_unknown(table: pa.Table) -> None:
    found = set(plant(table, "category_rename", since=0).column("geography").drop_null().to_pylist())
    known = next(feature.categories for feature in lead_scoring_draft().features if feature.name == "geography") or []
    assert "US EAST" in found
    assert not found & set(known)


def test_constant_column_has_one_value(table: pa.Table) -> None:
    assert len(set(plant(table, "constant_column", since=0).column("website_sessions").to_pylist())) == 1


def test_stale_timestamps_stop(table: pa.Table) -> None:
    struck = plant(table, "stale_timestamps", since=0.5)
    frozen = table.column("scored_at")[LEADS // 2]
    late = struck.column("last_campaign_interaction").slice(LEADS // 2)
    assert pc.max(late).as_py() <= frozen.as_py()
    assert late.null_count == table.column("last_campaign_interaction").slice(LEADS // 2).null_count


def test_duplicates_repeat_whole_rows(table: pa.Table) -> None:
    struck = plant(table, "duplicates", since=0)
    assert 1.25 * LEADS < struck.num_rows < 1.42 * LEADS


def test_label_leakage_gives_the_outcome_away(table: pa.Table) -> None:
    target = table.column("converted").to_numpy()
    leaked = plant(table, "label_leakage", since=0).column("custom_feature_13").to_numpy()
    there = ~np.isnan(leaked)
    assert roc_auc(target[there], leaked[there]) > 0.99


def test_shuffled_labels_say_nothing_but_keep_the_base_rate(table: pa.Table) -> None:
    struck = plant(table, "shuffled_labels", since=0)
    target = struck.column("converted").to_numpy()
    assert target.sum() == table.column("converted").to_numpy().sum()
    downloads = table.column("custom_feature_32").fill_null(50.0).to_numpy()
    assert roc_auc(table.column("converted").to_numpy(), downloads) > 0.6
    assert abs(float(roc_auc(target, downloads)) - 0.5) < 0.06


@pytest.mark.parametrize(
    ("defect", "column", "expected"),
    [
        ("gremlins", None, "there is no defect 'gremlins'; there are category_rename"),
        ("null_burst", "no_such", "no column 'no_such'"),
        ("unit_change", "industry", "can't have it"),
        ("category_rename", "form_fills", "can't have it"),
        ("stale_timestamps", "industry", "can't have it"),
    ],
)
def test_impossible_defects_are_refused(table: pa.Table, defect: str, column: str | None, expected: str) -> None:
    with pytest.raises(TrainingError, match=expected):
        plant(table, defect, column=column)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_files_bring_back_the_same_leads(table: pa.Table, tmp_path: Path, suffix: str) -> None:
    """Whatever the form of the file, training sees the very same numbers."""
    draft = lead_scoring_draft()
    features = [outline(feature) for feature in draft.features]
    write_table(table, tmp_path / f"leads.{suffix}")
    pq.write_table(table, tmp_path / "expected.parquet")
    found, expected = (load(tmp_path / name, draft, features) for name in (f"leads.{suffix}", "expected.parquet"))
    np.testing.assert_array_equal(found.raw, expected.raw)
    np.testing.assert_array_equal(found.target, expected.target)
    np.testing.assert_array_equal(found.moment_s, expected.moment_s)
    np.testing.assert_array_equal(found.group, expected.group)


def test_the_same_table_is_the_same_file(table: pa.Table, tmp_path: Path) -> None:
    write_table(table, tmp_path / "one.parquet")
    write_table(generate(LEADS, seed=2), tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_other_files_and_folders_that_are_not_there_are_refused(table: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"call it \.parquet or \.csv"):
        write_table(table, tmp_path / "leads.xlsx")
    with pytest.raises(TrainingError, match=r"No such file or directory|Failed to open"):
        write_table(table, tmp_path / "nowhere" / "leads.parquet")
