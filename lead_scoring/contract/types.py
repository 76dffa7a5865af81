"""The contract of one model version, as types: what `contract.json` may say and what each word means.

Nothing about the model's meaning lives anywhere else. `docs/contract.schema.json` is generated from these types.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

__all__ = [
    "RESERVED_NAME",
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
    "InFiles",
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

RESERVED_NAME = "features"
"""Name of the packed tensor, to clients and to the predictor; no feature and no id may have it."""

Name = Annotated[str, Meta(min_length=1, max_length=128)]
Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Closed and immutable: an unknown field is an error, not a guess."""


class Identity(_Struct, frozen=True, kw_only=True, tag="identity", tag_field="kind"):
    """The number itself; false and true become 0 and 1."""


class DaysSince(_Struct, frozen=True, kw_only=True, tag="days_since", tag_field="kind"):
    """Whole days from the timestamp to the moment of scoring, rounded down; ranges are in days too."""


class Ordinal(_Struct, frozen=True, kw_only=True, tag="ordinal", tag_field="kind"):
    """The position of the category in `categories`, from 0."""


class TargetRate(_Struct, frozen=True, kw_only=True, tag="target_rate", tag_field="kind"):
    """The smoothed log-odds of conversion of the category, learnt on the training rows alone."""

    values: Annotated[list[float], Meta(description="One per category, in the order of `categories`.")]


Encoder = Identity | DaysSince | Ordinal | TargetRate


class Imputation(_Struct, frozen=True, kw_only=True):
    """What the model is given where a value is missing."""

    strategy: Annotated[
        Literal["native", "constant", "median", "most_frequent"],
        Meta(
            description="`native` leaves the gap to XGBoost, which learnt a default direction for it; the others say "
            "how `value` was found."
        ),
    ] = "native"
    value: Annotated[
        float | None,
        Meta(
            description="The filled-in raw value (a category's position, a timestamp's days); null with `native` only."
        ),
    ] = None


class Histogram(_Struct, frozen=True, kw_only=True):
    """How a feature was distributed in the training rows: what drift is measured against.

    Numbers: `counts[i]` rows in ``[edges[i], edges[i+1])``, the last bin closed, plus `below`, `above`. Categories:
    `counts[i]` rows of category i, `other` rows of none of them. Values are raw (days for timestamps), before
    imputation.
    """

    edges: Annotated[list[float], Meta(description="Rising, one more than `counts`; none for categories.")] = []
    counts: Annotated[list[Count], Meta(min_length=1, description="Rows by bin, or by category.")]
    below: Annotated[int, Meta(ge=0, description="Rows under the first edge.")] = 0
    above: Annotated[int, Meta(ge=0, description="Rows over the last edge.")] = 0
    other: Annotated[int, Meta(ge=0, description="Rows of an unknown category.")] = 0
    missing: Annotated[int, Meta(ge=0, description="Rows without a value.")] = 0


class InFiles(_Struct, frozen=True, kw_only=True):
    """How files of leads spell a feature; requests use JSON's own types and RFC 3339 and know nothing of it."""

    missing: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=1024)]],
        Meta(description="Texts that stand for a gap, besides an empty cell, `NA`, `null` and the like."),
    ] = []
    date_format: Annotated[
        str | None, Meta(description="How times are written, as `strptime` takes it; null for RFC 3339.")
    ] = None


