"""Files of made-up leads held against the shipped version 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lead_scoring.data.tables import write_table
from lead_scoring.packaging.verify import Verified, verify
from lead_scoring.quality.report import Question, Report, judge_file
from lead_scoring.quality.verdicts import Check
from lead_scoring.tables.files import open_table
from tests.support.stack import SHIPPED

MODEL = SHIPPED / "lead-scoring" / "2"


@pytest.fixture(scope="session")
def version() -> Verified:
    return verify(MODEL)


@pytest.fixture
def judge(version: Verified, tmp_path: Path) -> Callable[..., Report]:
    """Write a table and judge it, each row as of its own moment."""

    def found(table: pa.Table, *, name: str = "leads.parquet", **question: Any) -> Report:
        path = tmp_path / name
        write_table(table, path)
        return judge_file(version, open_table(path), Question(as_of=0.0, **{"time": "scored_at", **question}))

    return found


def wrong(report: Report, area: str | None = None) -> dict[tuple[str, str], Check]:
    """Return the checks that warn or alarm, by area and feature."""
    return {
        (check.area, check.feature): check
        for check in report.checks
        if check.level in ("warning", "alarm") and area in (None, check.area)
    }
