"""A table's own words for "not known" count as missing, however they arrive, and nothing else does."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from lead_scoring.contract import files
from lead_scoring.contract.rules import feature_violations
from lead_scoring.contract.types import Feature, Imputation, InFiles, Ordinal
from lead_scoring.core.assembly import Tensor, from_records, from_tensors
from lead_scoring.core.features import encode
from lead_scoring.core.findings import describe
from lead_scoring.core.plan import FeaturePlan

FEATURES = (
    Feature(name="days passed", type="integer", minimum=0, maximum=40, missing_values=[999, -1]),
    Feature(
        name="City",
        type="category",
        categories=["Pune", "other"],
        unknown_category="other",
        other_category="other",
        missing_values=["Select"],
        encoder=Ordinal(),
    ),
    Feature(
        name="income",
        type="number",
        minimum=0,
        maximum=10,
        out_of_range="clip",
        missing_values=[-9],
        imputation=Imputation(strategy="constant", value=4.0),
    ),
)
PLAN = FeaturePlan(FEATURES, "id")


def test_sentinels_become_gaps_before_any_other_rule_sees_them() -> None:
    """999 is out of range and would be refused, -9 would be clipped, `Select` would be read as `other`."""
    records = [
        {"id": "a", "days passed": 999, "City": "Select", "income": -9},
        {"id": "b", "days passed": -1, "City": "Select", "income": None},
        {"id": "c", "days passed": 3, "City": "Elsewhere", "income": 99},
    ]
    batch = from_records(PLAN, records, max_leads=10)
    found = encode(PLAN, batch.raw, 0.0)
    assert batch.report.total == 0
    assert not found.findings
    np.testing.assert_array_equal(found.matrix, np.array([[np.nan, np.nan, 4], [np.nan, np.nan, 4], [3, 1, 10]], "f4"))
    assert found.used.tolist() == [0, 0, 3]
    assert found.missing.tolist() == [2, 2, 2]
    assert found.imputed.tolist() == [0, 0, 2]
    assert (found.clipped.tolist(), found.unknown.tolist()) == ([0, 0, 1], [0, 1, 0])


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_binary_tensors_carry_them_too(kind: Any) -> None:
    tensors = [
        Tensor("id", "BYTES", [2], [b"a", b"b"]),
        Tensor("days passed", {"f": "FP64", "i": "INT64"}[np.dtype(kind).kind], [2], np.array([999, 4]).astype(kind)),
        Tensor("City", "BYTES", [2], [b"Select", b"Pune"]),
    ]
    batch = from_tensors(PLAN, tensors, max_leads=10)
    found = encode(PLAN, batch.raw, 0.0)
    assert batch.report.total == 0
    np.testing.assert_array_equal(found.matrix[:, :2], np.array([[np.nan, np.nan], [4, 0]], "f4"))


def test_other_values_beyond_the_range_are_still_refused() -> None:
    batch = from_records(PLAN, [{"id": "a", "days passed": 998}], max_leads=10)
    (finding,) = encode(PLAN, batch.raw, 0.0).findings
    assert finding.reason == "out_of_range"


def test_what_is_expected_names_them() -> None:
    assert describe(FEATURES[0]) == "days passed: a whole number in [0, 40], or 999, -1 for missing, or null"
    assert describe(FEATURES[1]) == "City: one of Pune, other, or Select for missing, or null"


@pytest.mark.parametrize(
    ("position", "changes", "expected"),
    [
        (0, {"missing_values": ["999"]}, "numbers that a 32-bit float holds exactly"),
        (0, {"missing_values": [0.1]}, "numbers that a 32-bit float holds exactly"),
        (0, {"missing_values": [9, 9]}, "appears twice"),
        (0, {"nullable": False}, "need a nullable feature"),
        (0, {"in_files": InFiles(date_format="%d.%m.%Y")}, "only a timestamp has a date_format"),
        (1, {"missing_values": ["Pune"]}, "texts that are not categories"),
        (1, {"missing_values": [1]}, "texts that are not categories"),
    ],
)
def test_rules_that_they_owe_the_feature(position: int, changes: dict[str, Any], expected: str) -> None:
    assert not feature_violations(FEATURES[position])
    assert expected in "; ".join(feature_violations(msgspec.structs.replace(FEATURES[position], **changes)))


def test_a_boolean_has_none() -> None:
    assert "has no missing_values" in feature_violations(Feature(name="x", type="boolean", missing_values=[1]))[0]


def test_contracts_without_them_keep_their_bytes_and_hash() -> None:
    """They are left out where there are none, so that versions published before they existed stay as they are."""
    plain = Feature(name="x", type="number")
    assert b"missing_values" not in msgspec.json.encode(plain)
    assert b"in_files" not in msgspec.json.encode(plain)
    spelt = msgspec.structs.replace(plain, in_files=InFiles(missing=["-"]))
    assert files.feature_set_sha256([spelt]) == files.feature_set_sha256([plain])
    marked = msgspec.structs.replace(plain, missing_values=[-1])
    assert files.feature_set_sha256([marked]) != files.feature_set_sha256([plain])


def test_an_untypical_name_is_quoted_in_the_path() -> None:
    batch = from_records(PLAN, [{"id": "a", "days passed": "soon"}], max_leads=10)
    assert batch.report.problems(batch.layout)[0].path == '$.instances[0]["days passed"]'
