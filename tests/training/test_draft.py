"""A draft says what is decided, and refuses what contradicts itself."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from lead_scoring.data.builtin import lead_scoring_draft
from lead_scoring.errors import ContractError
from lead_scoring.training import draft_files
from lead_scoring.training.draft import json_schema


def document() -> dict[str, Any]:
    return {
        "model": {"name": "churn", "target": "the subscription ends"},
        "features": [
            {"name": "age", "type": "integer", "minimum": 0, "maximum": 120},
            {"name": "plan", "type": "category", "categories": ["basic", "pro"]},
        ],
    }


def decode(changed: dict[str, Any]) -> Any:
    return draft_files.decode(json.dumps(changed).encode())


def test_the_smallest_draft_has_sensible_defaults() -> None:
    draft = decode(document())
    assert (draft.id_field, draft.time_field, draft.target_field) == ("lead_id", "scored_at", "converted")
    assert draft.buckets.shares == [0.2] * 5


def test_a_draft_survives_being_written() -> None:
    draft = lead_scoring_draft()
    assert draft_files.decode(draft_files.encode(draft)) == draft


def test_the_published_schema_accepts_the_built_in_draft_and_refuses_a_typo() -> None:
    schema = json_schema()
    written = json.loads(draft_files.encode(lead_scoring_draft()))
    jsonschema.Draft202012Validator(schema).validate(written)
    written["features"][0]["nulable"] = False
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(written)


@pytest.mark.parametrize(
    ("where", "value", "expected"),
    [
        (("features", 0, "name"), "plan", "appears twice"),
        (("features", 0, "name"), "lead_id", "must differ"),
        (("features", 0, "name"), "age <b>", "XGBoost takes no"),
        (("target_field",), "age", "must differ"),
        (("time_field",), "converted", "must differ"),
        (("features", 0, "minimum"), 200, "minimum is greater than maximum"),
        (("features", 0, "typ"), "integer", "unknown field"),
        (("features", 0, "type"), "text", "Invalid enum value"),
        (("features", 0, "categories"), ["a"], "only a category has categories"),
        (("features", 0, "encoder"), "ordinal", "only a category chooses its encoder"),
        (("features", 0, "imputation"), {"strategy": "constant"}, "`constant` has a value"),
        (("features", 0, "imputation"), {"strategy": "median", "value": 3}, "every other strategy has none"),
        (("features", 0, "imputation"), {"strategy": "constant", "value": "old"}, "text for categories"),
        (("features", 1, "imputation"), {"strategy": "constant", "value": "gold"}, "not the position of a category"),
        (("features", 1, "imputation"), {"strategy": "median"}, "a category has no median"),
        (("features", 1, "categories"), [], "a category needs categories"),
        (("features", 1, "categories"), ["basic", "basic"], "a category appears twice"),
        (("features", 1, "unknown_category"), "other", "other_category goes with"),
        (("features", 1, "monotone"), 1, "monotone needs an order"),
        (("buckets",), {"kind": "shares", "shares": [0.5, 0.4]}, "must add up to 1"),
        (("buckets",), {"kind": "probabilities", "edges": [0.2, 0.1]}, "must rise"),
        (("buckets",), {"kind": "capacity", "leads_per_day": 5, "rest": [0.5, 0.2]}, "must add up to 1"),
        (("buckets",), {"kind": "capacity", "leads_per_day": 0, "rest": [1.0]}, "leads_per_day"),
        (("buckets",), {"kind": "astrology"}, "buckets"),
        (("training",), {"split": {"train": 0.9}}, "the shares must add up to 1"),
        (("training",), {"max_depth": 0}, "max_depth"),
        (("model", "name"), "../etc", "model.name"),
    ],
)
def test_a_contradiction_is_refused_and_named(where: tuple[str | int, ...], value: object, expected: str) -> None:
    changed = document()
    place: Any = changed
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    with pytest.raises(ContractError, match=expected):
        decode(changed)


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ContractError, match="draft"):
        draft_files.decode(b"{")


def test_parameters_can_be_overridden_as_text() -> None:
    changed = draft_files.override(lead_scoring_draft(), {"max_depth": "3", "learning_rate": "0.2"})
    assert (changed.training.max_depth, changed.training.learning_rate) == (3, 0.2)
    assert changed.features == lead_scoring_draft().features


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"depth": "3"}, "no training parameter 'depth'; there are category_smoothing"),
        ({"split": "0.5"}, "no training parameter 'split'"),
        ({"max_depth": "deep"}, "max_depth"),
        ({"max_depth": "99"}, "max_depth"),
    ],
)
def test_overrides_that_make_no_sense_are_refused(settings: dict[str, str], expected: str) -> None:
    with pytest.raises(ContractError, match=expected):
        draft_files.override(lead_scoring_draft(), settings)
