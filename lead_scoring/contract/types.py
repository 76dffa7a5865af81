"""The contract of one model version, as types: what `contract.json` may say and what each word means.

Nothing about the model's meaning lives anywhere else. `docs/contract.schema.json` is generated from these types.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "Buckets",
    "Calibration",
    "Confidence",
    "Contract",
    "DaysSince",
    "Encoder",
    "Feature",
    "FeatureType",
    "GoldenLead",
    "GoldenSet",
    "Histogram",
    "Identity",
    "Imputation",
    "Interval",
    "ModelIdentity",
    "OnOutOfRange",
    "OnUnknownCategory",
    "Ordinal",
    "Predictor",
    "TargetRate",
    "TensorSpec",
    "Training",
]

FeatureType = Literal["number", "integer", "boolean", "category", "timestamp"]
OnOutOfRange = Literal["reject", "clip", "missing"]
OnUnknownCategory = Literal["reject", "missing", "other"]

Name = Annotated[str, Meta(min_length=1, max_length=128, description="Unique within the contract.")]


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Closed and immutable: an unknown field is an error, not a guess."""


class Identity(_Struct, kw_only=True, tag="identity", tag_field="kind"):
    """The number itself; false and true become 0 and 1."""


class DaysSince(_Struct, kw_only=True, tag="days_since", tag_field="kind"):
    """Whole days from the timestamp to the moment of scoring, rounded down; ranges are in days too."""


class Ordinal(_Struct, kw_only=True, tag="ordinal", tag_field="kind"):
    """The position of the category in `categories`, from 0."""


class TargetRate(_Struct, kw_only=True, tag="target_rate", tag_field="kind"):
    """The smoothed log-odds of conversion of the category, learnt on the training rows alone."""

    values: Annotated[list[float], Meta(description="One per category, in the order of `categories`.")]


Encoder = Identity | DaysSince | Ordinal | TargetRate


class Imputation(_Struct, kw_only=True):
    """What the model is given where a value is missing."""

    strategy: Annotated[
        Literal["native", "constant", "median", "most_frequent"],
        Meta(description="`native` leaves the gap to XGBoost, which learnt a default direction for it."),
    ] = "native"
    value: Annotated[
        float | None,
        Meta(description="The filled-in raw value (a category's position for categories); null with `native` only."),
    ] = None


class Histogram(_Struct, kw_only=True):
    """How a feature was distributed in the training rows: what drift is measured against.

    Numbers: `counts[i]` rows in ``[edges[i], edges[i+1])``, the last bin closed, plus `below`, `above`. Categories: `counts[i]`
    rows of category i, `other` rows of none of them. Values are raw (days for timestamps), before imputation.
    """

    edges: list[float] = []
    counts: list[int]
    below: int = 0
    above: int = 0
    other: int = 0
    missing: int = 0


class Feature(_Struct, kw_only=True):
    """One column of the model's input, in the words of the table it comes from."""

    name: Name
    type: FeatureType
    description: str = ""
    unit: Annotated[str, Meta(description="As people say it: `USD`, `days`, `count`; empty where there is none.")] = ""
    minimum: Annotated[float | None, Meta(description="Smallest allowed value, inclusive; days for timestamps.")] = None
    maximum: Annotated[float | None, Meta(description="Largest allowed value, inclusive; days for timestamps.")] = None
    categories: Annotated[list[str] | None, Meta(description="All known categories; only with type `category`.")] = None
    nullable: Annotated[bool, Meta(description="May be null or left out.")] = True
    imputation: Imputation = Imputation()
    out_of_range: OnOutOfRange = "reject"
    unknown_category: OnUnknownCategory = "reject"
    other_category: Annotated[str | None, Meta(description="Which category stands for unknown ones under `other`.")] = None
    personal: Annotated[bool, Meta(description="Values never appear in an error message, not even numbers.")] = False
    monotone: Annotated[Literal[-1, 0, 1], Meta(description="Constraint on the model's response to this feature.")] = 0
    encoder: Encoder = Identity()
    reference: Histogram | None = None


