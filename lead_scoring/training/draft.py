"""The draft of a contract: what people decide about a model before it is trained. A JSON file that users edit.

Training turns a draft and a table into a contract: it fills in what is learnt (encoders, imputations, reference
histograms, calibration, edges) and changes nothing that was decided.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from lead_scoring.contract.types import FeatureType, InFiles, Name, OnOutOfRange, OnUnknownCategory

__all__ = [
    "Capacity",
    "ContractDraft",
    "DraftModel",
    "FeatureDraft",
    "ImputationDraft",
    "LeftOut",
    "NearestShares",
    "Note",
    "Parameters",
    "Policy",
    "Probabilities",
    "Shares",
    "Split",
    "json_schema",
]

Share = Annotated[float, Meta(gt=0, lt=1)]


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Closed and immutable, as the contract's types."""


class DraftModel(_Struct, frozen=True, kw_only=True):
    """Which model is to be made; the version is given when it is trained."""

    name: Annotated[str, Meta(pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    description: str = ""
    target: Annotated[str, Meta(description="What a positive outcome is.")]


class ImputationDraft(_Struct, frozen=True, kw_only=True):
    """What the model is given where a value is missing; `median`, `most_frequent` are learnt on the training rows."""

    strategy: Literal["native", "constant", "median", "most_frequent"] = "native"
    value: Annotated[float | str | None, Meta(description="With `constant` only: a number, or a category.")] = None


class FeatureDraft(_Struct, frozen=True, kw_only=True):
    """One feature as decided; every word means what it means in the contract."""

    name: Name
    type: FeatureType
    description: str = ""
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    categories: list[str] | None = None
    nullable: bool = True
    imputation: ImputationDraft = ImputationDraft()
    out_of_range: OnOutOfRange = "reject"
    unknown_category: OnUnknownCategory = "reject"
    other_category: str | None = None
    missing_values: Annotated[
        list[float | str], Meta(description="Values that count as missing, wherever they come from: 999, `Select`.")
    ] = []
    in_files: InFiles | None = None
    personal: bool = False
    monotone: Literal[-1, 0, 1] = 0
    encoder: Annotated[
        Literal["ordinal", "target_rate"] | None,
        Meta(description="For categories: their order as listed, or their smoothed conversion rate (the default)."),
    ] = None


class Shares(_Struct, frozen=True, kw_only=True, tag="shares", tag_field="kind"):
    """Edges such that each score gets a fixed share of the leads, score 1 first; the shares add up to 1."""

    shares: Annotated[list[Share], Meta(min_length=2, max_length=20)]


class NearestShares(_Struct, frozen=True, kw_only=True, tag="nearest_shares", tag_field="kind"):
    """As `shares`, but where many leads have equal probabilities, which can't be parted, the nearest cuts will do."""

    shares: Annotated[list[Share], Meta(min_length=2, max_length=20)]


class Probabilities(_Struct, frozen=True, kw_only=True, tag="probabilities", tag_field="kind"):
    """Fixed edges: calibrated probabilities, rising."""

    edges: Annotated[list[Share], Meta(min_length=1, max_length=19)]


class Capacity(_Struct, frozen=True, kw_only=True, tag="capacity", tag_field="kind"):
    """The highest score gets as many leads a day as sales can work; the others share the rest."""

    leads_per_day: Annotated[float, Meta(gt=0)]
    arrivals_per_day: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="Leads that arrive a day; null to measure it on the calibration rows."),
    ] = None
    rest: Annotated[
        list[Annotated[float, Meta(gt=0, le=1)]],
        Meta(
            min_length=1, max_length=19, description="Shares of the other leads by score, lowest first; they sum to 1."
        ),
    ]


Policy = Shares | NearestShares | Probabilities | Capacity


class Split(_Struct, frozen=True, kw_only=True):
    """Shares of the rows by time, oldest first: to learn, to stop early, to calibrate and cut, to judge."""

    train: Share = 0.6
    stopping: Share = 0.1
    calibration: Share = 0.15
    test: Share = 0.15


class Parameters(_Struct, frozen=True, kw_only=True):
    """How the model is trained. Names that XGBoost knows mean what they mean there."""

    rounds: Annotated[int, Meta(ge=1, le=5000, description="Most trees; early stopping may keep fewer.")] = 300
    early_stopping_rounds: Annotated[int, Meta(ge=1)] = 30
    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 0.1
    max_depth: Annotated[int, Meta(ge=1, le=12)] = 5
    min_child_weight: Annotated[float, Meta(ge=0)] = 1.0
    subsample: Annotated[float, Meta(gt=0, le=1)] = 1.0
    colsample_bytree: Annotated[float, Meta(gt=0, le=1)] = 1.0
    reg_lambda: Annotated[float, Meta(ge=0)] = 1.0
    gamma: Annotated[float, Meta(ge=0)] = 0.0
    max_bin: Annotated[int, Meta(ge=2, le=4096)] = 256
    category_smoothing: Annotated[
        float, Meta(gt=0, description="How many average leads are added to each category before its rate is taken.")
    ] = 50.0
    refits: Annotated[
        int, Meta(ge=4, le=1000, description="Refits on resampled leads that `confidence` is learnt from.")
    ] = 20
    split: Split = Split()


class Note(_Struct, frozen=True, kw_only=True):
    """Something that whoever edits the draft should know; training does not read it."""

    field: Annotated[str, Meta(description="The column it is about; empty if it is about the table.")] = ""
    kind: Annotated[str, Meta(description="In a word or two: `leakage`, `constant`, `time drift` …")]
    message: str


class LeftOut(_Struct, frozen=True, kw_only=True):
    """A column that is not a feature, and what it would be as one: to be moved to `features` if the reason is wrong."""

    reason: str
    feature: FeatureDraft


class ContractDraft(_Struct, frozen=True, kw_only=True):
    """Everything that is decided before training."""

    schema_version: Literal[1] = 1
    model: DraftModel
    id_field: Annotated[str, Meta(min_length=1, description="Identifies a lead; its rows stay together.")] = "lead_id"
    id_from: Annotated[
        Literal["column", "row"],
        Meta(description="`row`: the table has no ids, and every row is a lead of its own, identified by its number."),
    ] = "column"
    time_field: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="The moment of scoring; null where the table has none: then leads are split by chance."),
    ] = "scored_at"
    time_format: Annotated[
        str | None, Meta(description="How `time_field` is written in files, as `strptime` takes it; null for RFC 3339.")
    ] = None
    as_of: Annotated[
        str | None, Meta(description="Without `time_field` only: the moment of scoring of all rows, RFC 3339.")
    ] = None
    target_field: Annotated[str, Meta(min_length=1, description="The outcome, true or false.")] = "converted"
    positive: Annotated[
        str | None,
        Meta(description="The word of `target_field` that is a positive outcome; null where it holds true or false."),
    ] = None
    without_outcome: Annotated[
        Literal["refuse", "leave_out"], Meta(description="What training does about rows without an outcome.")
    ] = "refuse"
    features: Annotated[list[FeatureDraft], Meta(min_length=1, max_length=2000)]
    buckets: Policy = Shares(shares=[0.2] * 5)
    training: Parameters = Parameters()
    left_out: list[LeftOut] = []
    notes: list[Note] = []


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a draft."""
    schema = msgspec.json.schema(ContractDraft)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Draft of a model contract", **schema}
