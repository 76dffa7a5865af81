"""What types alone can't say: the rules that the fields of a contract owe each other."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from lead_scoring.contract.types import (
    RESERVED_NAME,
    Buckets,
    Confidence,
    Contract,
    DaysSince,
    Feature,
    Histogram,
    Identity,
    Ordinal,
    TargetRate,
)

__all__ = ["feature_violations", "violations"]

_ENCODERS = {
    "number": (Identity,),
    "integer": (Identity,),
    "boolean": (Identity,),
    "category": (Ordinal, TargetRate),
    "timestamp": (DaysSince,),
}
_UNNAMEABLE = frozenset("[]<")
"""XGBoost takes no feature name that has one of these."""


def violations(contract: Contract) -> list[str]:
    """Return every broken rule as ``path: what is wrong``; an empty list for a sound contract."""
    return [
        *_name_violations(contract),
        *(
            f"$.features[{position}] ({feature.name}): {rule}"
            for position, feature in enumerate(contract.features)
            for rule in feature_violations(feature)
        ),
        *(f"$.predictor: {rule}" for rule in _predictor_violations(contract)),
        *(f"$.buckets: {rule}" for rule in _bucket_violations(contract.buckets)),
        *(f"$.confidence: {rule}" for rule in _confidence_violations(contract.confidence)),
        *(f"$.{path}: is no RFC 3339 time" for path, text in _times(contract) if not _is_time(text)),
    ]


def feature_violations(feature: Feature) -> list[str]:
    """Return the broken rules of one feature."""
    found: list[str] = []
    if not isinstance(feature.encoder, _ENCODERS[feature.type]):
        found.append(f"a {feature.type} can't have this kind of encoder")
    if (feature.imputation.strategy == "native") != (feature.imputation.value is None):
        found.append("imputation: `native` has no value, every other strategy has one")
    if feature.type == "category":
        found += _category_violations(feature)
    else:
        found += _range_violations(feature)
    found += _missing_value_violations(feature)
    if feature.in_files and feature.in_files.date_format is not None and feature.type != "timestamp":
        found.append("in_files: only a timestamp has a date_format")
    if feature.reference is not None:
        found += [f"reference: {rule}" for rule in _histogram_violations(feature, feature.reference)]
    return found


def _name_violations(contract: Contract) -> Iterator[str]:
    names = [feature.name for feature in contract.features]
    for name in sorted({name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()):
        yield f"$.features: name {name!r} appears twice"
    if contract.id_field in names:
        yield f"$.id_field: {contract.id_field!r} is also a feature"
    for name in (contract.id_field, *names):
        if name == RESERVED_NAME:
            yield f"$: the name {RESERVED_NAME!r} is reserved for the packed tensor"
        if not name.isprintable() or _UNNAMEABLE & set(name) or name != name.strip():
            yield f"$: the name {name!r} needs printable characters without '[', ']', '<' or blanks at its ends"
    if "\n" in contract.model.name + contract.model.version:
        yield "$.model: name and version end where the line ends"


def _range_violations(feature: Feature) -> Iterator[str]:
    low, high = feature.minimum, feature.maximum
    bounds = [bound for bound in (low, high) if bound is not None]
    if feature.categories is not None or feature.other_category is not None or feature.unknown_category != "reject":
        yield "only a category has categories and a rule for unknown ones"
    if feature.type == "boolean" and bounds:
        yield "a boolean has no range"
    if low is not None and high is not None and low > high:
        yield "minimum is greater than maximum"
    if not all(_is_float32(bound) for bound in bounds):
        yield "minimum and maximum must fit a 32-bit float, as the model's input does"
    if feature.type in ("integer", "timestamp") and any(bound % 1 for bound in bounds):
        yield "minimum and maximum must be whole"
    if feature.out_of_range == "missing" and not feature.nullable:
        yield "out_of_range `missing` needs a nullable feature"
    value = feature.imputation.value
    if value is not None and (
        not _is_float32(value)
        or (low is not None and value < low)
        or (high is not None and value > high)
        or (feature.type == "boolean" and not 0 <= value <= 1)
    ):
        yield "imputation.value is out of range"


def _category_violations(feature: Feature) -> Iterator[str]:
    categories = feature.categories or []
    if not categories:
        yield "a category needs categories"
    if len(set(categories)) != len(categories):
        yield "a category appears twice"
    if feature.minimum is not None or feature.maximum is not None or feature.out_of_range != "reject":
        yield "a category has no range"
    if (feature.unknown_category == "other") != (feature.other_category is not None):
        yield "other_category goes with unknown_category `other`"
    if feature.other_category is not None and feature.other_category not in categories:
        yield "other_category is not one of the categories"
    if feature.unknown_category == "missing" and not feature.nullable:
        yield "unknown_category `missing` needs a nullable feature"
    if isinstance(feature.encoder, TargetRate) and len(feature.encoder.values) != len(categories):
        yield "encoder.values needs one value per category"
    if feature.imputation.value is not None and feature.imputation.value not in range(len(categories)):
        yield "imputation.value is not the position of a category"


def _missing_value_violations(feature: Feature) -> Iterator[str]:
    values = feature.missing_values or []
    if not values:
        return
    if feature.type in ("boolean", "timestamp"):
        yield f"a {feature.type} has no missing_values; only null is missing"
    elif feature.type == "category":
        if not all(isinstance(value, str) and value not in (feature.categories or []) for value in values):
            yield "missing_values are texts that are not categories"
    elif not all(isinstance(value, float | int) and _is_exact(value) for value in values):
        yield "missing_values are numbers that a 32-bit float holds exactly, as clients may send them so"
    if len(set(values)) != len(values):
        yield "missing_values: a value appears twice"
    if not feature.nullable:
        yield "missing_values need a nullable feature"


def _histogram_violations(feature: Feature, histogram: Histogram) -> Iterator[str]:
    if feature.type == "category":
        if histogram.edges or len(histogram.counts) != len(feature.categories or []):
            yield "needs one count per category and no edges"
    elif len(histogram.edges) != len(histogram.counts) + 1 or not _rises(histogram.edges):
        yield "needs rising edges, one more than counts"


def _predictor_violations(contract: Contract) -> Iterator[str]:
    width = len(contract.features)
    inputs = [(tensor.name, tensor.datatype, tensor.shape) for tensor in contract.predictor.inputs]
    if inputs != [(RESERVED_NAME, "FP32", [-1, width])]:
        yield f"needs exactly one input: {RESERVED_NAME}, FP32 of shape [-1, {width}]"
    outputs = {tensor.name: (tensor.datatype, tensor.shape) for tensor in contract.predictor.outputs}
    for name, shape in (("probability", [-1]), ("margin", [-1]), ("contributions", [-1, width + 1])):
        if outputs.get(name) != ("FP32", shape):
            yield f"needs an output {name}, FP32 of shape {shape}"


def _bucket_violations(buckets: Buckets) -> Iterator[str]:
    if not _rises(buckets.edges):
        yield "edges must rise"


def _confidence_violations(confidence: Confidence) -> Iterator[str]:
    if len(confidence.log_odds) != len(confidence.spread) or len(confidence.raw) != len(confidence.agreement):
        yield "knots come in pairs"
    if not all(spread > 0 for spread in confidence.spread):
        yield "spread must be positive"
    if not (_rises(confidence.log_odds) and _rises(confidence.raw)):
        yield "knots must rise"
    if any(later < earlier for earlier, later in pairwise(confidence.agreement)):
        yield "agreement must not fall"


def _times(contract: Contract) -> Iterator[tuple[str, str]]:
    yield "golden.as_of", contract.golden.as_of
    for position, text in enumerate(contract.training.period):
        yield f"training.period[{position}]", text


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _rises(values: Sequence[float]) -> bool:
    return all(low < high for low, high in pairwise(values))


def _is_exact(value: float) -> bool:
    return _is_float32(value) and struct.unpack("<f", struct.pack("<f", value))[0] == value


def _is_float32(value: float) -> bool:
    try:
        struct.pack("<f", value)
    except OverflowError:
        return False
    return True