class ModelIdentity(_Struct, kw_only=True):
    """Which model this is."""

    name: Annotated[str, Meta(pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    version: Annotated[str, Meta(pattern="^[0-9A-Za-z]([0-9A-Za-z.-]{0,30}[0-9A-Za-z])?$")]
    description: str = ""
    target: Annotated[str, Meta(description="What a positive outcome is.")]


class TensorSpec(_Struct, kw_only=True):
    """A tensor of the predictor in V2 terms; -1 is the number of leads."""

    name: str
    datatype: str
    shape: list[int]


class Predictor(_Struct, kw_only=True):
    """What the transformer sends to the model server and may ask of it."""

    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


class Calibration(_Struct, kw_only=True):
    """Platt scaling: ``probability = 1 / (1 + exp(-(slope * margin + intercept)))``.

    Source: Platt (1999), "Probabilistic outputs for support vector machines".
    """

    method: Literal["platt"] = "platt"
    slope: Annotated[float, Meta(gt=0)]
    intercept: float


class Buckets(_Struct, kw_only=True):
    """Which calibrated probabilities make which score, 1 the lowest."""

    edges: Annotated[list[Annotated[float, Meta(gt=0, lt=1)]], Meta(min_length=1, max_length=19)]
    closed: Annotated[
        Literal["left", "right"],
        Meta(description="`left`: a probability equal to an edge belongs to the higher score; `right`: to the lower."),
    ] = "left"
    policy: Annotated[dict[str, Any], Meta(description="The stated rule that the edges came from.")]


class Confidence(_Struct, kw_only=True):
    """How surely a lead belongs in its bucket: the share of refits on resampled data that put it there.

    ``spread`` at ``log_odds`` knots is the scale of a logistic distribution of the refits around this model; the mass that it
    leaves inside the bucket is mapped to observed agreement by interpolation between ``raw`` and ``agreement`` knots.
    """

    log_odds: list[float]
    spread: list[float]
    raw: list[float]
    agreement: list[float]
    refits: int


class GoldenLead(_Struct, kw_only=True):
    """A lead with its right answer; `lead` is a V1 record."""

    covers: Annotated[str, Meta(description="Why it is in the set: `edge 2 below`, `missing geography` …")]
    lead: dict[str, Any]
    score: int
    probability: float
    confidence: float
    features_used: int


class GoldenSet(_Struct, kw_only=True):
    """Leads that must score right before a pod is Ready and after every copy of the folder."""

    as_of: Annotated[str, Meta(description="RFC 3339 moment of scoring for all of them.")]
    tolerance: Annotated[float, Meta(gt=0, description="Largest allowed difference in probability.")] = 1e-6
    leads: list[GoldenLead]


class Interval(_Struct, kw_only=True):
    """An estimate with its 95 % confidence interval."""

    value: float
    low: float
    high: float


class Training(_Struct, kw_only=True):
    """Where the model came from."""

    data_sha256: str
    feature_set_sha256: str
    rows: int
    base_rate: float
    period: Annotated[list[str], Meta(min_length=2, max_length=2, description="First and last moment of scoring.")]
    split: dict[str, Any]
    parameters: dict[str, Any]
    seed: int
    trees: int
    xgboost_version: str
    git_commit: str
    author: str
    metrics: dict[str, Interval]
    by_bucket: list[dict[str, Any]]
    compared_with: dict[str, Any] | None = None


class Contract(_Struct, kw_only=True):
    """The whole contract of one model version."""

    schema_version: Literal[1] = 1
    model: ModelIdentity
    id_field: Annotated[str, Meta(description="Name of the tensor or key that identifies a lead.")] = "lead_id"
    features: Annotated[list[Feature], Meta(min_length=1, max_length=2000)]
    predictor: Predictor
    calibration: Calibration
    buckets: Buckets
    confidence: Confidence
    golden: GoldenSet
    training: Training
