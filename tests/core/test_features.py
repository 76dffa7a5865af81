from __future__ import annotations

import numpy as np
import pytest

from lead_scoring.core.features import encode
from tests.core.table import DAY, NAMES, NOW, PLAN, SOUND_ROW, cell, lead, raw_row, score_records

pytestmark = pytest.mark.filterwarnings("error")
NAN = float("nan")
INF = float("inf")
FLOAT32_MAX = float(np.finfo(np.float32).max)


def test_a_sound_lead_reaches_the_model_as_it_should() -> None:
    batch, encoded = score_records([lead()])
    assert batch.report.total == 0
    assert encoded.matrix.dtype == np.float32
    assert encoded.matrix.tolist() == [SOUND_ROW]
    assert encoded.used.tolist() == [13]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("size", 1, 1),
        ("size", 1_000_000, 1_000_000),
        ("size", 7.0, 7),
        ("rate", -1.5, -1.5),
        ("rate", 2.5, 2.5),
        ("rate", 0, 0),
        ("rate", None, NAN),
        ("score", -5, 0),
        ("score", 100.5, 100),
        ("score", 1e300, 100),
        ("score", 2**64 - 1, 100),
        ("sales", -0.5, NAN),
        ("sales", 0, 0),
        ("sales", 1e39, NAN),  # beyond float32: out of range like any other
        ("free", FLOAT32_MAX, FLOAT32_MAX),
        ("free", -1e-300, 0),
        ("visits", 10, 9),
        ("visits", -1, 0),
        ("client", True, 1),
        ("client", False, 0),
        ("client", None, 1),  # imputed
        ("seen", "2026-06-01T00:00:00Z", 0),
        ("seen", "2026-05-31T23:59:59Z", 0),
        ("seen", "2026-05-31T00:00:00Z", 1),
        ("seen", "2026-05-31T00:00:00.000001Z", 0),
        ("seen", "2026-05-31T02:00:00+02:00", 1),
        ("seen", "2026-05-31", 1),
        ("seen", "2016-06-03", 3650),
        ("seen", "", NAN),
        ("band", "low", 0),
        ("area", "mars", NAN),
        ("area", "", NAN),
        ("trade", "mars", 0.25),
        ("trade", "bank", -1.5),
        ("trade", None, NAN),
        ("odd name", None, 0),  # imputed
    ],
)
def test_a_value_becomes(name: str, value: object, expected: float) -> None:
    reasons, found = cell(name, value)
    assert reasons == []
    assert found == pytest.approx(expected, rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("size", None, "missing"),
        ("size", 0, "out_of_range"),
        ("size", 1_000_001, "out_of_range"),
        ("size", 1.5, "wrong_type"),
        ("size", 0.5, "wrong_type"),  # below the minimum too: said once
        ("size", True, "wrong_type"),
        ("size", "12", "wrong_type"),
        ("size", [12], "wrong_type"),
        ("size", {"a": 1}, "wrong_type"),
        ("rate", -1.5000001, "out_of_range"),
        ("rate", 2.5000001, "out_of_range"),
        ("rate", INF, "not_finite"),
        ("rate", 10**400, "not_finite"),
        ("rate", -(10**400), "not_finite"),
        ("score", INF, "not_finite"),  # clipping is for numbers
        ("score", -INF, "not_finite"),
        ("sales", INF, "not_finite"),
        ("free", 1e39, "out_of_range"),
        ("free", -1e300, "out_of_range"),
        ("visits", 12.5, "wrong_type"),  # not clipped to 9: it is no count
        ("client", 1, "wrong_type"),
        ("client", "true", "wrong_type"),
        ("seen", 1_780_000_000, "wrong_type"),
        ("seen", "yesterday", "wrong_type"),
        ("seen", "2026-06-01T00:00:01Z", "out_of_range"),  # the future
        ("seen", "2016-06-02", "out_of_range"),
        ("seen", "0001-01-01T00:00:00Z", "out_of_range"),
        ("seen", "9999-12-31T23:59:59Z", "out_of_range"),
        ("band", "mid", "unknown_category"),
        ("band", "Low", "unknown_category"),
        ("band", None, "missing"),
        ("band", "", "missing"),
        ("band", 1, "wrong_type"),
        ("band", ["low"], "wrong_type"),
        ("area", "x" * 1025, "too_long"),
        ("area", "é" * 513, "too_long"),
        ("area", "\ud800", "not_utf8"),
        ("area", b"\xff", "not_utf8"),
    ],
)
def test_a_value_is_refused_for_one_reason(name: str, value: object, reason: str) -> None:
    assert cell(name, value)[0] == [reason]


