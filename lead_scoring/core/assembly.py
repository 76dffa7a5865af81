"""Named tensors, one packed tensor or records, all turned into the same raw matrix `(n, f)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Feature
from lead_scoring.core.findings import Finding, Layout, Report
from lead_scoring.core.plan import FeaturePlan

__all__ = ["ACCEPTED", "MAX_ID_BYTES", "MAX_TEXT_BYTES", "PACKED", "Batch", "Tensor", "from_records", "from_tensors", "seconds"]

PACKED = "features"
"""Name of the tensor that carries all features at once, in contract order."""
MAX_TEXT_BYTES = 1024
MAX_ID_BYTES = 256

_FLOATS = ("FP64", "FP32")
_INTEGERS = ("INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8")
ACCEPTED: dict[str, tuple[str, ...]] = {
    "number": (*_FLOATS, *_INTEGERS),
    "integer": (*_INTEGERS, *_FLOATS),
    "boolean": ("BOOL", "UINT8", "INT8", *_FLOATS),
    "category": ("BYTES",),
    "timestamp": ("BYTES", "INT64", "FP64"),
}
"""Datatypes that each type of feature accepts, the advertised one first. FP* carry missing values in binary as NaN."""

_ELEMENT_TYPES: dict[str, frozenset[type]] = {
    **{name: frozenset((int, float, type(None))) for name in (*_FLOATS, *_INTEGERS)},
    "BOOL": frozenset((bool, type(None))),
    "BYTES": frozenset((str, bytes, type(None))),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One V2 input after its transport's own decoding.

    `data` is a flat list of JSON values (None for null; text as str or bytes) or a flat numeric array, of any length: whether it
    fits the shape is checked here, so that every transport says the same.
    """

    name: str
    datatype: str
    shape: Sequence[int]
    data: Sequence[Any] | NDArray[Any]


