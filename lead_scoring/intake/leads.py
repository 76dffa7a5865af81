"""Rows of a file as a version's leads: assembled as requests are, refused rows named by their number in the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Contract
from lead_scoring.core.assembly import Batch, Tensor, from_tensors
from lead_scoring.core.features import Encoded, encode
from lead_scoring.core.findings import Finding
from lead_scoring.core.plan import ID, FeaturePlan
from lead_scoring.errors import TableError
from lead_scoring.tables import cells
from lead_scoring.tables.files import Piece, Source, decimal_of

__all__ = ["LeadReader", "Leads", "Refusal"]

_UNREADABLE = {
    "number": "a text",
    "integer": "a text",
    "boolean": "a text",
    "timestamp": "a text",
    "category": "a number",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a row would be refused: one of possibly many problems of it."""

    row: int
    field: str
    reason: str
    expected: str
    got: str
    remedy: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.field}: expected {self.expected}, got {self.got}; {self.remedy}"


@dataclass(frozen=True)
class Leads:
    """Some rows of a file, read and encoded.

    Attributes:
        number: `(n,)` of each row in the file, from 1.
        batch: as a request with these leads.
        moment_s: `(n,)` moment of scoring; NaN where the row's own can't be read.
        encoded: with findings; rows with one have no meaning.
        sound: mask of the rows that would be scored.
        refusals: everything wrong with the others, by row.
    """

    number: NDArray[np.int64]
    batch: Batch
    moment_s: NDArray[np.float64]
    encoded: Encoded
    sound: NDArray[np.bool_]
    refusals: list[Refusal]

    def kept(self) -> Batch:
        """Return the sound rows as a batch of their own."""
        ids = [found for found, fine in zip(self.batch.lead_ids, self.sound.tolist(), strict=True) if fine]
        report = replace(self.batch.report, structural=[], structural_total=0, findings=[])
        return replace(self.batch, raw=self.batch.raw[self.sound], lead_ids=ids, known_bad=None, report=report)


@dataclass(frozen=True, slots=True)
class _Place:
    """A layout whose paths are `row column`, to be turned into a row's number and a field's name."""

    packed: bool = False

    def path(self, row: int, column: int) -> str:
        return f"{row} {column}"


