"""Names for requests: the caller's where it is harmless in a log, ours otherwise."""

from __future__ import annotations

import os
import re
from itertools import count

__all__ = ["HEADER", "choose"]

HEADER = "x-request-id"

_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}").fullmatch
_PROCESS = os.urandom(8).hex()
_NUMBERS = count(1)


def choose(given: str | None) -> str:
    """Return `given` if it is 1 to 64 letters, digits and ``._:-`` (no mail address, no newline), else a new one."""
    if given and _SANE(given):
        return given
    return f"{_PROCESS}-{next(_NUMBERS):x}"