@dataclass(frozen=True)
class Batch:
    """Raw leads with the problems met so far.

    Attributes:
        raw: `(n, f)` float64 as `features.encode` takes it.
        lead_ids: n texts; empty text where it was not usable.
        known_bad: `(n, f)` mask of values already reported, or None.
        report: structural problems and findings.
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
    inputs: Mapping[int, int]  # column → position in $.inputs; -1 is the id
    packed: int | None

    def path(self, row: int, column: int) -> str:
        if self.packed is not None and column >= 0:
            return f"$.inputs[{self.packed}].data[{row}][{column}]"
        position = self.inputs.get(column)
        return "$.inputs" if position is None else f"$.inputs[{position}].data[{row}]"


@dataclass(frozen=True, slots=True)
class _RecordLayout:
    names: Sequence[str]
    id_field: str

    def path(self, row: int, column: int) -> str:
        name = self.id_field if column < 0 else self.names[column]
        return f"$.instances[{row}].{name}" if name.isidentifier() else f'$.instances[{row}]["{name}"]'


def from_tensors(plan: FeaturePlan, tensors: Sequence[Tensor], *, max_leads: int) -> Batch:
    """Assemble V2 inputs: one tensor `[n]` (or `[n, 1]`) per feature, or all features packed as `[n, f]`; and the lead ids `[n]`.

    Never raises on data: problems are in the batch's report. If the structure is unusable the batch is empty.
    """
    report = Report(plan.features, plan.id_field)
    seen: dict[str, int] = {}
    for position, tensor in enumerate(tensors):
        if tensor.name in seen:
            report.add(
                f"$.inputs[{position}].name", "duplicate_tensor", expected="each tensor once",
                got=f"the same name as $.inputs[{seen[tensor.name]}]", remedy="remove one of the two",
            )
        elif tensor.name not in (plan.id_field, PACKED) and tensor.name not in plan.position:
            report.add(
                f"$.inputs[{position}].name", "unknown_tensor", expected="the name of an input in the model's metadata",
                got="a name that is not one of them", remedy="remove it or correct its spelling",
            )
        else:
            seen[tensor.name] = position
    columns = {plan.position[name]: position for name, position in seen.items() if name in plan.position}
    packed = seen.get(PACKED) if PACKED not in plan.position else None
    if packed is not None and columns:
        report.add(
            f"$.inputs[{packed}]", "ambiguous", expected=f"either one packed {PACKED!r} tensor or one tensor per feature",
            got="both", remedy="send only one of the two forms",
        )
    id_position = seen.get(plan.id_field)
    layout = _TensorLayout({**columns, **({} if id_position is None else {-1: id_position})}, packed)
    if id_position is None:
        report.add(
            "$.inputs", "missing_tensor", expected=f"a BYTES tensor {plan.id_field!r} of shape [n]", got="none of that name",
            remedy="identify every lead",
        )
    count = _leads(plan, tensors, seen, packed, report, max_leads)
    if count is None or report.structural:
        return _empty(plan, report, layout)
    raw = np.full((count, len(plan.features)), np.nan)
    bad = _Bad(raw.shape)
    if packed is not None:
        _fill_packed(tensors[packed], raw, bad, report)
    else:
        _fill_named(plan, tensors, columns, raw, bad, report)
    ids = _ids(tensors[id_position].data, report) if id_position is not None else [""] * count
    return Batch(raw, ids, bad.mask, report, layout)


def from_records(plan: FeaturePlan, records: Any, *, max_leads: int) -> Batch:
    """Assemble V1 records: `records` should be a list of objects that map feature names to values.

    Never raises on data, as `from_tensors`.
    """
    report = Report(plan.features, plan.id_field)
    layout = _RecordLayout(plan.names, plan.id_field)
    if not isinstance(records, list) or not 1 <= len(records) <= max_leads:
        got = f"{len(records)} of them" if isinstance(records, list) else _kind(records)
        report.add(
            "$.instances", "batch_size", expected=f"a list of 1 to {max_leads} lead records", got=got,
            remedy="split larger batches" if isinstance(records, list) and records else "send at least one record",
        )
        return _empty(plan, report, layout)
    known = {*plan.names, plan.id_field}
    for row, record in enumerate(records):
        if not isinstance(record, dict):
            report.add(
                f"$.instances[{row}]", "wrong_type", expected="an object with the lead's features by name", got=_kind(record),
                remedy='send {"lead_id": …, "company_size": …, …}',
            )
        elif not known.issuperset(record):
            extra = len(record.keys() - known)
            report.add(
                f"$.instances[{row}]", "unknown_field", expected="only names from the model's metadata",
                got=f"{extra} name{'s' if extra > 1 else ''} that the model does not know", remedy="remove or correct them",
            )
    if report.structural:
        return _empty(plan, report, layout)
    raw = np.full((len(records), len(plan.features)), np.nan)
    bad = _Bad(raw.shape)
    for column, feature in enumerate(plan.features):
        name = feature.name
        values = [record.get(name) for record in records]
        _fill_list(plan, column, values, _ELEMENT_TYPES[_json_datatype(feature)], raw, bad, report)
    ids = _ids([record.get(plan.id_field) for record in records], report)
    return Batch(raw, ids, bad.mask, report, layout)


def seconds(text: str | bytes) -> float:
    """Return seconds since the epoch of an RFC 3339 time; a time without an offset, or a date alone, is taken as UTC.

    Raises:
        ValueError: not a time.
    """
    moment = datetime.fromisoformat(text.decode("ascii") if isinstance(text, bytes) else text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class _Bad:
    """A mask of reported values that is only made when the first one turns up."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self.mask: NDArray[np.bool_] | None = None

    def mark(self, rows: NDArray[np.intp], column: int) -> None:
        if self.mask is None:
            self.mask = np.zeros(self._shape, dtype=bool)
        self.mask[rows, column] = True


def _empty(plan: FeaturePlan, report: Report, layout: Layout) -> Batch:
    return Batch(np.empty((0, len(plan.features))), [], None, report, layout)


