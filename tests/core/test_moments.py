from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lead_scoring.core.moments import seconds

BASE = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("2026-06-01T12:00:00Z", BASE),
        (b"2026-06-01T12:00:00Z", BASE),
        ("2026-06-01t12:00:00z", BASE),
        ("2026-06-01 12:00:00Z", BASE),
        ("2026-06-01T12:00:00", BASE),
        ("2026-06-01T12:00:00+00:00", BASE),
        ("2026-06-01T12:00:00-00:00", BASE),
        ("2026-06-01T14:30:00+02:30", BASE),
        ("2026-06-01T00:30:00-11:30", BASE),
        ("2026-06-02T11:59:00+23:59", BASE),
        ("2026-06-01T12:00:00.5Z", BASE + 0.5),
        ("2026-06-01T12:00:00.123456789Z", BASE + 0.123456),
        ("2026-06-01", BASE - 43_200),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC).timestamp()),
        ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC).timestamp()),
        ("0001-01-01T00:00:00Z", -62_135_596_800.0),
        ("0001-01-01T00:00:00+14:00", -62_135_596_800.0 - 50_400),
        ("9999-12-31T23:59:59Z", 253_402_300_799.0),
        ("9999-12-31T23:59:59-12:00", 253_402_300_799.0 + 43_200),
    ],
)
def test_moment(text: str | bytes, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "now",
        "2026",
        "20260601",
        "2026-W23-1",
        "2026-152",
        "2026-06-01T12",
        "2026-06-01T12:00",
        "2026-06-01T12:00:00,5Z",
        "2026-06-01T12:00:00 Z",
        "2026-06-01x12:00:00Z",
        "2026-06-01T12:00:00+0200",
        "2026-06-01T12:00:00+24:00",
        "2026-06-01T24:00:00Z",
        "2026-06-01T12:60:00Z",
        "2026-06-01T12:00:61Z",
        "2026-02-29",
        "2026-13-01",
        "0000-01-01",
        "10000-01-01",
        "-001-01-01",
        "2026-06-01Z",
        "2026-06-01\n",
        "２０２６-06-01",
        "1780000000",
        b"\xff\xfe",
    ],
)
def test_no_moment(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any of them is read as "not a time"
        seconds(text)
