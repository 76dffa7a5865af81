"""Reading, checking and writing drafts, and the contract's features as far as a draft settles them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from lead_scoring.contract.rules import feature_violations
from lead_scoring.contract.types import DaysSince, Encoder, Feature, Identity, Imputation, Ordinal, TargetRate
from lead_scoring.core.moments import seconds
from lead_scoring.errors import ContractError
from lead_scoring.training.draft import (
    Capacity,
    ContractDraft,
    FeatureDraft,
    Parameters,
    Policy,
    Probabilities,
)

__all__ = ["decode", "encode", "outline", "override", "read"]


def decode(data: bytes) -> ContractDraft:
    """Parse and check a draft.

    Raises:
        ContractError: not JSON, not of a draft's form, or against its rules; says where.
    """
    try:
        draft = msgspec.json.decode(data, type=ContractDraft)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ContractError(f"draft: {error}") from error
    return _checked(draft)


def read(path: Path) -> ContractDraft:
    """Read a draft from a file.

    Raises:
        ContractError: as `decode`, or the file can't be read.
    """
    try:
        return decode(path.read_bytes())
    except OSError as error:
        raise ContractError(f"{path}: {error.strerror or error}") from error


def encode(draft: ContractDraft) -> bytes:
    """Return a draft as JSON for people to edit, two spaces, a final newline; of features only what is unusual."""
    document = msgspec.to_builtins(draft)
    document["features"] = [_unusual(feature) for feature in document["features"]]
    document["left_out"] = [{**one, "feature": _unusual(one["feature"])} for one in document["left_out"]]
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _unusual(feature: dict[str, Any]) -> dict[str, Any]:
    usual = msgspec.to_builtins(FeatureDraft(name="", type="number"))
    kept = ("name", "type", "nullable")
    return {name: value for name, value in feature.items() if name in kept or value != usual[name]}


def override(draft: ContractDraft, settings: Mapping[str, str]) -> ContractDraft:
    """Return a draft with training parameters replaced: ``{"max_depth": "3"}``, as a command line gives them.

    Raises:
        ContractError: no such parameter, or not a value of it.
    """
    current = msgspec.to_builtins(draft.training)
    for name, text in settings.items():
        if name not in current or name == "split":
            names = ", ".join(sorted(current.keys() - {"split"}))
            raise ContractError(f"there is no training parameter {name!r}; there are {names}")
        current[name] = text
    try:
        training = msgspec.convert(current, type=Parameters, strict=False)
    except msgspec.ValidationError as error:
        raise ContractError(f"training parameters: {error}") from error
    return msgspec.structs.replace(draft, training=training)


def outline(draft: FeatureDraft) -> Feature:
    """Return the contract's feature with zeros where something is still to be learnt: enough to read leads with."""
    categories = draft.categories
    encoder: Encoder = Identity()
    if draft.type == "timestamp":
        encoder = DaysSince()
    elif draft.type == "category":
        encoder = Ordinal() if draft.encoder == "ordinal" else TargetRate(values=[0.0] * len(categories or []))
    return Feature(
        name=draft.name, type=draft.type, description=draft.description, unit=draft.unit, minimum=draft.minimum,
        maximum=draft.maximum, categories=categories, nullable=draft.nullable, imputation=_stand_in(draft),
        out_of_range=draft.out_of_range, unknown_category=draft.unknown_category, other_category=draft.other_category,
        missing_values=draft.missing_values or msgspec.UNSET, in_files=draft.in_files or msgspec.UNSET,
        personal=draft.personal, monotone=draft.monotone, encoder=encoder,
    )  # fmt: skip


def _stand_in(draft: FeatureDraft) -> Imputation:
    strategy, value = draft.imputation.strategy, draft.imputation.value
    if strategy == "native":
        return Imputation()
    if isinstance(value, str):
        known = draft.categories or []
        value = float(known.index(value)) if value in known else -1.0
    return Imputation(strategy=strategy, value=0.0 if value is None else value)


def _checked(draft: ContractDraft) -> ContractDraft:
    names = [feature.name for feature in draft.features]
    repeated = sorted({name for name in names if names.count(name) > 1})
    found = [f"$.features: name {name!r} appears twice" for name in repeated]
    columns = [name for name in (draft.id_field, draft.time_field, draft.target_field) if name is not None]
    if len({*columns, *names}) < len(set(names)) + len(columns):
        found.append("$: id_field, time_field and target_field must differ from each other and from every feature")
    for position, feature in enumerate(draft.features):
        found += [f"$.features[{position}] ({feature.name}): {rule}" for rule in _feature_faults(feature)]
    found += _time_faults(draft)
    found += _policy_faults(draft.buckets)
    split = draft.training.split
    if abs(split.train + split.stopping + split.calibration + split.test - 1) > 1e-9:
        found.append("$.training.split: the shares must add up to 1")
    if found:
        raise ContractError("draft: " + "; ".join(found))
    return draft


def _time_faults(draft: ContractDraft) -> list[str]:
    if draft.time_field is not None:
        return [] if draft.as_of is None else ["$.as_of: every row has its own moment, in time_field; set one to null"]
    found = []
    try:
        seconds(draft.as_of or "")
    except ValueError:
        found.append("$.as_of: without time_field, needs the moment of scoring of all rows, RFC 3339")
    if isinstance(draft.buckets, Capacity) and draft.buckets.arrivals_per_day is None:
        found.append("$.buckets.arrivals_per_day: can't be measured without time_field")
    return found


def _feature_faults(feature: FeatureDraft) -> list[str]:
    found = feature_violations(outline(feature))
    strategy, value = feature.imputation.strategy, feature.imputation.value
    if (strategy == "constant") != (value is not None):
        found.append("imputation: `constant` has a value, every other strategy has none")
    if isinstance(value, str) != (feature.type == "category" and strategy == "constant"):
        found.append("imputation.value is text for categories, a number for all others")
    if strategy == "median" and feature.type in ("category", "boolean"):
        found.append(f"imputation: a {feature.type} has no median")
    if feature.encoder is not None and feature.type != "category":
        found.append("only a category chooses its encoder")
    if set("[]<") & set(feature.name):
        found.append("XGBoost takes no `[`, `]` or `<` in a name")
    if feature.monotone and feature.type == "category" and feature.encoder != "ordinal":
        found.append("monotone needs an order: only categories encoded as `ordinal` have one")
    return found


def _policy_faults(policy: Policy) -> list[str]:
    if isinstance(policy, Probabilities):
        rising = all(low < high for low, high in pairwise(policy.edges))
        return [] if rising else ["$.buckets.edges: must rise"]
    shares, where = (policy.rest, "rest") if isinstance(policy, Capacity) else (policy.shares, "shares")
    if abs(sum(shares) - 1) > 1e-9:
        return [f"$.buckets.{where}: must add up to 1"]
    return []