def _leads(
    plan: FeaturePlan, tensors: Sequence[Tensor], seen: Mapping[str, int], packed: int | None, report: Report, max_leads: int
) -> int | None:
    """Check datatypes and shapes; return the number of leads, or None where they disagree."""
    width = len(plan.features)
    counts: dict[int, int] = {}
    for name, position in seen.items():
        tensor = tensors[position]
        is_packed = position == packed
        accepted = _FLOATS if is_packed else ("BYTES",) if name == plan.id_field else ACCEPTED[plan.features[plan.position[name]].type]
        if tensor.datatype not in accepted:
            report.add(
                f"$.inputs[{position}].datatype", "wrong_datatype", expected=" or ".join(accepted), got="another datatype",
                remedy=f"send it as {accepted[0]}",
            )
        shape = list(tensor.shape)
        fits = len(shape) == 2 and shape[1] == width if is_packed else len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)
        wanted = f"[n, {width}]" if is_packed else "[n]"
        if not fits or shape[0] < 0:
            report.add(
                f"$.inputs[{position}].shape", "wrong_shape", expected=wanted, got=str(shape[:4]), remedy="correct the shape",
            )
            continue
        expected = shape[0] * (width if is_packed else 1)
        if len(tensor.data) != expected:
            report.add(
                f"$.inputs[{position}].data", "wrong_length", expected=f"{expected} values, as the shape says",
                got=f"{len(tensor.data)}", remedy="make shape and data agree",
            )
        counts[position] = shape[0]
    if not counts:
        return None
    count = next(iter(counts.values()))
    if len(set(counts.values())) > 1:
        position, other = next((p, c) for p, c in counts.items() if c != count)
        report.add(
            f"$.inputs[{position}].shape", "ragged", expected=f"the same number of leads in every tensor, here {count}",
            got=f"{other}", remedy="send one value per lead in every tensor",
        )
        return None
    if not 1 <= count <= max_leads:
        report.add(
            "$.inputs", "batch_size", expected=f"1 to {max_leads} leads", got=f"{count}",
            remedy="split larger batches" if count else "send at least one lead",
        )
        return None
    return count


def _fill_packed(tensor: Tensor, raw: NDArray[np.float64], bad: _Bad, report: Report) -> None:
    if isinstance(tensor.data, np.ndarray):
        raw[:] = tensor.data.reshape(raw.shape)
        return
    if _ELEMENT_TYPES["FP64"].issuperset(set(map(type, tensor.data))):
        raw[:] = np.array(tensor.data, dtype=np.float64).reshape(raw.shape)
        return
    width = raw.shape[1]
    for column in range(width):
        _fill_numbers(column, tensor.data[column::width], _ELEMENT_TYPES["FP64"], raw, bad, report)


def _fill_named(
    plan: FeaturePlan, tensors: Sequence[Tensor], columns: Mapping[int, int], raw: NDArray[np.float64], bad: _Bad, report: Report
) -> None:
    numeric: list[int] = []
    lists: list[Sequence[Any]] = []
    for column, position in columns.items():
        tensor = tensors[position]
        if isinstance(tensor.data, np.ndarray):
            raw[:, column] = tensor.data
        elif tensor.datatype == "BYTES" or tensor.datatype == "BOOL":
            _fill_list(plan, column, tensor.data, _ELEMENT_TYPES[tensor.datatype], raw, bad, report)
        else:
            numeric.append(column)
            lists.append(tensor.data)
    if not numeric:
        return
    if _ELEMENT_TYPES["FP64"].issuperset(set(map(type, chain.from_iterable(lists)))):
        raw[:, numeric] = np.array(lists, dtype=np.float64).T
    else:
        for column, values in zip(numeric, lists, strict=True):
            _fill_numbers(column, values, _ELEMENT_TYPES["FP64"], raw, bad, report)


def _fill_list(
    plan: FeaturePlan, column: int, values: Sequence[Any], types: frozenset[type], raw: NDArray[np.float64], bad: _Bad, report: Report
) -> None:
    feature = plan.features[column]
    if feature.type == "category":
        _fill_categories(plan.codes[column], column, values, raw, bad, report)
    elif feature.type == "timestamp" and str in types:
        _fill_timestamps(column, values, raw, bad, report)
    else:
        _fill_numbers(column, values, types, raw, bad, report)