class LeadReader:
    """Reads the leads of a file for one version.

    Attributes:
        absent: optional features that the file has no column for: missing in every row.
        extra: columns that are no feature, id or time.
    """

    def __init__(
        self,
        contract: Contract,
        source: Source,
        *,
        as_of: float,
        time: str | None = None,
        time_format: str | None = None,
        ignore: Sequence[str] = (),
    ) -> None:
        """Match columns to features.

        Args:
            contract: of the version.
            source: the file.
            as_of: moment of scoring in seconds since the epoch for all rows, where `time` is None.
            time: column with each row's own moment of scoring.
            time_format: how it is written, as `strptime` takes it; None for RFC 3339.
            ignore: columns that are there on purpose, an outcome say.

        Raises:
            TableError: a required feature or the time has no column.
        """
        self.plan = FeaturePlan.of(contract)
        self._source, self._as_of, self._time, self._time_format = source, as_of, time, time_format
        names = set(source.names)
        required = [f.name for f in contract.features if not f.nullable and f.name not in names]
        if required:
            listed = ", ".join(repr(name) for name in required[:10]) + (" …" if len(required) > 10 else "")
            raise TableError(f"{source.path}: lacks {len(required)} columns that the model needs: {listed}")
        if time is not None and time not in names:
            raise TableError(f"{source.path}: has no column {time!r}")
        self._has_ids = contract.id_field in names
        self.absent = [f.name for f in contract.features if f.name not in names]
        known = {contract.id_field, time, *ignore, *self.plan.names}
        self.extra = [name for name in source.names if name not in known]

    def read(self, rows: int) -> Iterator[tuple[Piece, Leads]]:
        """Yield the file's rows in pieces of at most `rows`, each with its leads.

        Raises:
            TableError: the file is not what its beginning promised.
        """
        for piece in self._source.pieces(rows):
            yield piece, self._leads(piece)

    def ragged(self) -> list[Refusal]:
        """Return the rows that are in no piece, as they have more or fewer cells than the header."""
        width = len(self._source.names)
        return [
            Refusal(row, "the whole row", "ragged", f"{width} cells", f"{count}", "quote cells that hold the separator")
            for row, count in sorted(self._source.ragged.items())
        ]

    def _leads(self, piece: Piece) -> Leads:
        table, count = piece.table, piece.table.num_rows
        decimal = decimal_of(table)
        tensors = [self._ids(piece)]
        unreadable: list[Finding] = []
        known_bad = np.zeros((count, len(self.plan.features)), dtype=bool)
        for column, feature in enumerate(self.plan.features):
            if feature.name not in table.column_names:
                continue
            cell = table.column(feature.name)
            found = cells.read(feature, cell, decimal=decimal)
            if found.bad.any():
                rows = np.flatnonzero(found.bad)
                unreadable.append(Finding("wrong_type", column, rows, [_UNREADABLE[feature.type]] * rows.size))
                known_bad[rows, column] = True
            if feature.type == "category" and not found.bad.any():
                words = cells.texts(cell).to_pylist()
                gaps = set(feature.in_files.missing) if feature.in_files else ()
                tensors.append(Tensor(feature.name, "BYTES", [count], [None if w in gaps else w for w in words]))
            elif feature.type != "category":
                tensors.append(Tensor(feature.name, "FP64", [count], found.value))
        batch = from_tensors(self.plan, tensors, max_leads=count)
        batch.report.structural.clear()  # a required category none of which can be read has no tensor: in `unreadable`
        batch.report.structural_total = 0
        batch.report.extend(unreadable)
        if batch.known_bad is not None:
            known_bad |= batch.known_bad
        moment_s, late = self._moments(piece)
        if late.any():  # how old its times are can't be told
            undatable = np.ix_(late, self.plan.timestamps)
            batch.raw[undatable], known_bad[undatable] = np.nan, True
        encoded = encode(self.plan, batch.raw, np.where(late, 0.0, moment_s), known_bad=known_bad)
        batch.report.extend(encoded.findings)
        batch = replace(batch, known_bad=known_bad, layout=_Place())
        sound = ~late
        sound[batch.report.refused_rows()] = False
        return Leads(piece.number, batch, moment_s, encoded, sound, self._refusals(piece, batch, late))

    def _ids(self, piece: Piece) -> Tensor:
        words = (
            cells.texts(piece.table.column(self.plan.id_field)).to_pylist()
            if self._has_ids
            else [str(number) for number in piece.number.tolist()]
        )
        return Tensor(self.plan.id_field, "BYTES", [len(words)], words)

    def _moments(self, piece: Piece) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return every row's moment of scoring and a mask of the rows that have none."""
        if self._time is None:
            return np.full(piece.table.num_rows, self._as_of), np.zeros(piece.table.num_rows, dtype=bool)
        found = cells.moments(piece.table.column(self._time), date_format=self._time_format)
        return found.value, np.isnan(found.value)

    def _refusals(self, piece: Piece, batch: Batch, late: NDArray[np.bool_]) -> list[Refusal]:
        found = []
        for problem in batch.report.problems(batch.layout, batch.report.total):
            row, column = map(int, problem.path.split())
            field = self.plan.id_field if column == ID else self.plan.names[column]
            number = int(piece.number[row])
            expected = problem.expected.removeprefix(f"{field}: ")
            found.append(Refusal(number, field, problem.reason, expected, problem.got, problem.remedy))
        remedy = "give every row its moment of scoring, or one for all of them"
        expected = self._time_format or "an RFC 3339 time"
        found += [
            Refusal(int(piece.number[row]), self._time or "", "wrong_type", expected, "something else", remedy)
            for row in np.flatnonzero(late).tolist()
        ]
        return sorted(found, key=lambda refusal: refusal.row)
