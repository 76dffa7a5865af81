from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lead_scoring.contract import files
from lead_scoring.contract.rules import feature_violations, violations
from lead_scoring.contract.types import (
    Buckets,
    Confidence,
    Contract,
    DaysSince,
    Feature,
    Histogram,
    Identity,
    Imputation,
    Ordinal,
    Predictor,
    TargetRate,
    TensorSpec,
)
from lead_scoring.errors import ContractError
from tests.support.small_model import FEATURES, draft

SOUND = draft()


def category(**changes: Any) -> Feature:
    return Feature(**{"name": "c", "type": "category", "categories": ["a", "b"], "encoder": Ordinal(), **changes})


def number(**changes: Any) -> Feature:
    return Feature(**{"name": "n", "type": "number", **changes})


def median(value: float) -> Imputation:
    return Imputation(strategy="median", value=value)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_features_of_the_small_model_are_sound(feature: Feature) -> None:
    assert feature_violations(feature) == []


@pytest.mark.parametrize(
    "feature",
    [
        number(minimum=2, maximum=2),
        number(imputation=median(2.5), minimum=2.5, maximum=2.5),
        number(type="integer", imputation=median(2.5), minimum=0, maximum=5),
        number(minimum=-3.4e38, maximum=3.4e38),
        number(type="boolean", imputation=median(1)),
        category(imputation=Imputation(strategy="most_frequent", value=1)),
        category(encoder=TargetRate(values=[-1, 2])),
        category(reference=Histogram(counts=[3, 0], other=2)),
        number(reference=Histogram(edges=[0, 1, 3], counts=[3, 4])),
    ],
)
def test_sound_features(feature: Feature) -> None:
    assert feature_violations(feature) == []


@pytest.mark.parametrize(
    ("feature", "rule"),
    [
        (number(encoder=DaysSince()), "a number can't have this kind of encoder"),
        (number(type="integer", encoder=Ordinal()), "a integer can't have this kind of encoder"),
        (number(type="timestamp"), "a timestamp can't have this kind of encoder"),
        (category(encoder=Identity()), "a category can't have this kind of encoder"),
        (number(imputation=Imputation(value=3)), "imputation: `native` has no value"),
        (number(imputation=Imputation(strategy="median")), "imputation: `native` has no value"),
        (number(categories=["a"]), "only a category has categories"),
        (number(other_category="a"), "only a category has categories"),
        (number(unknown_category="missing"), "only a category has categories"),
        (number(type="boolean", minimum=0), "a boolean has no range"),
        (number(minimum=2, maximum=1), "minimum is greater than maximum"),
        (number(maximum=3.5e38), "must fit a 32-bit float"),
        (number(minimum=-1e300), "must fit a 32-bit float"),
        (number(type="integer", minimum=0.5), "must be whole"),
        (number(type="timestamp", maximum=0.5, encoder=DaysSince()), "must be whole"),
        (number(out_of_range="missing", nullable=False), "out_of_range `missing` needs a nullable feature"),
        (number(imputation=median(1.9), minimum=2), "imputation.value is out of range"),
        (number(imputation=median(2.1), maximum=2), "imputation.value is out of range"),
        (number(imputation=median(1e39)), "imputation.value is out of range"),
        (number(type="boolean", imputation=median(2)), "imputation.value is out of range"),
        (category(categories=None), "a category needs categories"),
        (category(categories=[]), "a category needs categories"),
        (category(categories=["a", "a"]), "a category appears twice"),
        (category(minimum=0), "a category has no range"),
        (category(maximum=1), "a category has no range"),
        (category(out_of_range="clip"), "a category has no range"),
        (category(unknown_category="other"), "other_category goes with unknown_category `other`"),
        (category(other_category="a"), "other_category goes with unknown_category `other`"),
        (category(unknown_category="other", other_category="z"), "other_category is not one of the categories"),
        (category(unknown_category="missing", nullable=False), "unknown_category `missing` needs a nullable feature"),
        (category(encoder=TargetRate(values=[1])), "encoder.values needs one value per category"),
        (category(imputation=median(2)), "imputation.value is not the position of a category"),
        (category(imputation=median(-1)), "imputation.value is not the position of a category"),
        (category(imputation=median(0.5)), "imputation.value is not the position of a category"),
        (category(reference=Histogram(counts=[1])), "reference: needs one count per category"),
        (category(reference=Histogram(counts=[1, 2], edges=[0, 1, 2])), "reference: needs one count per category"),
        (number(reference=Histogram(counts=[1], edges=[0])), "reference: needs rising edges"),
        (number(reference=Histogram(counts=[1], edges=[1, 1])), "reference: needs rising edges"),
    ],
)
def test_a_broken_feature_is_told_by_its_rule(feature: Feature, rule: str) -> None:
    found = feature_violations(feature)
    assert len(found) == 1
    assert rule in found[0]


