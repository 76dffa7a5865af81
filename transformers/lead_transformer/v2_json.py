"""V2 (Open Inference) over REST: JSON bodies, with or without the binary tensor data extension."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any, TypeGuard

import numpy as np
import orjson
from numpy.typing import NDArray

from lead_scoring.core.assembly import Tensor
from lead_scoring.core.columns import kind_of
from lead_scoring.core.findings import Report
from lead_scoring.errors import InvalidLeads, Problem
from lead_transformer import v2_binary
from lead_transformer.envelope import (
    MAX_DIMENSIONS,
    MAX_ID_CHARACTERS,
    MAX_TENSORS,
    check_outputs,
    refuse_id,
    refuse_size,
)
from lead_transformer.json_body import new_report, parse, raise_if_any
from lead_transformer.messages import Answer, OutputSpec, ScoreRequest
from lead_transformer.outputs import OUTPUTS, settle, wanted
from lead_transformer.parameters import read_flag, read_options

__all__ = ["HEADER_LENGTH", "decode", "encode", "response_parameters"]

HEADER_LENGTH = "inference-header-content-length"
"""The header that says how much of the body is JSON, in both directions."""

_MAX_DIGITS = 10
_DATA = (list, np.ndarray)

Data = list[Any] | NDArray[np.float64]


def decode(body: bytes, headers: Mapping[str, str]) -> ScoreRequest:
    """Parse the body of ``POST /v2/models/{name}/infer``.

    Only the envelope is checked here; names, datatypes, shapes and values are checked by `core.assembly`. Keys and
    parameters that we don't know are ignored: other servers' clients send them.

    Args:
        body: the whole body, already decompressed.
        headers: lower-case names; only `HEADER_LENGTH` is read.

    Raises:
        InvalidLeads: not a JSON object, or tensors, parameters or outputs that are not of the protocol's form (400).
    """
    length = _json_length(headers.get(HEADER_LENGTH), len(body))
    document = parse(body if length == len(body) else body[:length])
    report = new_report()
    id_ = document.get("id")
    if id_ is not None and (type(id_) is not str or len(id_) > MAX_ID_CHARACTERS):
        refuse_id(kind_of(id_), report)
    parameters = _object(document.get("parameters"), "$.parameters", report)
    options = read_options(parameters, report)
    binary_default = read_flag(parameters, "binary_data_output", report)
    outputs = _outputs(document.get("outputs"), binary_default, report)
    tensors = _tensors(document.get("inputs"), memoryview(body)[length:], report)
    raise_if_any(report)
    return ScoreRequest(
        id=id_, options=settle(options, outputs), tensors=tensors, outputs=outputs, binary_default=binary_default
    )


def encode(request: ScoreRequest, answer: Answer) -> tuple[bytes, list[tuple[str, str]]]:
    """Return the response body and its headers: ``content-type`` and, with binary outputs, `HEADER_LENGTH`.

    Numbers in JSON are the shortest texts that read back to the same bits.

    Raises:
        ServiceError: the answer lacks an output that was asked for.
    """
    shape = [len(answer)]
    outputs: list[dict[str, Any]] = []
    frames: list[bytes] = []
    for spec in wanted(request):
        output = OUTPUTS[spec.name]
        column = output.values(answer)
        described: dict[str, Any] = {"name": spec.name, "datatype": output.datatype, "shape": shape}
        if spec.binary:
            frames.append(v2_binary.encode(column))
            described["parameters"] = {"binary_data_size": len(frames[-1])}
        else:
            described["data"] = column
        outputs.append(described)
    document: dict[str, Any] = {"model_name": answer.model_name, "model_version": answer.model_version}
    if request.id is not None:
        document["id"] = request.id
    document["parameters"] = response_parameters(answer)
    document["outputs"] = outputs
    text = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    if not frames:
        return text, [("content-type", "application/json")]
    return b"".join((text, *frames)), [("content-type", "application/octet-stream"), (HEADER_LENGTH, str(len(text)))]


def response_parameters(answer: Answer) -> dict[str, Any]:
    """Return what every response says about itself, in V1 and V2."""
    return {
        "request_id": answer.request_id,
        "timestamp": answer.timestamp,
        "total_leads": len(answer),
        "processing_time_ms": round(answer.processing_time_ms, 3),
        **answer.extra,
    }


def _json_length(header: str | None, size: int) -> int:
    if header is None:
        return size
    # `int` would take signs, underscores and foreign digits; the length of the text bounds the number.
    text = header.strip()
    if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        length = int(text)
        if 0 < length <= size:
            return length
        got = str(length)
    else:
        got = "something that is not a whole number"
    raise InvalidLeads(
        [
            Problem(
                "header Inference-Header-Content-Length",
                "invalid_header",
                f"the length of the JSON, 1 to {size} bytes",
                got,
                "send the size of the JSON alone, or leave the header out if there is no binary data",
            )
        ]
    )


def _object(value: Any, path: str, report: Report) -> dict[str, Any]:
    if type(value) is dict:
        return value
    if value is not None:
        report.add(path, "wrong_type", expected="an object", got=kind_of(value), remedy="correct it or leave it out")
    return {}


def _outputs(value: Any, binary_default: bool, report: Report) -> list[OutputSpec] | None:
    if value is None or value == []:
        return None
    if type(value) is not list or len(value) > MAX_TENSORS:
        refuse_size("$.outputs", kind_of(value), report)
        return None
    specs: list[OutputSpec] = []
    for position, item in enumerate(value):
        path = f"$.outputs[{position}]"
        name = item.get("name") if type(item) is dict else None
        if type(name) is not str:
            got = kind_of(item if type(item) is not dict else name)
            report.add(path, "wrong_type", expected='{"name": a text}', got=got, remedy="name the output")
            return None
        parameters = _object(item.get("parameters"), f"{path}.parameters", report)
        binary = read_flag(parameters, "binary_data", report, f"{path}.parameters", default=binary_default)
        specs.append(OutputSpec(name, binary))
    check_outputs(specs, report)
    return specs


def _tensors(inputs: Any, frames: memoryview, report: Report) -> list[Tensor]:
    if type(inputs) is not list or not 1 <= len(inputs) <= MAX_TENSORS:
        refuse_size("$.inputs", "nothing" if inputs is None else kind_of(inputs), report)
        return []
    tensors: list[Tensor] = []
    sizes: dict[int, int] = {}
    for position, item in enumerate(inputs):
        if type(item) is dict:
            name, datatype, shape, data = item.get("name"), item.get("datatype"), item.get("shape"), item.get("data")
            if type(name) is str and type(datatype) is str and _is_shape(shape):
                if not isinstance(data, _DATA) or len(shape) > 1 or "parameters" in item:
                    data, size = _data(item, shape, data, f"$.inputs[{position}]", report)
                    if size is not None:
                        sizes[position] = size
                tensors.append(Tensor(name, datatype, shape, data))
                continue
        _refuse_tensor(item, f"$.inputs[{position}]", report)
    if not report.structural and (sizes or len(frames)):
        _read_frames(tensors, sizes, frames, report)
    return tensors


def _is_shape(shape: Any) -> TypeGuard[list[int]]:
    if type(shape) is not list:
        return False
    if len(shape) == 1:
        return type(shape[0]) is int
    return 1 <= len(shape) <= MAX_DIMENSIONS and all(type(size) is int for size in shape)


def _data(item: dict[str, Any], shape: list[int], data: Any, path: str, report: Report) -> tuple[Data, int | None]:
    """Return a tensor's values from the JSON, or none of them and how many bytes follow it."""
    parameters = _object(item.get("parameters"), f"{path}.parameters", report)
    size = parameters.get("binary_data_size")
    if size is None:
        if isinstance(data, np.ndarray):
            return data, None
        if type(data) is list:
            return _flat(data, shape, path, report), None
        got = "nothing" if data is None else kind_of(data)
        report.add(
            f"{path}.data",
            "missing_data",
            expected="a list of values, or parameters.binary_data_size",
            got=got,
            remedy="send the tensor's values",
        )
    elif type(size) is not int or size < 0:
        report.add(
            f"{path}.parameters.binary_data_size",
            "invalid_parameter",
            expected="a number of bytes, 0 or more",
            got=str(size) if type(size) is int else kind_of(size),
            remedy="send the size of the tensor's bytes",
        )
    elif data is not None:
        report.add(
            f"{path}.data",
            "ambiguous",
            expected="either data or parameters.binary_data_size",
            got="both",
            remedy="send only one of the two",
        )
    else:
        return [], size
    return [], None


