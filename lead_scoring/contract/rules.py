"""What types alone can't say: the rules that the fields of a contract owe each other."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from lead_scoring.contract.types import Buckets, Confidence, Contract, DaysSince, Feature, Identity, Ordinal, TargetRate

__all__ = ["violations"]

_ENCODERS = {
    "number": (Identity,),
    "integer": (Identity,),
    "boolean": (Identity,),
    "category": (Ordinal, TargetRate),
    "timestamp": (DaysSince,),
}


def violations(contract: Contract) -> list[str]:
    """Return every broken rule as ``path: what is wrong``; an empty list for a sound contract."""
    found: list[str] = []
    names = [feature.name for feature in contract.features]
    for name in sorted({name for name in names if names.count(name) > 1}):
        found.append(f"$.features: name {name!r} appears twice")
    if contract.id_field in names:
        found.append(f"$.id_field: {contract.id_field!r} is also a feature")
    for position, feature in enumerate(contract.features):
        found += [f"$.features[{position}] ({feature.name}): {rule}" for rule in feature_violations(feature)]
    found += [f"$.predictor: {rule}" for rule in _predictor_violations(contract)]
    found += [f"$.buckets: {rule}" for rule in _bucket_violations(contract.buckets)]
    found += [f"$.confidence: {rule}" for rule in _confidence_violations(contract.confidence)]
    return found


def feature_violations(feature: Feature) -> list[str]:
    """Return the broken rules of one feature."""
    found: list[str] = []
    if not isinstance(feature.encoder, _ENCODERS[feature.type]):
        found.append(f"a {feature.type} can't have this kind of encoder")
    if feature.minimum is not None and feature.maximum is not None and feature.minimum > feature.maximum:
        found.append("minimum is greater than maximum")
    if (feature.imputation.strategy == "native") != (feature.imputation.value is None):
        found.append("imputation: `native` has no value, every other strategy has one")
    if feature.type != "category":
        if feature.categories is not None or feature.other_category is not None:
            found.append("only a category has categories")
        return found
    categories = feature.categories or []
    if not categories:
        found.append("a category needs categories")
    if len(set(categories)) != len(categories):
        found.append("a category appears twice")
    if (feature.unknown_category == "other") != (feature.other_category is not None):
        found.append("other_category goes with unknown_category `other`")
    if feature.other_category is not None and feature.other_category not in categories:
        found.append("other_category is not one of the categories")
    if isinstance(feature.encoder, TargetRate) and len(feature.encoder.values) != len(categories):
        found.append("encoder.values needs one value per category")
    if feature.imputation.value is not None and feature.imputation.value not in range(len(categories)):
        found.append("imputation.value is not the position of a category")
    return found


def _predictor_violations(contract: Contract) -> list[str]:
    inputs = contract.predictor.inputs
    if len(inputs) != 1 or inputs[0].datatype != "FP32" or inputs[0].shape != [-1, len(contract.features)]:
        return [f"needs exactly one FP32 input of shape [-1, {len(contract.features)}]"]
    missing = {"probability", "margin", "contributions"} - {tensor.name for tensor in contract.predictor.outputs}
    return [f"output {name!r} is missing" for name in sorted(missing)]


def _bucket_violations(buckets: Buckets) -> list[str]:
    rising = all(low < high for low, high in pairwise(buckets.edges))
    return [] if rising else ["edges must rise"]


def _confidence_violations(confidence: Confidence) -> list[str]:
    found: list[str] = []
    if not (len(confidence.log_odds) == len(confidence.spread) >= 2 and len(confidence.raw) == len(confidence.agreement) >= 2):
        found.append("knots come in pairs, at least two of each")
    if any(spread <= 0 for spread in confidence.spread):
        found.append("spread must be positive")
    if any(np.diff(confidence.log_odds) <= 0) or any(np.diff(confidence.raw) <= 0):
        found.append("knots must rise")
    if any(np.diff(confidence.agreement) < 0) or not all(0 <= value <= 1 for value in confidence.agreement):
        found.append("agreement must not fall and stay within [0, 1]")
    return found
