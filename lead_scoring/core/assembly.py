"""Named tensors, one packed tensor or records, all turned into the same raw matrix `(n, f)`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lead_scoring.core.columns import Columns, kind_of, lead_ids
from lead_scoring.core.findings import MAX_ID_BYTES, MAX_TEXT_BYTES, Layout, Report
from lead_scoring.core.inputs import PACKED, Tensor, check_presence, check_sizes, lost_columns, positions
from lead_scoring.core.moments import seconds
from lead_scoring.core.plan import ACCEPTED, ALL, ID, FeaturePlan

__all__ = [
    "ACCEPTED",
    "MAX_ID_BYTES",
    "MAX_TEXT_BYTES",
    "PACKED",
    "Batch",
    "Tensor",
    "from_records",
    "from_tensors",
    "seconds",
]


@dataclass(frozen=True)
class Batch:
    """Raw leads with the problems met so far.

    Attributes:
        raw: `(n, f)` float64 as `features.encode` takes it; no rows if the request doesn't tell how many there are.
        lead_ids: n texts; empty text where it was not usable.
        known_bad: `(n, f)` mask of values already reported, or None.
        report: problems with the structure, and findings. With either, nothing may be scored; encoding finds the rest
            of them.
        layout: where each value stood in the request.
    """

    raw: NDArray[np.float64]
    lead_ids: list[str]
    known_bad: NDArray[np.bool_] | None
    report: Report
    layout: Layout

    def __len__(self) -> int:
        return len(self.lead_ids)


@dataclass(frozen=True, slots=True)
class _TensorLayout:
    inputs: Mapping[int, int]  # column → position in $.inputs

    @property
    def packed(self) -> bool:
        return ALL in self.inputs

    def path(self, row: int, column: int) -> str:
        if column >= 0 and self.packed:
            return f"$.inputs[{self.inputs[ALL]}].data[{row}][{column}]"
        position = self.inputs.get(column)
        return "$.inputs" if position is None else f"$.inputs[{position}].data[{row}]"


@dataclass(frozen=True, slots=True)
class _RecordLayout:
    names: Sequence[str]
    id_field: str
    packed: ClassVar[bool] = False

    def path(self, row: int, column: int) -> str:
        name = self.id_field if column == ID else self.names[column]
        return f"$.instances[{row}]" + (
            f".{name}" if name.isidentifier() else f"[{json.dumps(name, ensure_ascii=False)}]"
        )


def from_tensors(plan: FeaturePlan, tensors: Sequence[Tensor], *, max_leads: int) -> Batch:
    """Assemble V2 inputs: one tensor `[n]` (or `[n, 1]`) per feature, or all of them packed `[n, f]`; and ids `[n]`.

    Never raises on data: problems are in the batch's report.
    """
    report = Report(plan.features, plan.id_field)
    inputs = positions(plan, tensors, report)
    layout = _TensorLayout(inputs)
    if not check_presence(plan, inputs, report):
        return _empty(plan, report, layout)
    count, usable = check_sizes(plan, tensors, inputs, report)
    if not _check_count(count, max_leads, "$.inputs", f"1 to {max_leads} leads", report):
        return _empty(plan, report, layout)
    columns = Columns(plan, count, report)
    for column, position in usable.items():
        if column == ALL:
            columns.put_all(tensors[position].data)
        elif column != ID:
            columns.put(column, tensors[position].data, tensors[position].datatype)
    if report.structural:
        columns.refuse(slice(None), lost_columns(plan, inputs, usable))
    ids = lead_ids(tensors[usable[ID]].data, report) if ID in usable else [""] * count
    return Batch(columns.matrix(), ids, columns.known_bad, report, layout)


def from_records(plan: FeaturePlan, records: Any, *, max_leads: int) -> Batch:
    """Assemble V1 records: `records` should be a list of objects that map feature names to values.

    Never raises on data, as `from_tensors`.
    """
    report = Report(plan.features, plan.id_field)
    layout = _RecordLayout(plan.names, plan.id_field)
    wanted = f"a list of 1 to {max_leads} lead records"
    if not isinstance(records, list):
        report.add(
            "$.instances", "wrong_type", expected=wanted, got=kind_of(records), remedy='send {"instances": [{…}, …]}'
        )
        return _empty(plan, report, layout)
    if not _check_count(len(records), max_leads, "$.instances", wanted, report):
        return _empty(plan, report, layout)
    known = {*plan.names, plan.id_field}
    broken: list[int] = []
    for row, record in enumerate(records):
        if not isinstance(record, dict):
            report.add(
                f"$.instances[{row}]",
                "wrong_type",
                expected="an object with the lead's features by name",
                got=kind_of(record),
                remedy=f"send {{{json.dumps(plan.id_field)}: …, {json.dumps(plan.names[0])}: …, …}}",
            )
            broken.append(row)
        elif not known.issuperset(record):
            extra = len(record.keys() - known)
            report.add(
                f"$.instances[{row}]",
                "unknown_field",
                expected="only names from the model's metadata",
                got=f"{extra} name{'s' if extra > 1 else ''} that the model does not know",
                remedy="remove or correct them",
            )
    if broken:
        records = [record if isinstance(record, dict) else {} for record in records]
    columns = Columns(plan, len(records), report)
    for column, name in enumerate(plan.names):
        columns.put(column, [record.get(name) for record in records], plan.datatypes[column])
    if broken:
        columns.refuse(broken, slice(None))
    ids = lead_ids([record.get(plan.id_field) for record in records], report, skip=frozenset(broken))
    return Batch(columns.matrix(), ids, columns.known_bad, report, layout)


def _empty(plan: FeaturePlan, report: Report, layout: Layout) -> Batch:
    return Batch(np.empty((0, len(plan.features))), [], None, report, layout)


def _check_count(count: int, max_leads: int, path: str, expected: str, report: Report) -> bool:
    if 1 <= count <= max_leads:
        return True
    if count >= 0:  # below it, no tensor said how many, and each was reported
        remedy = "split larger batches" if count else "send at least one lead"
        report.add(path, "batch_size", expected=expected, got=f"{count}", remedy=remedy)
    return False
