"""A file of leads judged for one version: every check, for people and for programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from lead_scoring.contract.types import Contract, Histogram
from lead_scoring.errors import TableError
from lead_scoring.intake.leads import LeadReader
from lead_scoring.packaging.verify import Verified
from lead_scoring.quality import checks as checking
from lead_scoring.quality import outcomes as judging
from lead_scoring.quality.census import Census
from lead_scoring.quality.verdicts import AREAS, LEVELS, Check, Level, Thresholds, worst
from lead_scoring.tables.files import Source
from lead_scoring.training.parts import rfc3339

__all__ = ["Question", "Report", "judge_file"]

_ROWS_AT_ONCE = 20_000


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked about a file.

    Attributes:
        as_of: moment of scoring, seconds since the epoch, where `time` is None.
        time, time_format: column with each row's own moment, and how it is written (None for RFC 3339).
        target, positive: column with outcomes, and which word is the positive one.
        now_s, max_age_days: how old the newest row may be at which moment; None not to ask.
    """

    as_of: float
    time: str | None = None
    time_format: str | None = None
    target: str | None = None
    positive: str | None = None
    now_s: float | None = None
    max_age_days: float | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        contract: of the version that the file was held against.
        file: its name.
        rows, refused: how many there are, and how many would be refused.
        period: first and last moment of scoring of the others; None where there are none.
        absent, extra: features without a column, columns that are no feature.
        checks: the worst first, by area.
        histograms: of the features, in the bins of their references.
    """

    contract: Contract
    file: str
    rows: int
    refused: int
    period: tuple[str, str] | None
    absent: list[str]
    extra: list[str]
    checks: list[Check]
    histograms: dict[str, Histogram]
    thresholds: Thresholds

    @property
    def level(self) -> Level:
        """The worst of all checks; a check that could not tell counts for nothing beside others that could."""
        told = [check for check in self.checks if check.level != "insufficient"]
        return worst(told)

    def of(self, area: str) -> list[Check]:
        """Return one area's checks."""
        return [check for check in self.checks if check.area == area]

    def as_document(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {
            "model": self.contract.model.name,
            "version": self.contract.model.version,
            "file": self.file,
            "rows": self.rows,
            "refused_rows": self.refused,
            "period": None if self.period is None else list(self.period),
            "absent_features": self.absent,
            "extra_columns": self.extra,
            "level": self.level,
            "areas": {area: worst(self.of(area)) for area in AREAS if self.of(area)},
            "checks": [asdict(check) for check in self.checks],
            "thresholds": self.thresholds.as_words(),
        }


def judge_file(
    verified: Verified, source: Source, question: Question, *, progress: Callable[[int], None] = lambda _: None
) -> Report:
    """Read a file once and judge it.

    Raises:
        TableError: the file lacks what the model needs or what the question names, or can't be read.
    """
    contract, limits = verified.contract, question.thresholds
    ignore = [question.target] if question.target else []
    reader = LeadReader(
        contract, source, as_of=question.as_of, time=question.time, time_format=question.time_format, ignore=ignore
    )
    census = Census(verified, has_ids=contract.id_field in source.names)
    for piece, leads in reader.read(_ROWS_AT_ONCE):
        outcome = None
        if question.target is not None:
            outcome = judging.read(question.target, _column(piece.table, question.target, source), question.positive)
        census.add(leads, outcome)
        progress(census.rows)
    ragged = reader.ragged()
    census.rows += len(ragged)
    census.refused += len(ragged)
    census.add_refusals(ragged)
    found = [
        *checking.violations(census, limits),
        *checking.duplicates(census, limits),
        *checking.freshness(census, limits, now_s=question.now_s, max_age_days=question.max_age_days),
        *checking.coverage(census, limits),
        checking.score_shift(census, limits),
        *checking.shift(census, limits),
    ]
    if question.target is not None:
        found += judging.outcomes(census, limits)
    moments = np.concatenate(census.moments) if census.moments else np.empty(0)
    return Report(
        contract=contract,
        file=source.path.name,
        rows=census.rows,
        refused=census.refused,
        period=(rfc3339(moments.min()), rfc3339(moments.max())) if moments.size else None,
        absent=reader.absent,
        extra=reader.extra,
        checks=sorted(found, key=lambda check: (-LEVELS.index(check.level), AREAS.index(check.area))),
        histograms=census.histograms,
        thresholds=limits,
    )


def _column(table: pa.Table, name: str, source: Source) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise TableError(f"{source.path}: has no column {name!r}")
    return table.column(name)
