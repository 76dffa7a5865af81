"""A file of leads scored offline: the very steps of serving, row by row refused or answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from lead_scoring.intake.leads import LeadReader, Leads, Refusal
from lead_scoring.packaging import booster, offline
from lead_scoring.packaging.verify import Verified
from lead_scoring.tables.files import Source
from lead_scoring.tables.output import TableWriter

__all__ = ["Outcome", "score_file"]

_ROWS_AT_ONCE = 10_000


@dataclass
class Outcome:
    """What became of a file: how many rows were scored, each score's leads, what is wrong with the refused rows."""

    scored: int = 0
    refused: int = 0
    by_score: dict[int, int] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)


def score_file(
    verified: Verified,
    source: Source,
    *,
    as_of: float,
    time: str | None = None,
    time_format: str | None = None,
    out: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Score every row of a file that the service would score, and say of every other one why not.

    Args:
        verified: the version.
        source: the file; see `LeadReader` for what it must have.
        as_of: moment of scoring, seconds since the epoch, where `time` is None.
        time: column with each row's own moment.
        time_format: how it is written, as `strptime` takes it; None for RFC 3339.
        out: a `.parquet`, `.csv` or `.json` file to write, one row for each row that can be read, in their order.
        progress: is told how many rows are done.

    Raises:
        TableError: the file lacks what the model needs or can't be read, or `out` can't be written; nothing is left of
            `out` then.
    """
    reader = LeadReader(verified.contract, source, as_of=as_of, time=time, time_format=time_format)
    found = Outcome()
    tables = _scored(reader, verified, found, progress)
    if out is None:
        for _ in tables:
            pass
    else:
        with TableWriter(out) as writer:
            for table in tables:
                writer.write(table)
    ragged = reader.ragged()
    found.refused += len(ragged)
    found.refusals = sorted([*found.refusals, *ragged], key=lambda refusal: refusal.row)
    return found


def _scored(
    reader: LeadReader, verified: Verified, found: Outcome, progress: Callable[[int], None]
) -> Iterator[pa.Table]:
    predict = booster.margins(verified.booster)
    contract = verified.contract
    done = 0
    for _, leads in reader.read(_ROWS_AT_ONCE):
        answers = None
        if leads.sound.any():
            answers = offline.score(contract, predict, leads.kept(), leads.moment_s[leads.sound])
            for score, rows in zip(*np.unique(answers.scores.score, return_counts=True), strict=True):
                found.by_score[int(score)] = found.by_score.get(int(score), 0) + int(rows)
        found.scored += int(leads.sound.sum())
        found.refused += int((~leads.sound).sum())
        found.refusals += leads.refusals
        done += len(leads.sound)
        progress(done)
        yield _table(contract.id_field, contract.model.version, leads, answers)


def _table(id_field: str, version: str, leads: Leads, answers: offline.Scored | None) -> pa.Table:
    """Return one row per row of the file; no answers where `refused` says why."""
    gap = ~leads.sound
    why: dict[int, str] = {}
    for refusal in leads.refusals:
        why.setdefault(refusal.row, f"{refusal.field}: {refusal.reason}")
    columns = {
        "row_number": pa.array(leads.number),
        id_field: pa.array([text or None for text in leads.batch.lead_ids], pa.string()),
    }
    kinds = {"score": pa.int32(), "probability": pa.float64(), "confidence": pa.float64(), "features_used": pa.int32()}
    for name, kind in kinds.items():
        values = np.zeros(len(gap))
        if answers is not None:
            values[leads.sound] = (
                answers.encoded.used if name == "features_used" else getattr(answers.scores, name)
            )  # fmt: skip
        free = name if name != id_field else f"{name}_"
        columns[free] = pa.array(values, mask=gap).cast(kind)
    columns["model_version"] = pa.array([version] * len(gap))
    columns["refused"] = pa.array([why.get(number) for number in leads.number.tolist()], pa.string())
    return pa.table(columns)