class Feature(_Struct, frozen=True, kw_only=True):
    """One column of the model's input, in the words of the table it comes from."""

    name: Annotated[
        Name,
        Meta(description="Its tensor (V2) and key (V1); unique, printable, not `features`, without `[`, `]` or `<`."),
    ]
    type: Annotated[
        FeatureType,
        Meta(description="What values are; decides which datatypes are accepted and which encoders are possible."),
    ]
    description: Annotated[str, Meta(description="For people: what it is and where it comes from.")] = ""
    unit: Annotated[str, Meta(description="As people say it: `USD`, `days`, `count`; empty where there is none.")] = ""
    minimum: Annotated[
        float | None, Meta(description="Smallest allowed value, inclusive; days for timestamps; null for none.")
    ] = None
    maximum: Annotated[
        float | None, Meta(description="Largest allowed value, inclusive; days for timestamps; null for none.")
    ] = None
    categories: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=1024)]] | None,
        Meta(description="All known categories, spelt exactly so; their order counts. Only with type `category`."),
    ] = None
    nullable: Annotated[bool, Meta(description="May be null or left out; if false, a lead without it is refused.")] = (
        True
    )
    imputation: Annotated[Imputation, Meta(description="What the model is given where a value is missing.")] = (
        Imputation()
    )
    out_of_range: Annotated[
        OnOutOfRange,
        Meta(description="`reject` refuses the lead, `clip` moves the value to the bound, `missing` drops it."),
    ] = "reject"
    unknown_category: Annotated[
        OnUnknownCategory,
        Meta(description="`reject` refuses the lead, `missing` drops the value, `other` reads `other_category`."),
    ] = "reject"
    other_category: Annotated[
        str | None, Meta(description="Which of the categories stands for unknown ones; only under `other`.")
    ] = None
    missing_values: Annotated[
        list[float | Annotated[str, Meta(min_length=1, max_length=1024)]] | UnsetType,
        Meta(
            description="What counts as missing wherever it is sent: numbers (999), or for categories texts (`Select`)."
        ),
    ] = UNSET
    in_files: Annotated[InFiles | UnsetType, Meta(description="How files spell it, where that is unusual.")] = UNSET
    personal: Annotated[
        bool, Meta(description="Values never appear in an error, a log or a golden lead, not even numbers.")
    ] = False
    monotone: Annotated[
        Literal[-1, 0, 1],
        Meta(description="1: the score never falls when the value rises; -1: never rises; 0: free. Trained in."),
    ] = 0
    encoder: Annotated[Encoder, Meta(description="How the raw value becomes the number that the model sees.")] = (
        Identity()
    )
    reference: Annotated[
        Histogram | None,
        Meta(description="Distribution in the training rows; without it, drift of the feature is not measured."),
    ] = None


class ModelIdentity(_Struct, frozen=True, kw_only=True):
    """Which model this is."""

    name: Annotated[
        str,
        Meta(pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="In every path: `/v2/models/<name>/infer`."),
    ]
    version: Annotated[
        str,
        Meta(
            pattern="^[0-9A-Za-z]([0-9A-Za-z.-]{0,30}[0-9A-Za-z])?$",
            description="Folder name, `model_version` of every answer; published once and never changed.",
        ),
    ]
    description: Annotated[str, Meta(description="For people.")] = ""
    target: Annotated[str, Meta(description="What a positive outcome is: what `probability` is the probability of.")]


class TensorSpec(_Struct, frozen=True, kw_only=True):
    """A tensor of the predictor in V2 terms."""

    name: Annotated[str, Meta(description="V2 tensor name.")]
    datatype: Annotated[str, Meta(description="V2 datatype: `FP32`.")]
    shape: Annotated[list[int], Meta(description="-1 is the number of leads.")]


class Predictor(_Struct, frozen=True, kw_only=True):
    """What the transformer sends to the model server and may ask of it."""

    inputs: Annotated[
        list[TensorSpec], Meta(description="Exactly one: `features`, FP32 `[-1, f]`, encoded, NaN for a gap.")
    ]
    outputs: Annotated[
        list[TensorSpec],
        Meta(description="FP32 `probability` (uncalibrated) and `margin` `[-1]`, `contributions` `[-1, f + 1]`."),
    ]


class Calibration(_Struct, frozen=True, kw_only=True):
    """Platt scaling: ``probability = 1 / (1 + exp(-(slope * margin + intercept)))``.

    Source: Platt (1999), "Probabilistic outputs for support vector machines".
    """

    method: Annotated[Literal["platt"], Meta(description="The only one.")] = "platt"
    slope: Annotated[float, Meta(gt=0, description="Scales margins, and reasons with them; positive, so ranks stay.")]
    intercept: Annotated[float, Meta(description="Shifts the log-odds.")]


class Buckets(_Struct, frozen=True, kw_only=True):
    """Which calibrated probabilities make which score, 1 the lowest."""

    edges: Annotated[
        list[Annotated[float, Meta(gt=0, lt=1)]],
        Meta(
            min_length=1, max_length=19, description="Rising calibrated probabilities; k edges make scores 1 to k + 1."
        ),
    ]
    closed: Annotated[
        Literal["left", "right"],
        Meta(description="`left`: a probability equal to an edge belongs to the higher score; `right`: to the lower."),
    ] = "left"
    policy: Annotated[dict[str, Any], Meta(description="The stated rule that the edges came from.")]


class Confidence(_Struct, frozen=True, kw_only=True):
    """How surely a lead belongs in its bucket: the share of refits on resampled data that put it there.

    `spread` at `log_odds` knots is the scale of a logistic distribution of the refits around this model; the mass that
    it leaves inside the bucket is mapped to observed agreement by interpolation between `raw` and `agreement` knots.
    """

    log_odds: Annotated[list[float], Meta(min_length=2, description="Rising knots: calibrated log-odds.")]
    spread: Annotated[list[float], Meta(min_length=2, description="Scale of the refits at each knot, positive.")]
    raw: Annotated[list[float], Meta(min_length=2, description="Rising knots: mass inside the bucket.")]
    agreement: Annotated[list[Share], Meta(min_length=2, description="Observed agreement at each knot, never falling.")]
    refits: Annotated[int, Meta(ge=1, description="How many refits it was learnt from.")]