def _flat(data: list[Any], shape: list[int], path: str, report: Report) -> list[Any]:
    """Flatten ``[n][m]`` values of a shape ``[n, m]``; all else is for the assembly to judge."""
    if len(shape) != 2 or not data or type(data[0]) is not list:
        return data
    width = shape[1]
    ragged = next((row for row, values in enumerate(data) if type(values) is not list or len(values) != width), None)
    if ragged is not None:
        report.add(
            f"{path}.data[{ragged}]",
            "ragged",
            expected=f"a list of {width}, as the shape says",
            got=kind_of(data[ragged]),
            remedy="send as many values in every row, or all of them in one flat list",
        )
    return list(chain.from_iterable(data)) if ragged is None else []


def _refuse_tensor(item: Any, path: str, report: Report) -> None:
    if type(item) is not dict:
        report.add(
            path,
            "wrong_type",
            expected='{"name": …, "datatype": …, "shape": […], "data": […]}',
            got=kind_of(item),
            remedy="send every tensor as an object",
        )
        return
    for key, expected in (("name", "a text"), ("datatype", "a text such as FP64")):
        value = item.get(key)
        if type(value) is not str:
            got = "nothing" if value is None else kind_of(value)
            report.add(f"{path}.{key}", "wrong_type", expected=expected, got=got, remedy="send it as the protocol says")
    shape = item.get("shape")
    if not _is_shape(shape):
        got = "nothing" if shape is None else kind_of(shape)
        report.add(
            f"{path}.shape",
            "wrong_shape",
            expected=f"a list of 1 to {MAX_DIMENSIONS} whole numbers",
            got=got,
            remedy="send [n] for one feature of n leads",
        )


def _read_frames(tensors: list[Tensor], sizes: dict[int, int], frames: memoryview, report: Report) -> None:
    """Replace the data of the tensors that come as bytes after the JSON, in the order of the inputs."""
    total = sum(sizes.values())
    if total != len(frames):
        report.add(
            "$.inputs",
            "wrong_length",
            expected=f"{len(frames)} bytes of binary data in all, as many as follow the JSON",
            got=f"{total} by the sizes of the tensors",
            remedy="make binary_data_size and Inference-Header-Content-Length agree with the body",
        )
        return
    offset = 0
    for position, size in sizes.items():
        tensor = tensors[position]
        try:
            data = v2_binary.decode(tensor.datatype, tensor.shape, frames[offset : offset + size])
        except v2_binary.TensorError as error:
            field = "datatype" if error.reason == "wrong_datatype" else "data"
            report.add(
                f"$.inputs[{position}].{field}",
                error.reason,
                expected=error.expected,
                got=error.got,
                remedy="make datatype, shape and bytes agree",
            )
            data = []
        tensors[position] = Tensor(tensor.name, tensor.datatype, tensor.shape, data)
        offset += size
