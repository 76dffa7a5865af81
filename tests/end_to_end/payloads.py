"""The same leads in every form that the API takes."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from lead_scoring.contract.types import Contract
from lead_scoring.core.assembly import from_records
from lead_scoring.core.plan import ACCEPTED, FeaturePlan
from lead_scoring.data.leads import generate

LENGTH = "inference-header-content-length"
CONTENTS = {"FP64": "fp64_contents", "INT64": "int64_contents", "BOOL": "bool_contents", "BYTES": "bytes_contents"}
DTYPES = {"FP64": "<f8", "INT64": "<i8", "BOOL": "u1"}

Lead = Mapping[str, Any]
Body = tuple[bytes, dict[str, str]]
"""A REST body and its headers."""


def generated(count: int, *, seed: int) -> list[dict[str, Any]]:
    """Return made-up leads as a CRM would send them: no outcome, times as text."""
    table = generate(count, seed=seed).drop_columns(["scored_at", "converted"])
    return [{name: _as_json(value) for name, value in row.items()} for row in table.to_pylist()]


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
    return value


@dataclass(frozen=True)
class Column:
    """One tensor `[n]`; None for missing."""

    name: str
    datatype: str
    values: list[Any]

    def array(self) -> np.ndarray[Any, Any]:
        """Return it as the clients' libraries want it: gaps as NaN or empty text."""
        return np.array(self._filled(), dtype=object if self.datatype == "BYTES" else DTYPES[self.datatype])

    def frame(self) -> bytes:
        """Return the bytes of the binary extension, which are gRPC's raw contents too."""
        if self.datatype != "BYTES":
            return self.array().tobytes()
        texts = [text.encode() for text in self._filled()]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)

    def contents(self) -> dict[str, list[Any]]:
        """Return gRPC's typed contents."""
        values = [text.encode() for text in self._filled()] if self.datatype == "BYTES" else self._filled()
        return {CONTENTS[self.datatype]: values}

    def _filled(self) -> list[Any]:
        gap: Any = "" if self.datatype == "BYTES" else math.nan
        return [gap if value is None else value for value in self.values]


def columns(contract: Contract, leads: Sequence[Lead], *, json: bool = False) -> list[Column]:
    """Return a tensor per feature and the ids; where only JSON can say that an integer is missing, floats."""
    found = [Column(contract.id_field, "BYTES", [lead[contract.id_field] for lead in leads])]
    for feature in contract.features:
        values, datatype = [lead.get(feature.name) for lead in leads], ACCEPTED[feature.type][0]
        if not json and None in values and datatype in ("INT64", "BOOL"):
            datatype = "FP64"
        found.append(Column(feature.name, datatype, values))
    return found


def packed(contract: Contract, leads: Sequence[Lead]) -> np.ndarray[Any, Any]:
    """Return the one tensor `[n, f]` of fast clients."""
    return from_records(FeaturePlan.of(contract), list(leads), max_leads=len(leads)).raw


def records(_contract: Contract, leads: Sequence[Lead], **parameters: Any) -> dict[str, Any]:
    """Return a V1 document."""
    return {"instances": list(leads), "parameters": parameters}


def named(contract: Contract, leads: Sequence[Lead], **parameters: Any) -> dict[str, Any]:
    """Return a V2 document with a tensor per feature."""
    inputs = [
        {"name": column.name, "datatype": column.datatype, "shape": [len(leads)], "data": column.values}
        for column in columns(contract, leads, json=True)
    ]
    return {"inputs": inputs, "parameters": parameters}


def named_binary(contract: Contract, leads: Sequence[Lead], **parameters: Any) -> Body:
    """Return a V2 body whose tensors are bytes, one per feature."""
    tensors = [(column.name, column.datatype, [len(leads)], column.frame()) for column in columns(contract, leads)]
    return binary(tensors, **parameters)


def packed_json(contract: Contract, leads: Sequence[Lead], **parameters: Any) -> dict[str, Any]:
    """Return a V2 document with all features in one tensor."""
    matrix = packed(contract, leads)
    ids = {"name": contract.id_field, "datatype": "BYTES", "shape": [len(leads)], "data": _ids(contract, leads)}
    rows = np.where(np.isnan(matrix), None, matrix).tolist()
    all_features = {"name": "features", "datatype": "FP64", "shape": list(matrix.shape), "data": rows}
    return {"inputs": [ids, all_features], "parameters": parameters}


def packed_binary(contract: Contract, leads: Sequence[Lead], **parameters: Any) -> Body:
    """Return a V2 body with all features in one tensor of bytes."""
    matrix = packed(contract, leads)
    ids = Column(contract.id_field, "BYTES", _ids(contract, leads))
    tensors = [
        (ids.name, "BYTES", [len(leads)], ids.frame()),
        ("features", "FP64", list(matrix.shape), matrix.astype("<f8").tobytes()),
    ]
    return binary(tensors, **parameters)


def binary(tensors: Sequence[tuple[str, str, list[int], bytes]], **parameters: Any) -> Body:
    """Put tensors (name, datatype, shape, bytes) behind their JSON."""
    inputs = [
        {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}
        for name, datatype, shape, raw in tensors
    ]
    text = orjson.dumps({"inputs": inputs, "parameters": parameters})
    return b"".join([text, *(raw for *_, raw in tensors)]), {LENGTH: str(len(text))}


def typed_message(contract: Contract, leads: Sequence[Lead], **parameters: Any) -> Any:
    """Return a gRPC request with typed contents."""
    message = _message(contract, **parameters)
    for column in columns(contract, leads):
        message.inputs.add(name=column.name, datatype=column.datatype, shape=[len(leads)], contents=column.contents())
    return message


def raw_message(contract: Contract, leads: Sequence[Lead], **parameters: Any) -> Any:
    """Return a gRPC request with raw contents."""
    message = _message(contract, **parameters)
    for column in columns(contract, leads):
        message.inputs.add(name=column.name, datatype=column.datatype, shape=[len(leads)])
        message.raw_input_contents.append(column.frame())
    return message


def packed_message(contract: Contract, leads: Sequence[Lead], **parameters: Any) -> Any:
    """Return a gRPC request with all features in one raw tensor."""
    message, matrix = _message(contract, **parameters), packed(contract, leads)
    message.inputs.add(name=contract.id_field, datatype="BYTES", shape=[len(leads)])
    message.inputs.add(name="features", datatype="FP64", shape=matrix.shape)
    ids = Column(contract.id_field, "BYTES", _ids(contract, leads)).frame()
    message.raw_input_contents.extend([ids, matrix.astype("<f8").tobytes()])
    return message


def _message(contract: Contract, **parameters: Any) -> Any:
    message = pb.ModelInferRequest(model_name=contract.model.name)
    kinds = {bool: "bool_param", int: "int64_param", str: "string_param"}
    for name, value in parameters.items():
        setattr(message.parameters[name], kinds[type(value)], value)
    return message


def _ids(contract: Contract, leads: Sequence[Lead]) -> list[str]:
    return [lead[contract.id_field] for lead in leads]


def bits_of(found: Any, version: str) -> list[tuple[Any, ...]]:
    """Return what `doors.Answer.bits` must give for leads that were scored offline by a version."""
    scores = found.scores
    return [
        (score, probability.hex(), confidence.hex(), used, version, f"v{version}")
        for score, probability, confidence, used in zip(
            scores.score.tolist(),
            scores.probability.tolist(),
            scores.confidence.tolist(),
            found.encoded.used.tolist(),
            strict=True,
        )
    ]