class GoldenLead(_Struct, frozen=True, kw_only=True):
    """A lead with its right answer."""

    covers: Annotated[str, Meta(description="Why it is in the set: `edge 2 below`, `missing geography` …")]
    lead: Annotated[dict[str, Any], Meta(description="A V1 record.")]
    score: Annotated[int, Meta(ge=1, description="Must be met exactly.")]
    probability: Annotated[Share, Meta(description="Must be met within the set's `tolerance`.")]
    confidence: Annotated[Share, Meta(description="Must be met within 1e-4.")]
    features_used: Annotated[int, Meta(ge=0, description="Must be met exactly.")]


class GoldenSet(_Struct, frozen=True, kw_only=True):
    """Leads that must score right before a pod is Ready and after every copy of the folder."""

    as_of: Annotated[str, Meta(description="RFC 3339 moment of scoring for all of them.")]
    tolerance: Annotated[
        float, Meta(gt=0, le=1e-3, description="Largest allowed difference in probability, for other CPUs' last bits.")
    ] = 1e-6
    leads: Annotated[list[GoldenLead], Meta(max_length=400, description="50 to 400 in a published version.")]


class Interval(_Struct, frozen=True, kw_only=True):
    """An estimate with its 95 % confidence interval."""

    value: Annotated[float, Meta(description="The estimate.")]
    low: Annotated[float, Meta(description="Lower end.")]
    high: Annotated[float, Meta(description="Upper end.")]


class Training(_Struct, frozen=True, kw_only=True):
    """Where the model came from."""

    data_sha256: Annotated[Sha256, Meta(description="Of the file it was trained from.")]
    feature_set_sha256: Annotated[
        Sha256,
        Meta(description="Of what the features mean: versions with the same one read the same leads the same way."),
    ]
    rows: Annotated[int, Meta(ge=1, description="Rows in the data, all parts of the split.")]
    base_rate: Annotated[Share, Meta(description="Share of positive outcomes among them.")]
    period: Annotated[
        list[str], Meta(min_length=2, max_length=2, description="First and last moment of scoring, RFC 3339.")
    ]
    split: Annotated[dict[str, Any], Meta(description="How rows were split, by time and grouped by id.")]
    parameters: Annotated[dict[str, Any], Meta(description="Of the training, XGBoost's under its own names.")]
    seed: Annotated[int, Meta(description="The same data, seed and parameters give the same bytes.")]
    trees: Annotated[int, Meta(ge=1, description="In `model.ubj`, after early stopping; checked.")]
    xgboost_version: Annotated[
        str,
        Meta(description="That wrote `model.ubj`; older than 2, or of a newer major than the running one, is refused."),
    ]
    git_commit: Annotated[str, Meta(description="Of this repository, or `unknown`.")]
    author: Annotated[str, Meta(description="Who ran the training.")]
    metrics: Annotated[
        dict[str, Interval], Meta(description="On the test part: `roc_auc`, `pr_auc`, `log_loss`, `brier` …")
    ]
    by_bucket: Annotated[
        list[dict[str, Any]], Meta(description="On the test part, per score: leads, conversion, lift.")
    ]
    compared_with: Annotated[
        dict[str, Any] | None,
        Meta(description="The version it was measured against on the same leads, and the differences."),
    ] = None


class Contract(_Struct, frozen=True, kw_only=True):
    """The whole contract of one model version."""

    schema_version: Annotated[Literal[1], Meta(description="Of this form.")] = 1
    model: Annotated[ModelIdentity, Meta(description="Which model this is.")]
    id_field: Annotated[Name, Meta(description="Name of the tensor or key that identifies a lead.")] = "lead_id"
    features: Annotated[
        list[Feature], Meta(min_length=1, max_length=2000, description="In the order of the model's columns.")
    ]
    predictor: Annotated[Predictor, Meta(description="The model server's side.")]
    calibration: Annotated[Calibration, Meta(description="From margin to probability.")]
    buckets: Annotated[Buckets, Meta(description="From probability to score.")]
    confidence: Annotated[Confidence, Meta(description="From margin to how firm the score is.")]
    golden: Annotated[GoldenSet, Meta(description="Leads with their right answers.")]
    training: Annotated[Training, Meta(description="Where the model came from.")]