def confidence(**changes: Any) -> dict[str, Any]:
    return {"confidence": msgspec.structs.replace(SOUND.confidence, **changes)}


def inputs(*tensors: TensorSpec) -> dict[str, Any]:
    return {"predictor": Predictor(inputs=list(tensors), outputs=SOUND.predictor.outputs)}


def outputs(*tensors: TensorSpec) -> dict[str, Any]:
    return {"predictor": Predictor(inputs=SOUND.predictor.inputs, outputs=list(tensors))}


def named(name: str) -> dict[str, Any]:
    return {"features": [msgspec.structs.replace(FEATURES[0], name=name), *FEATURES[1:]]}


def tensor(shape: list[int], name: str = "features", datatype: str = "FP32") -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, shape=shape)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        (named("engagement"), "$.features: name 'engagement' appears twice"),
        (named("features"), "the name 'features' is reserved"),
        ({"id_field": "features"}, "the name 'features' is reserved"),
        ({"id_field": "size"}, "$.id_field: 'size' is also a feature"),
        (named("a[b"), "needs printable characters"),
        (named("a]b"), "needs printable characters"),
        (named("a<b"), "needs printable characters"),
        (named("a\nb"), "needs printable characters"),
        (named(" a"), "needs printable characters"),
        (named("a\x7f"), "needs printable characters"),
        ({"id_field": "id\n"}, "needs printable characters"),
        ({"model": msgspec.structs.replace(SOUND.model, version="1\n")}, "end where the line ends"),
        ({"model": msgspec.structs.replace(SOUND.model, name="a\n")}, "end where the line ends"),
        ({"features": [number(minimum=2, maximum=1), *FEATURES[1:]]}, "$.features[0] (n): minimum is greater"),
        (inputs(), "needs exactly one input"),
        (inputs(tensor([-1, 8]), tensor([-1, 8])), "needs exactly one input"),
        (inputs(tensor([-1, 7])), "needs exactly one input"),
        (inputs(tensor([-1, 8], datatype="FP64")), "needs exactly one input"),
        (inputs(tensor([-1, 8], name="x")), "needs exactly one input"),
        (outputs(*SOUND.predictor.outputs[1:]), "needs an output probability"),
        (outputs(*SOUND.predictor.outputs[:2]), "needs an output contributions, FP32 of shape [-1, 9]"),
        (outputs(*SOUND.predictor.outputs[:2], tensor([-1, 8], "contributions")), "needs an output contributions"),
        ({"buckets": Buckets(edges=[0.2, 0.2], policy={})}, "edges must rise"),
        ({"buckets": Buckets(edges=[0.3, 0.2], policy={})}, "edges must rise"),
        (confidence(spread=[0.3]), "knots come in pairs"),
        (confidence(raw=[0, 0.5, 1]), "knots come in pairs"),
        (confidence(spread=[0.3, 0]), "spread must be positive"),
        (confidence(log_odds=[1, 1]), "knots must rise"),
        (confidence(raw=[1, 0]), "knots must rise"),
        (confidence(agreement=[0.5, 0.4]), "agreement must not fall"),
        ({"golden": msgspec.structs.replace(SOUND.golden, as_of="yesterday")}, "$.golden.as_of: is no RFC 3339 time"),
        ({"golden": msgspec.structs.replace(SOUND.golden, as_of="2026-01-01")}, "$.golden.as_of: is no RFC 3339 time"),
        (
            {"training": msgspec.structs.replace(SOUND.training, period=["2026-01-01T00:00:00Z", ""])},
            "$.training.period[1]: is no RFC 3339 time",
        ),
    ],
)
def test_a_broken_contract_is_told_by_its_rule_and_never_written_or_read(changes: dict[str, Any], rule: str) -> None:
    broken = msgspec.structs.replace(SOUND, **changes)
    assert any(rule in violation for violation in violations(broken)), violations(broken)
    with pytest.raises(ContractError):
        files.encode(broken)
    with pytest.raises(ContractError) as raised:
        files.decode(msgspec.json.encode(broken))
    assert rule in str(raised.value) or "$" in str(raised.value)


def test_a_sound_contract_breaks_no_rule() -> None:
    assert violations(SOUND) == []


def test_all_broken_rules_are_told_at_once() -> None:
    broken: Contract = msgspec.structs.replace(
        SOUND, id_field="size", buckets=Buckets(edges=[0.3, 0.2], policy={}),
        confidence=Confidence(log_odds=[0, 0], spread=[1, 1], raw=[0, 1], agreement=[0, 1], refits=1),
    )  # fmt: skip
    assert len(violations(broken)) == 3