def _fill_numbers(
    column: int, values: Sequence[Any], types: frozenset[type], raw: NDArray[np.float64], bad: _Bad, report: Report
) -> None:
    if types.issuperset(set(map(type, values))):
        raw[:, column] = np.array(values, dtype=np.float64)
        return
    good = [type(value) in types for value in values]
    raw[:, column] = np.array([value if fine else None for value, fine in zip(values, good, strict=True)], dtype=np.float64)
    _refuse(column, values, np.flatnonzero(~np.array(good)), "wrong_type", bad, report)


def _fill_categories(
    codes: Mapping[str | bytes, int], column: int, values: Sequence[Any], raw: NDArray[np.float64], bad: _Bad, report: Report
) -> None:
    try:
        raw[:, column] = [codes[value] for value in values]
        return
    except (KeyError, TypeError):
        pass  # something is missing, unknown or no text: look at each
    wrong: dict[str, list[int]] = {}
    found = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if value is None or value in ("", b""):
            continue
        reason = _text_fault(value)
        if reason is None:
            found[row] = codes.get(value, -1)
        else:
            wrong.setdefault(reason, []).append(row)
    raw[:, column] = found
    for reason, rows in wrong.items():
        _refuse(column, values, np.array(rows), reason, bad, report)


def _fill_timestamps(column: int, values: Sequence[Any], raw: NDArray[np.float64], bad: _Bad, report: Report) -> None:
    wrong: dict[str, list[int]] = {}
    found = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if value is None or value in ("", b""):
            continue
        reason = _text_fault(value)
        if reason is None:
            try:
                found[row] = seconds(value)
            except (ValueError, OverflowError):
                reason = "wrong_type"
        if reason is not None:
            wrong.setdefault(reason, []).append(row)
    raw[:, column] = found
    for reason, rows in wrong.items():
        _refuse(column, values, np.array(rows), reason, bad, report)


def _ids(values: Sequence[Any], report: Report) -> list[str]:
    ids: list[str] = []
    wrong: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        reason = "missing" if value is None or value in ("", b"") else _text_fault(value, MAX_ID_BYTES)
        if reason is None:
            ids.append(value.decode() if isinstance(value, bytes) else value)
        else:
            ids.append("")
            wrong.setdefault(reason, []).append(row)
    for reason, rows in wrong.items():
        report.extend([Finding(reason, -1, np.array(rows), [_kind(values[row]) for row in rows])])
    return ids


def _text_fault(value: Any, limit: int = MAX_TEXT_BYTES) -> str | None:
    """Return why a value is no acceptable text, or None."""
    if isinstance(value, str):
        return "too_long" if len(value) > limit or len(value.encode("utf-8", "surrogatepass")) > limit else None
    if not isinstance(value, bytes):
        return "wrong_type"
    if len(value) > limit:
        return "too_long"
    try:
        value.decode()
    except UnicodeDecodeError:
        return "not_utf8"
    return None


def _refuse(column: int, values: Sequence[Any], rows: NDArray[np.intp], reason: str, bad: _Bad, report: Report) -> None:
    bad.mark(rows, column)
    report.extend([Finding(reason, column, rows, [_kind(values[row]) for row in rows.tolist()])])


def _kind(value: Any) -> str:
    """Name what a JSON value is without repeating it."""
    names: list[tuple[type | tuple[type, ...], Callable[[Any], str]]] = [
        (type(None), lambda _: "null"),
        (bool, lambda _: "a boolean"),
        ((int, float), lambda _: "a number"),
        ((str, bytes), lambda text: f"a text of {len(text)} {'bytes' if isinstance(text, bytes) else 'characters'}"),
        (list, lambda _: "a list"),
        (dict, lambda _: "an object"),
    ]
    return next((say(value) for kind, say in names if isinstance(value, kind)), "something else")


def _json_datatype(feature: Feature) -> str:
    return ACCEPTED[feature.type][0]
