"""V2 (Open Inference) over gRPC: protocol messages to our request, our answer to protocol messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kserve.protocol.grpc.grpc_predict_v2_pb2 import (
    InferParameter,
    InferTensorContents,
    ModelInferRequest,
    ModelInferResponse,
)

from lead_scoring.core.assembly import Tensor
from lead_scoring.core.findings import Report
from lead_transformer import v2_binary
from lead_transformer.envelope import (
    MAX_DIMENSIONS,
    MAX_ID_CHARACTERS,
    MAX_TENSORS,
    check_outputs,
    refuse_id,
    refuse_size,
)
from lead_transformer.json_body import new_report, raise_if_any
from lead_transformer.messages import Answer, OutputSpec, ScoreRequest
from lead_transformer.outputs import OUTPUTS, Column, settle, wanted
from lead_transformer.parameters import read_options
from lead_transformer.v2_json import response_parameters

__all__ = ["decode", "encode"]

_CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Which field of InferTensorContents carries a datatype; FP16 and BF16 only travel raw."""


def decode(message: ModelInferRequest) -> ScoreRequest:
    """Read a request whose tensors come as typed contents or as raw bytes.

    The model's name and version in the message are for the caller to check. Parameters that we don't know are ignored.

    Raises:
        InvalidLeads: contents that are not of the protocol's form (INVALID_ARGUMENT).
    """
    report = new_report()
    if len(message.id) > MAX_ID_CHARACTERS:
        refuse_id(f"a text of {len(message.id)} characters", report)
    options = read_options(_values(message.parameters) if message.parameters else {}, report)
    outputs = None
    if len(message.outputs) > MAX_TENSORS:
        refuse_size("$.outputs", f"a list of {len(message.outputs)}", report)
    elif message.outputs:
        outputs = [OutputSpec(output.name) for output in message.outputs]
        check_outputs(outputs, report)
    tensors: list[Tensor] = []
    if not 1 <= len(message.inputs) <= MAX_TENSORS:
        refuse_size("$.inputs", f"a list of {len(message.inputs)}", report)
    elif message.raw_input_contents:
        tensors = _raw_tensors(message, report)
    else:
        tensors = _typed_tensors(message, report)
    raise_if_any(report)
    return ScoreRequest(id=message.id or None, options=settle(options, outputs), tensors=tensors, outputs=outputs)


def encode(message: ModelInferRequest, request: ScoreRequest, answer: Answer) -> ModelInferResponse:
    """Return the response; its outputs are raw bytes if the inputs were, typed contents otherwise.

    Raises:
        ServiceError: the answer lacks an output that was asked for.
    """
    response = ModelInferResponse(
        model_name=answer.model_name,
        model_version=answer.model_version,
        id=request.id or "",
        parameters={name: _parameter(value) for name, value in response_parameters(answer).items()},
    )
    raw, shape = bool(message.raw_input_contents), [len(answer)]
    for spec in wanted(request):
        output = OUTPUTS[spec.name]
        column = output.values(answer)
        if raw:
            response.outputs.add(name=spec.name, datatype=output.datatype, shape=shape)
            response.raw_output_contents.append(v2_binary.encode(column))
        else:
            response.outputs.add(
                name=spec.name, datatype=output.datatype, shape=shape, contents=_contents(output.datatype, column)
            )
    return response


class _Unreadable:
    """Stands for a parameter without a value, or with one of a kind that this version of the protocol lacks."""


_UNREADABLE = _Unreadable()


def _values(parameters: Mapping[str, InferParameter]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        values[name] = _UNREADABLE if choice is None else getattr(parameter, choice)
    return values


def _parameter(value: Any) -> InferParameter:
    if isinstance(value, bool):
        return InferParameter(bool_param=value)
    if isinstance(value, int):
        return InferParameter(int64_param=value)
    return InferParameter(string_param=value if isinstance(value, str) else str(value))  # the protocol has no fractions


def _contents(datatype: str, column: Column) -> InferTensorContents:
    values = [text.encode() for text in column] if isinstance(column, list) else column.tolist()
    return InferTensorContents(**{_CONTENTS[datatype]: values})


def _raw_tensors(message: ModelInferRequest, report: Report) -> list[Tensor]:
    raws = message.raw_input_contents
    if len(raws) != len(message.inputs):
        report.add(
            "$.raw_input_contents",
            "wrong_length",
            expected=f"one element for each of the {len(message.inputs)} inputs",
            got=f"{len(raws)}",
            remedy="send all tensors raw, or none",
        )
        return []
    tensors: list[Tensor] = []
    for position, (tensor, raw) in enumerate(zip(message.inputs, raws, strict=True)):
        shape = _shape(tensor.shape, position, report)
        if tensor.HasField("contents") and tensor.contents.ListFields():
            report.add(
                f"$.inputs[{position}].contents",
                "ambiguous",
                expected="either contents or raw_input_contents",
                got="both",
                remedy="send only one of the two",
            )
        if shape is None:
            continue
        try:
            tensors.append(Tensor(tensor.name, tensor.datatype, shape, v2_binary.decode(tensor.datatype, shape, raw)))
        except v2_binary.TensorError as error:
            path = (
                f"$.inputs[{position}].datatype"
                if error.reason == "wrong_datatype"
                else f"$.raw_input_contents[{position}]"
            )
            report.add(
                path,
                error.reason,
                expected=error.expected,
                got=error.got,
                remedy="make datatype, shape and bytes agree",
            )
    return tensors


def _typed_tensors(message: ModelInferRequest, report: Report) -> list[Tensor]:
    tensors: list[Tensor] = []
    for position, tensor in enumerate(message.inputs):
        shape = _shape(tensor.shape, position, report)
        field = _CONTENTS.get(tensor.datatype)
        if field is None:
            report.add(
                f"$.inputs[{position}].datatype",
                "wrong_datatype",
                expected="one of " + ", ".join(_CONTENTS),
                got="another datatype",
                remedy="send a datatype that the model's metadata lists",
            )
            continue
        filled = tensor.contents.ListFields()
        if filled and (len(filled) > 1 or filled[0][0].name != field):
            report.add(
                f"$.inputs[{position}].contents",
                "wrong_contents",
                expected=f"values in {field} alone, as the datatype says",
                got="values in " + " and ".join(descriptor.name for descriptor, _ in filled),
                remedy=f"move them to {field}",
            )
            continue
        if shape is not None:
            tensors.append(Tensor(tensor.name, tensor.datatype, shape, filled[0][1][:] if filled else []))
    return tensors


def _shape(shape: Any, position: int, report: Report) -> list[int] | None:
    if 1 <= len(shape) <= MAX_DIMENSIONS:
        sizes: list[int] = shape[:]
        return sizes
    report.add(
        f"$.inputs[{position}].shape",
        "wrong_shape",
        expected=f"1 to {MAX_DIMENSIONS} dimensions",
        got=f"{len(shape)}",
        remedy="send [n] for one feature of n leads",
    )
    return None
