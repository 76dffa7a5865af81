"""What a request says and how its answer is put: the one place where tensors are read, refused and written."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import Any

import numpy as np
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, RequestInput, ResponseOutput, TensorData
from numpy.typing import NDArray

from lead_predictor.predictions import MAX_LEADS

__all__ = ["OUTPUTS", "Form", "Question", "from_prefixed", "read", "to_prefixed", "write"]

OUTPUTS = ("probability", "margin", "contributions")
_NUMBERS = frozenset((float, int, type(None)))
_LENGTH = struct.Struct("<I")


class Form(Enum):
    """How a tensor travels; an answer takes the form of its question."""

    PLAIN = "plain"
    """A list of numbers."""
    RAW = "raw"
    """An array over the bytes that came; only the gRPC edge makes these."""
    FRAME = "frame"
    """The bytes of the whole tensor as one BYTES element."""


@dataclass(frozen=True)
class Question:
    """A request that can be answered: `matrix` `(n, f)` float32, NaN for gaps, and the outputs in their order."""

    matrix: NDArray[np.float32]
    form: Form
    outputs: tuple[str, ...]


def read(request: InferenceRequest, *, name: str, width: int) -> Question:
    """Decode a request whose only input is the tensor `name` of `width` columns; frames and raw tensors are not copied.

    Raises:
        InferenceError: anything else than that, an infinite value, or an unknown output (400 / INVALID_ARGUMENT). What
            the client sent is not repeated.
    """
    if len(request.inputs) != 1:
        raise InferenceError(
            f"$.inputs: expected the one tensor {name!r}, got {len(request.inputs)} tensors; send just it"
        )
    tensor = request.inputs[0]
    if tensor.name != name:
        raise InferenceError(f"$.inputs[0].name: expected {name!r}, got another name; see the model's metadata")
    data = tensor.data.root if isinstance(tensor.data, TensorData) else tensor.data
    datatype = str(tensor.datatype)
    if datatype == "BYTES":
        matrix, form = _from_frame(tensor.shape, data, width), Form.FRAME
    elif datatype == "FP32":
        matrix = _from_values(tensor, data, width)
        form = Form.RAW if isinstance(data, np.ndarray) else Form.PLAIN
    else:
        raise InferenceError(
            "$.inputs[0].datatype: expected FP32, or BYTES for a frame, got another datatype; convert the values"
        )
    infinite = np.isinf(matrix)
    if infinite.any():
        row, column = np.argwhere(infinite)[0].tolist()
        raise InferenceError(
            f"$.inputs[0].data[{row}][{column}]: expected a finite float32, got an infinite one; "
            "send NaN (null in JSON) for a gap"
        )
    return Question(matrix, form, _outputs(request))


def write(answers: Mapping[str, NDArray[np.float32]], form: Form) -> list[ResponseOutput]:
    """Encode named arrays in the form of the question."""
    outputs: list[ResponseOutput] = []
    for name, array in answers.items():
        datatype, shape = "FP32", list(array.shape)
        data: Any
        if form is Form.FRAME:
            datatype, shape, data = "BYTES", [1], [array.astype("<f4", copy=False).tobytes()]
        elif form is Form.RAW:
            data = array
        else:
            data = array.ravel().tolist()
        # Not validated: these are our own values, and pydantic would walk through every one of them.
        root = TensorData.model_construct(root=data)
        outputs.append(
            ResponseOutput.model_construct(name=name, datatype=datatype, shape=shape, data=root, parameters=None)
        )
    return outputs


def from_prefixed(raw: bytes) -> list[memoryview]:
    """Return the single element of a raw BYTES tensor, not copied: four bytes of little-endian length, then it.

    Raises:
        InferenceError: the length is not that of the rest.
    """
    if len(raw) < _LENGTH.size or _LENGTH.unpack_from(raw)[0] != len(raw) - _LENGTH.size:
        raise InferenceError(
            "$.raw_input_contents[0]: expected one element after its length in four bytes; correct the length"
        )
    return [memoryview(raw)[_LENGTH.size :]]


def to_prefixed(element: bytes) -> bytes:
    """Return an element as a raw BYTES tensor."""
    return _LENGTH.pack(len(element)) + element


def _outputs(request: InferenceRequest) -> tuple[str, ...]:
    if not request.outputs:
        return OUTPUTS[:1]
    names = tuple(output.name for output in request.outputs)
    for position, name in enumerate(names):
        if name not in OUTPUTS:
            raise InferenceError(
                f"$.outputs[{position}].name: expected one of {', '.join(OUTPUTS)}, got another name; correct it"
            )
    if len(set(names)) != len(names):
        raise InferenceError("$.outputs: expected each output once, got one of them twice; remove one of the two")
    return names


def _from_frame(shape: Sequence[int], data: Any, width: int) -> NDArray[np.float32]:
    if list(shape) != [1] or len(data) != 1:
        raise InferenceError(
            f"$.inputs[0]: expected one frame and the shape [1], got {len(data)} elements; send the leads as one"
        )
    frame = data[0]
    if not isinstance(frame, bytes | memoryview):
        raise InferenceError(
            "$.inputs[0].data: frames are for gRPC, JSON can't hold them; send FP32 values of shape [n, f]"
        )
    if not len(frame) or len(frame) % (4 * width):
        raise InferenceError(
            f"$.inputs[0].data: expected a multiple of {4 * width} bytes, {width} float32 values a lead, "
            f"got {len(frame)} bytes; send whole leads"
        )
    return _checked(np.frombuffer(frame, dtype="<f4").reshape(-1, width))


def _from_values(tensor: RequestInput, data: Any, width: int) -> NDArray[np.float32]:
    shape = list(tensor.shape)
    if len(shape) != 2 or shape[1] != width or shape[0] < 1:
        raise InferenceError(f"$.inputs[0].shape: expected [n, {width}], got {shape[:4]}; correct the shape")
    if not isinstance(data, np.ndarray):
        data = _numbers(data)
    if len(data) != shape[0] * width:
        raise InferenceError(
            f"$.inputs[0].data: expected {shape[0] * width} values, as the shape says, got {len(data)}; make both agree"
        )
    return _checked(data.reshape(shape))


def _numbers(data: Any) -> NDArray[np.float32]:
    if not isinstance(data, list):
        raise InferenceError(
            "$.inputs[0].data: expected a list of numbers, got something else; send the leads row after row"
        )
    if data and all(type(row) is list for row in data):
        data = list(chain.from_iterable(data))
    if not _NUMBERS.issuperset(set(map(type, data))):
        raise InferenceError(
            "$.inputs[0].data: expected numbers, and null for a gap, got something else; encode the leads first"
        )
    with np.errstate(over="ignore"):  # too large for float32 is infinite, and refused as that
        return np.array(data, dtype=np.float32)


def _checked(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    if len(matrix) > MAX_LEADS:
        raise InferenceError(f"$.inputs[0]: expected at most {MAX_LEADS} leads, got {len(matrix)}; split the batch")
    return matrix
