"""What an answer has to be, worked out from the very bytes that were sent, without the service's code.

Slow and simple on purpose: `json` and `struct`, a loop per value, the contract's rules written down a second time. Only
the trees are the service's own. It is lenient about nothing: what it can't read must not have been answered.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from lead_scoring.contract.types import Contract, Feature, TargetRate
from lead_scoring.packaging import booster, folder

MAX_LEADS = 500
MAX_TEXT_BYTES = 1024
MAX_ID_BYTES = 256
FORMATS = {
    "BOOL": "B", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i",
    "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
FLOATS = {"FP64", "FP32"}
INTEGERS = {"INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8"}
ACCEPTED = {
    "number": FLOATS | INTEGERS,
    "integer": FLOATS | INTEGERS,
    "boolean": FLOATS | {"BOOL", "UINT8", "INT8"},
    "category": {"BYTES"},
    "timestamp": {"BYTES", "INT64", "FP64"},
}
RFC_3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d):(\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)?)?", re.ASCII)
FLOAT32_MAX = 3.4028234663852886e38
Tensor = tuple[str, str, list[int], list[Any]]


class Unacceptable(Exception):
    """No answer may be given to this request."""


@dataclass(frozen=True)
class Question:
    """A request as it has to be understood: raw values by lead and feature, NaN for missing."""

    lead_ids: list[str]
    rows: list[list[float]]
    as_of: float | None


@dataclass(frozen=True)
class Answer:
    """What came back, columns by output name."""

    version: str
    columns: Mapping[str, Sequence[Any]]
    moment: float
    """When it was given, in seconds since the epoch."""


class Oracle:
    """One version of the model."""

    def __init__(self, version_folder: Path) -> None:
        verified = folder.read_verified(version_folder)
        self.contract: Contract = verified.contract
        self._booster = booster.load(verified.contract, verified.model)
        self._features = {feature.name: column for column, feature in enumerate(self.contract.features)}

    # -- what was asked

    def read_v1(self, body: bytes) -> Question:
        """Read a V1 body."""
        document = _json_object(body)
        _expect(document.keys() <= {"instances", "parameters"}, "unknown key")
        records = document.get("instances")
        _expect(type(records) is list and 1 <= len(records) <= MAX_LEADS, "number of leads")
        ids, rows = [], []
        for record in records:  # type: ignore[union-attr]
            _expect(type(record) is dict and record.keys() <= {*self._features, self.contract.id_field}, "record")
            ids.append(_lead_id(record.get(self.contract.id_field)))
            rows.append(
                [_raw(feature, _advertised(feature), record.get(feature.name)) for feature in self.contract.features]
            )
        return Question(ids, rows, _as_of(document.get("parameters") or {}))

    def read_v2(self, body: bytes, json_length: str | None) -> Question:
        """Read a V2 body; `json_length` is its header."""
        _expect(json_length is None or (json_length.isascii() and json_length.isdigit()), "length of the JSON")
        length = len(body) if json_length is None else int(json_length)
        _expect(0 < length <= len(body), "length of the JSON")
        document, tail = _json_object(body[:length]), body[length:]
        found = document.get("inputs")
        _expect(type(found) is list and len(found) > 0, "inputs")
        tensors: list[Tensor] = []
        for item in found:  # type: ignore[union-attr]
            _expect(type(item) is dict, "tensor")
            shape, data = item.get("shape"), item.get("data")
            _expect(type(shape) is list and all(type(size) is int for size in shape), "shape")
            size = (item.get("parameters") or {}).get("binary_data_size")
            if size is None:
                _expect(type(data) is list, "data")
                if len(shape) == 2 and data and type(data[0]) is list:
                    _expect(all(type(row) is list and len(row) == shape[1] for row in data), "ragged")
                    data = [value for row in data for value in row]
            else:
                _expect(data is None and type(size) is int and 0 <= size <= len(tail), "bytes")
                data, tail = _unpack(item["datatype"], tail[:size]), tail[size:]
            tensors.append((item["name"], item["datatype"], shape, data))
        _expect(not tail, "bytes left over")
        return self._question(tensors, _as_of(document.get("parameters") or {}))

    def read_message(self, raw: bytes) -> Question:
        """Read a gRPC message."""
        message = pb.ModelInferRequest.FromString(raw)
        _expect(message.model_name == self.contract.model.name, "name of the model")
        _expect(message.model_version in ("", self.contract.model.version), "version of the model")
        tensors: list[Tensor] = []
        raws = message.raw_input_contents
        for position, tensor in enumerate(message.inputs):
            if raws:
                _expect(len(raws) == len(message.inputs), "raw and typed")
                data = _unpack(tensor.datatype, raws[position])
            else:
                data = list(getattr(tensor.contents, CONTENTS[tensor.datatype]))
            tensors.append((tensor.name, tensor.datatype, list(tensor.shape), data))
        told = {name: getattr(value, value.WhichOneof("parameter_choice") or "", None)
                for name, value in message.parameters.items()}  # fmt: skip
        return self._question(tensors, _as_of(told))

    def _question(self, tensors: list[Tensor], as_of: float | None) -> Question:
        names = [name for name, *_ in tensors]
        _expect(len(set(names)) == len(names), "a tensor twice")
        _expect(set(names) <= {*self._features, self.contract.id_field, "features"}, "unknown tensor")
        _expect(self.contract.id_field in names, "no ids")
        count = next(shape[0] for name, _, shape, _ in tensors if name == self.contract.id_field)
        _expect(1 <= count <= MAX_LEADS, "number of leads")
        ids: list[str] = []
        rows = [[math.nan] * len(self._features) for _ in range(count)]
        for name, datatype, shape, data in tensors:
            _expect(shape[0] == count, "ragged")
            if name == "features":
                _expect(len(names) == 2 and datatype in FLOATS and shape == [count, len(self._features)], "packed")
                _expect(len(data) == count * len(self._features), "packed data")
                for place, value in enumerate(data):
                    rows[place // len(self._features)][place % len(self._features)] = _number(value)
                continue
            _expect(len(shape) == 1 or shape[1:] == [1], "shape")
            _expect(len(data) == count, "length")
            if name == self.contract.id_field:
                _expect(datatype == "BYTES", "datatype")
                ids = [_lead_id(value) for value in data]
                continue
            feature = self.contract.features[self._features[name]]
            _expect(datatype in ACCEPTED[feature.type], "datatype")
            for row, value in enumerate(data):
                rows[row][self._features[name]] = _raw(feature, datatype, value)
        return Question(ids, rows, as_of)

    # -- what has to be said

    def faults(self, question: Question, answer: Answer) -> list[str]:
        """Return everything that is wrong with an answer."""
        moments = [answer.moment, answer.moment - 1] if question.as_of is None else [question.as_of]
        found: list[str] = []
        for moment in moments:
            try:
                found = self._compare(question, answer, moment)
            except Unacceptable as error:
                found = [f"answered although: {error}"]
            if not found:
                break
        return found

    def _compare(self, question: Question, answer: Answer, as_of: float) -> list[str]:
        encoded, used = [], []
        for row in question.rows:
            pairs = [_encode(feature, value, as_of) for feature, value in zip(self.contract.features, row, strict=True)]
            encoded.append([value for value, _ in pairs])
            used.append(sum(own for _, own in pairs))
        matrix = np.array(encoded, dtype=np.float64).astype(np.float32)
        margins = self._booster.inplace_predict(matrix, predict_type="margin", validate_features=False)
        calibration, edges = self.contract.calibration, self.contract.buckets.edges
        right: dict[str, list[Any]] = {"probability": [], "score": [], "features_used": used}
        for margin in np.asarray(margins).reshape(-1).tolist():
            probability = 1 / (1 + math.exp(-(calibration.slope * margin + calibration.intercept)))
            right["probability"].append(probability)
            closed_left = self.contract.buckets.closed == "left"
            right["score"].append(1 + sum(edge <= probability if closed_left else edge < probability for edge in edges))
        right["lead_id"] = question.lead_ids
        right["model_version"] = [self.contract.model.version] * len(used)
        faults = []
        for name, column in answer.columns.items():
            if len(column) != len(used):
                faults.append(f"{name}: {len(column)} values for {len(used)} leads")
            elif name == "probability":
                gaps = [abs(a - b) for a, b in zip(column, right[name], strict=True)]
                if not max(gaps) <= 1e-9:
                    faults.append(f"probability: off by {max(gaps):g}")
            elif name in right:
                if list(column) != right[name]:
                    faults.append(f"{name}: not what the bytes say")
            elif name == "confidence" and not all(0 <= value <= 1 for value in column):
                faults.append("confidence: outside [0, 1]")
            elif name == "reasons" and not all(
                {reason["feature"] for reason in reasons} <= self._features.keys() for reasons in column
            ):
                faults.append("reasons: of no feature")
        return faults


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise Unacceptable(what)


def _json_object(body: bytes) -> dict[str, Any]:
    def no_constant(_text: str) -> None:
        raise Unacceptable("NaN or infinity")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        _expect(len({key for key, _ in pairs}) == len(pairs), "a key twice")
        return dict(pairs)

    document = json.loads(body.decode(), parse_constant=no_constant, object_pairs_hook=once)
    _expect(type(document) is dict, "no object")
    return document  # type: ignore[no-any-return]


def _unpack(datatype: str, raw: bytes) -> list[Any]:
    if datatype == "BOOL":
        return [{0: False, 1: True}.get(byte, byte) for byte in raw]
    if datatype != "BYTES":
        form = FORMATS[datatype]
        return list(struct.unpack(f"<{len(raw) // struct.calcsize(form)}{form}", raw))
    texts, offset = [], 0
    while offset < len(raw):
        (size,) = struct.unpack_from("<I", raw, offset)
        texts.append(raw[offset + 4 : offset + 4 + size])
        offset += 4 + size
    _expect(offset == len(raw), "texts")
    return texts


def _advertised(feature: Feature) -> str:
    return {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "category": "BYTES", "timestamp": "BYTES"}[
        feature.type
    ]


def _text(value: Any, limit: int = MAX_TEXT_BYTES) -> str:
    _expect(type(value) in (str, bytes), "no text")
    text: str = value.decode() if type(value) is bytes else value
    _expect(len(text.encode()) <= limit, "too long")
    return text


def _lead_id(value: Any) -> str:
    text = _text(value, MAX_ID_BYTES)
    _expect(text != "", "an empty id")
    return text


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    _expect(type(value) in (int, float), "no number")
    return float(value)


def _raw(feature: Feature, datatype: str, value: Any) -> float:
    """Return a value as the packed tensor would carry it."""
    if datatype == "BYTES":
        if value is None or value in ("", b""):
            return math.nan
        text = _text(value)
        if feature.type == "timestamp":
            return _moment(text)
        if text in (feature.missing_values or []):
            return math.nan
        categories = feature.categories or []
        return float(categories.index(text)) if text in categories else -1.0
    if datatype == "BOOL":
        _expect(value is None or type(value) is bool, "no boolean")
        return math.nan if value is None else float(value)
    return _number(value)


def _moment(text: str) -> float:
    match = RFC_3339.fullmatch(text)
    if match is None:
        raise Unacceptable("no time")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    leap = second == 60
    moment = datetime(year, month, day, hour, minute, second - leap, tzinfo=UTC)
    zone, ahead_s = match[8] or "Z", 0.0
    if zone not in "Zz":
        hours, minutes = int(zone[1:3]), int(zone[4:6])
        _expect(hours < 24 and minutes < 60, "no offset")
        ahead_s = (hours * 3600 + minutes * 60) * (1 if zone[0] == "+" else -1)
    fraction = math.floor(float(match[7] or 0) * 1e6) / 1e6
    return moment.timestamp() + fraction + leap - ahead_s


def _as_of(parameters: Any) -> float | None:
    _expect(type(parameters) is dict, "parameters")
    value = parameters.get("as_of")
    if value is None:
        return None
    return _moment(value) if type(value) is str else _number(value)


def _encode(feature: Feature, value: float, as_of: float) -> tuple[float, bool]:
    """Return what the model gets for a value, and whether that is the lead's own."""
    name = feature.name
    if feature.type != "category" and value in (feature.missing_values or []):
        value = math.nan
    _expect(not math.isinf(value), f"{name}: infinite")
    if not math.isnan(value):
        if feature.type == "timestamp":
            value = math.floor((as_of - value) / 86400)
        _expect(feature.type in ("number", "timestamp") or value == math.floor(value), f"{name}: no whole number")
        low, high = feature.minimum, feature.maximum
        if feature.type == "category":
            low, high = 0, len(feature.categories or []) - 1
        elif feature.type == "boolean":
            low, high = 0, 1
        low, high = -FLOAT32_MAX if low is None else low, FLOAT32_MAX if high is None else high
        if not low <= value <= high:
            value = _outside(feature, value, low, high)
    if math.isnan(value):
        _expect(feature.nullable, f"{name}: missing")
        fill = feature.imputation.value
        return (math.nan, False) if fill is None else (_coded(feature, float(fill)), False)
    return _coded(feature, value), True


def _outside(feature: Feature, value: float, low: float, high: float) -> float:
    if feature.type == "category":
        _expect(feature.unknown_category != "reject", f"{feature.name}: unknown")
        other = feature.other_category
        use_other = feature.unknown_category == "other" and other is not None
        return float((feature.categories or []).index(other)) if use_other else math.nan  # type: ignore[arg-type]
    if feature.out_of_range == "clip":
        return min(max(value, low), high)
    _expect(feature.out_of_range == "missing", f"{feature.name}: out of range")
    return math.nan


def _coded(feature: Feature, value: float) -> float:
    if isinstance(feature.encoder, TargetRate):
        return float(feature.encoder.values[int(value)])
    return value
