from __future__ import annotations

import numpy as np
import pytest

from lead_scoring.contract.types import Feature
from lead_scoring.core.assembly import from_records
from lead_scoring.core.findings import MAX_PROBLEMS, Finding, Report, describe
from lead_scoring.errors import InvalidLeads
from tests.core.table import FEATURES, NAMES, PLAN, lead, run, score_records

CATEGORY = Feature(name="c", type="category", categories=[f"k{i}" for i in range(14)], nullable=False)


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        (FEATURES[0], "size: a whole number in [1, 1000000] people"),
        (FEATURES[1], "rate: a finite number in [-1.5, 2.5], or null"),
        (FEATURES[3], "sales: a finite number of at least 0, or null"),
        (FEATURES[4], "free: a finite number, or null"),
        (Feature(name="m", type="number", maximum=0.1, unit="USD"), "m: a finite number of at most 0.1 USD, or null"),
        (FEATURES[7], "client: true or false, or null"),
        (FEATURES[8], "seen: an RFC 3339 time in [0, 3650] days before the moment of scoring, or null"),
        (FEATURES[9], "band: one of low, high"),
        (CATEGORY, "c: one of k0, k1, k2, k3, k4, k5, k6, k7, k8, k9, k10, k11, … (14 in all)"),
    ],
)
def test_what_a_feature_accepts_in_words(feature: Feature, expected: str) -> None:
    assert describe(feature) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"size": 0},
            (
                "$.instances[0].size: expected size: a whole number in [1, 1000000] people, got 0; "
                "check the unit and correct the value"
            ),
        ),
        (
            {"rate": 3.25},
            (
                "$.instances[0].rate: expected rate: a finite number in [-1.5, 2.5], or null, got 3.25; "
                "check the unit and correct the value, or send null"
            ),
        ),
        (
            {"rate": float("-inf")},
            (
                "$.instances[0].rate: expected rate: a finite number in [-1.5, 2.5], or null, got -inf; "
                "send a finite number, or null where it is not known"
            ),
        ),
        (
            {"size": None},
            (
                "$.instances[0].size: expected size: a whole number in [1, 1000000] people, got nothing; "
                "send a value: this feature may not be null or left out"
            ),
        ),
        (
            {"band": "mid"},
            (
                "$.instances[0].band: expected band: one of low, high, got a category that is not in the list; "
                "use a known category, spelt exactly so"
            ),
        ),
        (
            {"band": b"\xff"},
            "$.instances[0].band: expected band: one of low, high, got a text of 1 bytes; send text as UTF-8",
        ),
        (
            {"area": "x" * 2000},
            (
                "$.instances[0].area: expected area: one of emea, amer, or null, got a text of 2000 characters; "
                "shorten it to at most 1024 bytes"
            ),
        ),
        (
            {"client": "yes"},
            (
                "$.instances[0].client: expected client: true or false, or null, got a text of 3 characters; "
                "send the expected type, or null where it is not known"
            ),
        ),
        (
            {"seen": "2026-06-11"},
            (
                "$.instances[0].seen: expected seen: an RFC 3339 time in [0, 3650] days before the moment of "
                "scoring, or null, got -10 days before the moment of scoring; check the unit and correct the value, "
                "or send null"
            ),
        ),
        (
            {"lead_id": None},
            (
                "$.instances[0].lead_id: expected a non-empty UTF-8 text of at most 256 bytes, got null; "
                "send a lead_id for each lead"
            ),
        ),
    ],
)
def test_a_problem_in_words(changes: dict[str, object], expected: str) -> None:
    batch, _ = score_records([lead(**changes)])
    assert [str(problem) for problem in batch.report.problems(batch.layout)] == [expected]


@pytest.mark.parametrize(
    ("value", "kind"),
    [(None, "null"), (True, "a boolean"), (3, "a number"), ([1], "a list of 1"), ({1}, "something else")],
)
def test_kinds_of_values(value: object, kind: str) -> None:
    batch = from_records(PLAN, [value], max_leads=5)
    assert batch.report.structural[0].got == kind


def test_problems_are_listed_by_row_and_column_structure_first() -> None:
    batch, _ = score_records([lead(rate=9, lead_id=None), 5, lead(size=None, rate=9)])
    assert [p.path for p in batch.report.problems(batch.layout)] == [
        "$.instances[1]",
        "$.instances[0].lead_id",
        "$.instances[0].rate",
        "$.instances[2].size",
        "$.instances[2].rate",
    ]


def test_all_problems_are_counted_and_the_first_hundred_listed() -> None:
    batch = from_records(PLAN, [lead(rate=9, size=0)] * 120, max_leads=500)
    run(batch)
    with pytest.raises(InvalidLeads) as raised:
        batch.report.raise_if_any(batch.layout)
    assert raised.value.total == 240
    assert [problem.path for problem in raised.value.problems] == [
        f"$.instances[{row}].{name}" for row in range(50) for name in ("size", "rate")
    ]
    assert str(raised.value).endswith("(and 239 more problems)")
    assert raised.value.status == 400


def test_a_hundred_in_all_are_listed_structure_first() -> None:
    batch = from_records(PLAN, [5] * 40 + [lead(rate=9)] * 90, max_leads=500)
    run(batch)
    listed = batch.report.problems(batch.layout)
    assert [problem.reason for problem in listed] == ["wrong_type"] * 40 + ["out_of_range"] * 60
    assert batch.report.total == 130


def test_structural_problems_are_capped_too() -> None:
    batch = from_records(PLAN, [5] * 300, max_leads=500)
    assert len(batch.report.structural) == MAX_PROBLEMS
    assert batch.report.total == 300


def test_a_sound_report_raises_nothing() -> None:
    batch, _ = score_records([lead()])
    batch.report.raise_if_any(batch.layout)
    assert batch.report.refused_rows().tolist() == []


def test_refused_rows_are_told_once_and_in_order() -> None:
    report = Report(FEATURES)
    report.extend([Finding("missing", 1, np.array([4, 2]), ["", ""]), Finding("missing", 3, np.array([2]), [""])])
    assert report.refused_rows().tolist() == [2, 4]
    assert report.total == 3


def test_one_problem_says_no_more() -> None:
    batch, _ = score_records([lead(rate=9)])
    with pytest.raises(InvalidLeads, match=r"or send null$"):
        batch.report.raise_if_any(batch.layout)


def test_the_layout_of_named_tensors_is_that_of_the_request() -> None:
    assert NAMES.index("rate") == 1
    batch, _ = score_records([lead(), lead(rate=9)])
    assert batch.layout.path(1, 1) == "$.instances[1].rate"
    assert batch.layout.path(1, -1) == "$.instances[1].lead_id"
