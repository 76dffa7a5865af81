"""How long to wait after failures in a row."""

from __future__ import annotations

import random

__all__ = ["Backoff"]


class Backoff:
    """Doubles from `first_s` up to `most_s`; each wait is shortened by chance, at most halved."""

    def __init__(self, *, first_s: float, most_s: float, chance: random.Random | None = None) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._chance = chance or random.Random()  # noqa: S311  # nosec B311
        self._failures = 0

    def failed(self) -> float:
        """Count a failure; return how long to wait, in seconds."""
        wait_s: float = min(self._most_s, self._first_s * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return wait_s * self._chance.uniform(0.5, 1.0)

    def succeeded(self) -> None:
        """Start from the beginning."""
        self._failures = 0
