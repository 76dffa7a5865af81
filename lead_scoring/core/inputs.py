"""The tensors of a V2 request: which are there, and whether each can be what it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from lead_scoring.contract.types import RESERVED_NAME
from lead_scoring.core.findings import Report
from lead_scoring.core.plan import ALL, ID, FeaturePlan

__all__ = ["PACKED", "Tensor", "check_presence", "check_sizes", "lost_columns", "positions"]

PACKED = RESERVED_NAME
"""Name of the tensor that carries all features at once, in contract order; no feature may have it."""

_MAX_SIZE = 2**31
"""No dimension of a request that is answered comes near it."""


class Tensor(NamedTuple):
    """One V2 input after its transport's own decoding; a request may have hundreds, so it is made quickly.

    `data` is a flat list of JSON values (None for null; text as str or bytes) or a flat numeric array, of any length:
    whether it fits the shape is checked here, so that every transport says the same.
    """

    name: str
    datatype: str
    shape: Sequence[int]
    data: Sequence[Any] | NDArray[Any]


def positions(plan: FeaturePlan, tensors: Sequence[Tensor], report: Report) -> dict[int, int]:
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


def check_presence(plan: FeaturePlan, inputs: Mapping[int, int], report: Report) -> bool:
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


def check_sizes(
    plan: FeaturePlan, tensors: Sequence[Tensor], inputs: Mapping[int, int], report: Report
) -> tuple[int, dict[int, int]]:
    """Report wrong datatypes, shapes and lengths; return the number of leads (-1 if none says) and the usable inputs.

    Where tensors disagree about the number of leads, most of them are right.
    """
    sizes: dict[int, int] = {}
    usable: dict[int, int] = {}
    for column, position in inputs.items():
        tensor = tensors[position]
        shape = tensor.shape
        if column != ALL and len(shape) == 1 and tensor.datatype in plan.accepted[column]:  # the usual case first
            size = shape[0]
            if type(size) is int and len(tensor.data) == size:
                sizes[column] = size
                usable[column] = position
                continue
        before = report.structural_total
        measured = _measure(plan, tensor, column, position, report)
        if measured is not None:
            sizes[column] = measured
        if report.structural_total == before:
            usable[column] = position
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
                usable.pop(column, None)
    return count, usable


def _measure(plan: FeaturePlan, tensor: Tensor, column: int, position: int, report: Report) -> int | None:
    """Report what is wrong with one tensor; return the number of leads that its shape says."""
    accepted, shape = plan.accepted[column], tensor.shape
    width = len(plan.features) if column == ALL else 1
    if tensor.datatype not in accepted:
        report.add(
            f"$.inputs[{position}].datatype",
            "wrong_datatype",
            expected=" or ".join(accepted),
            got="another datatype",
            remedy=f"send it as {accepted[0]}",
        )
    fits = (len(shape) == 2 and shape[1] == width) or (len(shape) == 1 and column != ALL)
    if not fits or not all(type(size) is int and 0 <= size < _MAX_SIZE for size in shape):
        report.add(
            f"$.inputs[{position}].shape",
            "wrong_shape",
            expected=f"[n, {width}]" if column == ALL else "[n]",
            got=_shown(shape),
            remedy="correct the shape",
        )
        return None
    if len(tensor.data) != shape[0] * width:
        report.add(
            f"$.inputs[{position}].data",
            "wrong_length",
            expected=f"{shape[0] * width} values, as the shape says",
            got=f"{len(tensor.data)}",
            remedy="make shape and data agree",
        )
    return shape[0]


def lost_columns(plan: FeaturePlan, inputs: Mapping[int, int], usable: Mapping[int, int]) -> list[int]:
    """Return the columns whose tensor was reported, so that their values are not reported too."""
    if ALL in inputs:
        return [] if ALL in usable else list(range(len(plan.features)))
    return [column for column in {*inputs, *plan.required_columns} - usable.keys() if column >= 0]


def _shown(shape: Sequence[Any]) -> str:
    if len(shape) <= 4 and all(type(size) is int and abs(size) < _MAX_SIZE for size in shape):
        return str(list(shape))
    return f"{len(shape)} dimensions, not all of them possible"
