"""A table is read as serving reads leads, and refused where no honest training can come of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lead_scoring.core.assembly import from_records
from lead_scoring.core.features import encode
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.data.tables import write_table
from lead_scoring.errors import TrainingError
from lead_scoring.training.dataset import Dataset, load
from lead_scoring.training.draft import ContractDraft
from lead_scoring.training.draft_files import outline
from lead_scoring.training.records import to_records
from tests.training.conftest import dataset


def replaced(table: pa.Table, name: str, values: object, kind: pa.DataType | None = None) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values, type=kind))


def test_training_reads_the_same_numbers_as_serving(data: Dataset, draft: ContractDraft) -> None:
    """No skew: a row as a V1 record becomes the very matrix that the booster was trained on."""
    features = [outline(feature) for feature in draft.features]
    plan = FeaturePlan(tuple(features), draft.id_field)
    rows = np.arange(0, len(data), 4)
    batch = from_records(plan, to_records(features, draft.id_field, data, rows), max_leads=len(rows))
    assert batch.report.total == 0
    served = encode(plan, batch.raw, data.moment_s[rows], known_bad=batch.known_bad)
    np.testing.assert_array_equal(served.matrix, data.encode(features, rows).matrix)
    assert batch.lead_ids == data.table.column("lead_id").take(pa.array(rows)).to_pylist()


def test_rows_come_oldest_first_whatever_the_order_of_the_table(
    table: pa.Table, data: Dataset, draft: ContractDraft, tmp_path: Path
) -> None:
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(table.num_rows)))
    found = dataset(shuffled, draft, tmp_path)
    assert (np.diff(found.moment_s) >= 0).all()
    assert found.target.sum() == data.target.sum()


def test_other_forms_of_the_same_column_are_the_same(
    table: pa.Table, data: Dataset, draft: ContractDraft, tmp_path: Path
) -> None:
    """Dictionaries for texts, numbers for booleans, texts for times, microseconds for milliseconds."""
    other = replaced(table, "industry", table.column("industry").combine_chunks().dictionary_encode())
    other = replaced(other, "custom_feature_5", table.column("custom_feature_5").cast(pa.int8()).combine_chunks())
    texts = [None if moment is None else moment.isoformat() for moment in table.column("custom_feature_10").to_pylist()]
    other = replaced(other, "custom_feature_10", texts)
    other = replaced(other, "scored_at", table.column("scored_at").cast(pa.timestamp("us", tz="UTC")).combine_chunks())
    other = replaced(other, "converted", table.column("converted").cast(pa.int32()).combine_chunks())
    found = dataset(other, draft, tmp_path)
    np.testing.assert_array_equal(found.raw, data.raw)
    np.testing.assert_array_equal(found.moment_s, data.moment_s)
    np.testing.assert_array_equal(found.target, data.target)


def test_a_few_rows_that_serving_would_refuse_are_left_out_and_counted(
    table: pa.Table, draft: ContractDraft, tmp_path: Path
) -> None:
    fills = table.column("form_fills").to_pylist()
    fills[:5] = [1000] * 5
    found = dataset(replaced(table, "form_fills", fills), draft, tmp_path)
    assert len(found) == table.num_rows - 5
    assert found.refused == {"form_fills: out_of_range": 5}


def test_many_rows_that_serving_would_refuse_stop_training(
    table: pa.Table, draft: ContractDraft, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"refuse 100\.0% of the rows \(form_fills: out_of_range in 8000 rows\)"):
        dataset(replaced(table, "form_fills", [1000] * table.num_rows), draft, tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "kind", "expected"),
    [
        ("lead_id", None, pa.string(), "lead_id: missing in 1 of 8000 rows"),
        ("scored_at", None, pa.timestamp("ms", tz="UTC"), "scored_at: missing in 1 of"),
        ("converted", None, pa.bool_(), "converted: missing in 1 of"),
        ("converted", 2, pa.int8(), "neither true nor false"),
    ],
)
def test_every_row_needs_an_id_a_time_and_an_outcome(
    table: pa.Table, draft: ContractDraft, tmp_path: Path, name: str, value: object, kind: pa.DataType, expected: str
) -> None:
    values = table.column(name).cast(kind).to_pylist()
    values[17] = value
    with pytest.raises(TrainingError, match=expected):
        dataset(replaced(table, name, values, kind), draft, tmp_path)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("form_fills", pa.string(), "form_fills: expected a column of integers, got string"),
        ("form_fills", pa.bool_(), "form_fills: expected a column of integers, got booleans"),
        ("industry", pa.int32(), "industry: expected a column of texts, got int32"),
        ("last_campaign_interaction", pa.bool_(), "expected a column of times, got bool"),
        ("scored_at", pa.string(), "scored_at: holds a text that is no RFC 3339 time"),
        ("converted", pa.string(), "converted: expected outcomes true and false"),
    ],
)
def test_a_column_of_the_wrong_kind_is_refused(
    table: pa.Table, draft: ContractDraft, tmp_path: Path, name: str, kind: pa.DataType, expected: str
) -> None:
    values = pa.array([1] * table.num_rows).cast(kind)
    if pa.types.is_string(kind):
        values = pa.array(["x"] * table.num_rows)
    with pytest.raises(TrainingError, match=expected):
        dataset(replaced(table, name, values), draft, tmp_path)


def test_an_absent_column_is_named(table: pa.Table, draft: ContractDraft, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="exactly one column 'geography'"):
        dataset(table.drop(["geography"]), draft, tmp_path)


def test_an_empty_table_is_refused(table: pa.Table, draft: ContractDraft, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no rows"):
        dataset(table.slice(0, 0), draft, tmp_path)


@pytest.mark.parametrize("name", ["absent.parquet", "absent.csv", "broken.parquet"])
def test_a_file_that_is_no_table_is_refused(draft: ContractDraft, tmp_path: Path, name: str) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(TrainingError, match="can't be read as a table"):
        load(tmp_path / name, draft, [outline(feature) for feature in draft.features])


def test_an_all_null_column_of_no_type_is_all_missing(table: pa.Table, draft: ContractDraft, tmp_path: Path) -> None:
    write_table(replaced(table, "custom_feature_29", pa.nulls(table.num_rows)), tmp_path / "leads.csv")
    found = load(tmp_path / "leads.csv", draft, [outline(feature) for feature in draft.features])
    column = [feature.name for feature in draft.features].index("custom_feature_29")
    assert np.isnan(found.raw[:, column]).all()
