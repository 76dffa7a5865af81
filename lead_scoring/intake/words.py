"""Words and numbers that people put where they know nothing, and how they write dates."""

from __future__ import annotations

import re

__all__ = ["DATE_FORMATS", "SENTINEL_NUMBERS", "is_nothing", "names_absence", "names_the_rest"]

_NOTHING = re.compile(
    r"\W*(please )?(select|choose)( one| an? \w+)?\W*|n/?a|#n/a|nan|null|nil|[?.]|-+|"
    r"not (available|provided|specified|applicable)|unspecified|undefined|missing",
    re.IGNORECASE,
)
_ABSENCE = frozenset(("none", "nonexistent", "unknown", "no answer", "refused", "don't know", "nothing"))
_REST = frozenset(("misc", "miscellaneous", "other", "others", "other_", "(other)"))

SENTINEL_NUMBERS = (-1.0, -9.0, -99.0, -999.0, -9999.0, 99.0, 999.0, 9999.0, 99999.0, 999999.0)
"""Numbers that stand for "not known" in tables whose other values are far away from them."""

DATE_FORMATS = (
    "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y%m%d",
    "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%y",
    "%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M %p", "%m/%d/%y",
    "%d/%m/%Y", "%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d/%m/%y", "%d-%m-%Y", "%d-%m-%Y %H:%M",
    "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d-%b-%y",
)  # fmt: skip
"""Tried in this order after RFC 3339; where day and month can't be told apart, the month comes first."""


def is_nothing(word: str) -> bool:
    """Tell whether a category's name says that none was given: `Select`, `n/a`, `?`."""
    return _NOTHING.fullmatch(word.strip()) is not None


def names_absence(word: str) -> bool:
    """Tell whether a category's name is an answer that tells nothing: `unknown`. It stays one, as it may matter."""
    return word.strip().casefold() in _ABSENCE


def names_the_rest(word: str) -> bool:
    """Tell whether a category is what all unlisted ones would be counted as: `Other`."""
    return word.strip().casefold() in _REST
