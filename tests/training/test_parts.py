"""The split respects time and keeps a lead's rows together."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lead_scoring.errors import TrainingError
from lead_scoring.training.dataset import Dataset
from lead_scoring.training.draft import ContractDraft, Split
from lead_scoring.training.parts import Parts, divide
from tests.training.conftest import dataset


def rows_by_part(parts: Parts) -> list[np.ndarray]:
    return [parts.train, parts.stopping, parts.calibration, parts.test]


def test_no_lead_is_in_two_parts(data: Dataset, parts: Parts) -> None:
    groups = [set(data.group[rows].tolist()) for rows in rows_by_part(parts)]
    assert len(set(data.group.tolist())) < len(data)  # or there would be nothing to keep together
    for one, other in combinations(groups, 2):
        assert not one & other


def test_each_part_is_wholly_older_than_the_next(data: Dataset, parts: Parts) -> None:
    for older, newer in pairwise(rows_by_part(parts)):
        assert data.moment_s[older].max() < data.moment_s[newer].min()


def test_parts_and_dropped_rows_are_all_rows(data: Dataset, parts: Parts) -> None:
    together = np.concatenate(rows_by_part(parts))
    assert len(np.unique(together)) == len(together) == len(data) - parts.dropped
    assert 0 < parts.dropped < 0.05 * len(data)


def test_the_test_part_loses_no_row(data: Dataset, parts: Parts) -> None:
    assert len(parts.test) == (data.moment_s >= data.moment_s[parts.test[0]]).sum()


def test_shares_are_kept(data: Dataset) -> None:
    parts = divide(data, Split(train=0.4, stopping=0.2, calibration=0.2, test=0.2))
    found = [len(rows) / len(data) for rows in rows_by_part(parts)]
    assert found == pytest.approx([0.4, 0.2, 0.2, 0.2], abs=0.03)


def test_the_summary_says_what_the_parts_are(data: Dataset, parts: Parts) -> None:
    summary = parts.summary(data)
    assert summary["test"]["rows"] == len(parts.test)
    assert summary["train"]["conversions"] == data.target[parts.train].sum()
    assert summary["train"]["to"] < summary["stopping"]["from"]
    assert summary["dropped_rows"] == parts.dropped


def test_too_few_conversions_in_a_part_are_refused(table: pa.Table, draft: ContractDraft, tmp_path: Path) -> None:
    few = dataset(table.slice(0, 900), draft, tmp_path)
    with pytest.raises(TrainingError, match=r"part has .* it needs at least 20"):
        divide(few, draft.training.split)


def test_leads_that_all_convert_are_refused(data: Dataset, draft: ContractDraft) -> None:
    won = Dataset(data.table, data.group, data.moment_s, np.ones_like(data.target), data.raw, {}, data.sha256)
    with pytest.raises(TrainingError, match="of either outcome"):
        divide(won, draft.training.split)