def test_text_of_the_largest_size_is_looked_at() -> None:
    assert cell("area", "x" * 1024)[0] == []


def test_a_lead_with_many_problems_reports_each_once() -> None:
    batch, _ = score_records([lead(size=None, rate=INF, visits=1.5, salary=99, band="?", seen="never", area=3)])
    assert [(p.path, p.reason) for p in batch.report.problems(batch.layout)] == [
        ("$.instances[0].size", "missing"),
        ("$.instances[0].rate", "not_finite"),
        ("$.instances[0].visits", "wrong_type"),
        ("$.instances[0].salary", "out_of_range"),
        ("$.instances[0].seen", "wrong_type"),
        ("$.instances[0].band", "unknown_category"),
        ("$.instances[0].area", "wrong_type"),
    ]


def test_what_was_done_is_counted_by_feature_and_lead() -> None:
    batch, encoded = score_records(
        [
            lead(),
            lead(score=-1, client=None, area="mars", trade="mars"),
            lead(score=101, sales=-1, area=None, visits=99),
        ]
    )
    assert batch.report.total == 0

    def named(counts: np.ndarray) -> dict[str, int]:
        return {name: count for name, count in zip(NAMES, counts.tolist(), strict=True) if count}

    assert named(encoded.clipped) == {"score": 2, "visits": 1}
    assert named(encoded.unknown) == {"area": 1, "trade": 1}
    assert named(encoded.missing) == {"client": 1, "area": 2, "sales": 1}
    assert named(encoded.imputed) == {"client": 1}
    assert encoded.used.tolist() == [13, 11, 11]
    plain = dict(zip(NAMES, encoded.plain[1].tolist(), strict=True))
    assert plain["score"] == 0
    assert plain["trade"] == 2
    assert plain["client"] != plain["client"]  # before imputation


def test_the_raw_matrix_is_not_modified() -> None:
    raw = raw_row(score=500, area=-1, sales=-1)
    before = raw.copy()
    encode(PLAN, raw, NOW)
    assert raw.tobytes() == before.tobytes()


def test_every_row_may_have_a_moment_of_its_own() -> None:
    raw = np.repeat(raw_row(seen=NOW - 10 * DAY), 3, axis=0)
    encoded = encode(PLAN, raw, np.array([NOW, NOW - 3 * DAY, NOW + DAY / 2]))
    assert encoded.matrix[:, NAMES.index("seen")].tolist() == [10, 7, 10]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"band": 2}, "unknown_category"),
        ({"band": -1}, "unknown_category"),
        ({"band": 0.5}, "wrong_type"),
        ({"trade": 1.5}, "wrong_type"),
        ({"band": INF}, "not_finite"),
        ({"seen": -INF}, "not_finite"),
        ({"seen": -1e300}, "out_of_range"),
        ({"client": 2}, "out_of_range"),
        ({"client": 0.5}, "wrong_type"),
    ],
)
def test_packed_numbers_are_held_to_the_same_rules(changes: dict[str, float], reason: str) -> None:
    assert [finding.reason for finding in encode(PLAN, raw_row(**changes), NOW).findings] == [reason]


def test_values_reported_before_are_not_reported_as_missing() -> None:
    known_bad = np.zeros((1, len(NAMES)), dtype=bool)
    known_bad[0, NAMES.index("size")] = True
    assert encode(PLAN, raw_row(size=NAN), NOW, known_bad=known_bad).findings == ()
    assert [f.reason for f in encode(PLAN, raw_row(size=NAN), NOW).findings] == ["missing"]
    assert [f.reason for f in encode(PLAN, raw_row(size=NAN, rate=9), NOW, known_bad=known_bad).findings] == [
        "out_of_range"
    ]


def test_signalling_nans_are_missing_and_warn_of_nothing() -> None:
    raw = raw_row()
    signalling = np.array([0x7FF0000000000001], dtype=np.uint64).view(np.float64)
    raw[0, NAMES.index("rate")] = signalling[0]
    raw[0, NAMES.index("seen")] = signalling[0]
    encoded = encode(PLAN, raw, NOW)
    assert encoded.findings == ()
    assert encoded.used.tolist() == [11]


def test_personal_numbers_are_not_shown_and_others_are() -> None:
    batch, _ = score_records([lead(salary=77.125, rate=88.125)])
    got = {problem.path: problem.got for problem in batch.report.problems(batch.layout)}
    assert got == {"$.instances[0].salary": "a personal value, not shown", "$.instances[0].rate": "88.125"}
