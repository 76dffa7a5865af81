"""Points in time as people and machines write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

__all__ = ["seconds"]

_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d:(?P<second>\d\d)(?:\.\d{1,9})?(?P<zone>[Zz]|[+-]\d\d:\d\d)?)?", re.ASCII
)


def seconds(text: str | bytes) -> float:
    """Return seconds since the epoch of an RFC 3339 time; a time without an offset, or a date alone, is taken as UTC.

    A leap second counts as the first second of the next minute, as POSIX has it.

    Raises:
        ValueError: not such a time, or one outside the years 1 to 9999.
    """
    if isinstance(text, bytes):
        text = text.decode("ascii")
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 time")
    leap = match["second"] == "60"
    if leap:
        text = f"{text[:17]}59{text[19:]}"
    moment = datetime.fromisoformat(text.upper())
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() + leap
