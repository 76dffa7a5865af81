"""Named tensors, one packed tensor or records, all turned into the same raw matrix `(n, f)`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import RESERVED_NAME
from lead_scoring.core.columns import Columns, kind_of, lead_ids
from lead_scoring.core.findings import MAX_ID_BYTES, MAX_TEXT_BYTES, Layout, Report
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

PACKED = RESERVED_NAME
"""Name of the tensor that carries all features at once, in contract order; no feature may have it."""

_MAX_SIZE = 2**31
"""No dimension of a request that we answer comes near it."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One V2 input after its transport's own decoding.

    `data` is a flat list of JSON values (None for null; text as str or bytes) or a flat numeric array, of any length:
    whether it fits the shape is checked here, so that every transport says the same.
    """

    name: str
    datatype: str
    shape: Sequence[int]
    data: Sequence[Any] | NDArray[Any]


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

    def path(self, row: int, column: int) -> str:
        if column >= 0 and ALL in self.inputs:
            return f"$.inputs[{self.inputs[ALL]}].data[{row}][{column}]"
        position = self.inputs.get(column)
        return "$.inputs" if position is None else f"$.inputs[{position}].data[{row}]"


@dataclass(frozen=True, slots=True)
class _RecordLayout:
    names: Sequence[str]
    id_field: str

    def path(self, row: int, column: int) -> str:
        name = self.id_field if column == ID else self.names[column]
        return f"$.instances[{row}]" + (f".{name}" if name.isidentifier() else f"[{json.dumps(name)}]")


def from_tensors(plan: FeaturePlan, tensors: Sequence[Tensor], *, max_leads: int) -> Batch:
    """Assemble V2 inputs: one tensor `[n]` (or `[n, 1]`) per feature, or all of them packed `[n, f]`; and ids `[n]`.

    Never raises on data: problems are in the batch's report.
    """
    report = Report(plan.features, plan.id_field)
    inputs = _by_column(plan, tensors, report)
    layout = _TensorLayout(inputs)
    if not _check_presence(plan, inputs, report):
        return _empty(plan, report, layout)
    count, usable = _check_sizes(plan, tensors, inputs, report)
    if not _check_count(count, max_leads, "$.inputs", f"1 to {max_leads} leads", report):
        return _empty(plan, report, layout)
    columns = Columns(plan, count, report)
    for column, position in usable.items():
        if column == ALL:
            columns.put_all(tensors[position].data)
        elif column != ID:
            columns.put(column, tensors[position].data, tensors[position].datatype)
    if report.structural:
        columns.refuse(slice(None), _lost(plan, inputs, usable))
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


def _by_column(plan: FeaturePlan, tensors: Sequence[Tensor], report: Report) -> dict[int, int]:
    """Return the position in the request of every column's tensor."""
    inputs: dict[int, int] = {}
    for position, tensor in enumerate(tensors):
        column = plan.position.get(tensor.name)
        if column is None:
            report.add(
                f"$.inputs[{position}].name",
                "unknown_tensor",
                expected="the name of an input in the model's metadata",
                got="a name that is not one of them",
                remedy="remove it or correct its spelling",
            )
        elif column in inputs:
            report.add(
                f"$.inputs[{position}].name",
                "duplicate_tensor",
                expected="each tensor once",
                got=f"the same name as $.inputs[{inputs[column]}]",
                remedy="remove one of the two",
            )
        else:
            inputs[column] = position
    return inputs


def _check_presence(plan: FeaturePlan, inputs: Mapping[int, int], report: Report) -> bool:
    """Report what should be there and is not; return False if it can't be told what is meant."""
    needed = [ID] if ALL in inputs else [ID, *plan.required_columns]
    for column in needed:
        if column not in inputs:
            name = plan.id_field if column == ID else plan.names[column]
            report.add(
                "$.inputs",
                "missing_tensor",
                expected=f"a {plan.accepted[column][0]} tensor {name!r} of shape [n]",
                got="none of that name",
                remedy="send it: it may not be left out",
            )
    if ALL in inputs and len(inputs.keys() - {ID}) > 1:
        report.add(
            f"$.inputs[{inputs[ALL]}]",
            "ambiguous",
            expected=f"either one packed {PACKED!r} tensor or one tensor per feature",
            got="both",
            remedy="send only one of the two forms",
        )
        return False
    return bool(inputs)


def _check_sizes(
    plan: FeaturePlan, tensors: Sequence[Tensor], inputs: Mapping[int, int], report: Report
) -> tuple[int, dict[int, int]]:
    """Report wrong datatypes, shapes and lengths; return the number of leads, and the inputs that can be read.

    Where tensors disagree about the number of leads, most of them are right.
    """
    sizes: dict[int, int] = {}
    wrong: set[int] = set()
    for column, position in inputs.items():
        tensor = tensors[position]
        accepted = plan.accepted[column]
        if tensor.datatype not in accepted:
            report.add(
                f"$.inputs[{position}].datatype",
                "wrong_datatype",
                expected=" or ".join(accepted),
                got="another datatype",
                remedy=f"send it as {accepted[0]}",
            )
            wrong.add(column)
        width = len(plan.features) if column == ALL else 1
        shape = tensor.shape
        fits = (len(shape) == 2 and shape[1] == width) or (len(shape) == 1 and column != ALL)
        if not fits or not all(type(size) is int and 0 <= size < _MAX_SIZE for size in shape):
            report.add(
                f"$.inputs[{position}].shape",
                "wrong_shape",
                expected=f"[n, {width}]" if column == ALL else "[n]",
                got=_shape(shape),
                remedy="correct the shape",
            )
            continue
        sizes[column] = shape[0]
        if len(tensor.data) != shape[0] * width:
            report.add(
                f"$.inputs[{position}].data",
                "wrong_length",
                expected=f"{shape[0] * width} values, as the shape says",
                got=f"{len(tensor.data)}",
                remedy="make shape and data agree",
            )
            wrong.add(column)
    if not sizes:
        return -1, {}
    count = next(iter(sizes.values()))
    if len(set(sizes.values())) > 1:
        count = Counter(sizes.values()).most_common(1)[0][0]
        for column, size in sizes.items():
            if size != count:
                report.add(
                    f"$.inputs[{inputs[column]}].shape",
                    "ragged",
                    expected=f"{count} leads, as in most of the tensors",
                    got=f"{size}",
                    remedy="send one value per lead in every tensor",
                )
                wrong.add(column)
    if len(sizes) == len(inputs) and not wrong:
        return count, dict(inputs)
    return count, {column: inputs[column] for column in sizes if column not in wrong}


def _check_count(count: int, max_leads: int, path: str, expected: str, report: Report) -> bool:
    if 1 <= count <= max_leads:
        return True
    if count >= 0:  # below it, no tensor said how many, and each was reported
        remedy = "split larger batches" if count else "send at least one lead"
        report.add(path, "batch_size", expected=expected, got=f"{count}", remedy=remedy)
    return False


def _lost(plan: FeaturePlan, inputs: Mapping[int, int], usable: Mapping[int, int]) -> list[int]:
    """Return the columns whose tensor was reported, so that their values are not reported too."""
    if ALL in inputs:
        return [] if ALL in usable else list(range(len(plan.features)))
    return [column for column in {*inputs, *plan.required_columns} - usable.keys() if column >= 0]


def _shape(shape: Sequence[Any]) -> str:
    if len(shape) <= 4 and all(type(size) is int and abs(size) < _MAX_SIZE for size in shape):
        return str(list(shape))
    return f"{len(shape)} dimensions, not all of them possible"
