"""What a check can say, and the limits at which it says it. The only place where the limits stand."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = ["AREAS", "LEVELS", "Check", "Level", "Thresholds", "worst"]

Level: TypeAlias = Literal["ok", "insufficient", "warning", "alarm"]
LEVELS: tuple[Level, ...] = ("ok", "insufficient", "warning", "alarm")
"""From the best to the worst; `insufficient` is not `ok`: nobody knows."""

AREAS = ("violations", "duplicates", "freshness", "coverage", "shift", "outcomes")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a check warns and when it alarms. Shares are of rows; both limits of a pair are inclusive.

    A difference from the reference must also be no accident: p-value times number of features at most `p_value`.
    """

    fewest_rows: int = 100
    violations: tuple[float, float] = (0.0001, 0.01)
    duplicates: tuple[float, float] = (0.001, 0.01)
    coverage: tuple[float, float] = (0.03, 0.10)
    shift: tuple[float, float] = (0.10, 0.25)
    stale: tuple[float, float] = (0.75, 0.5)
    auc_drop: tuple[float, float] = (0.02, 0.05)
    calibration: tuple[float, float] = (0.10, 0.25)
    leakage_auc: tuple[float, float] = (0.90, 0.97)
    p_value: float = 0.001

    def as_words(self) -> dict[str, Any]:
        """Return them by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Check:
    """One result: about a feature, or about all rows where `feature` is empty."""

    area: str
    feature: str
    level: Level
    message: str
    figures: dict[str, float] = field(default_factory=dict)


def worst(checks: list[Check]) -> Level:
    """Return the worst level among some checks, of `ok` and `insufficient` the latter; `insufficient` for none."""
    return max((check.level for check in checks), key=LEVELS.index, default="insufficient")
