"""Which rows learn, stop, calibrate and judge: by time where it is known, and no lead in two parts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.errors import TrainingError
from lead_scoring.training.dataset import Dataset
from lead_scoring.training.draft import Split

__all__ = ["Parts", "divide", "rfc3339"]

Rows = NDArray[np.intp]
FEWEST_OF_EACH = 20
"""Conversions, and leads that did not convert, that every part needs."""


@dataclass(frozen=True)
class Parts:
    """Positions of the rows of each part, oldest part first; `dropped` rows are in none."""

    train: Rows
    stopping: Rows
    calibration: Rows
    test: Rows
    dropped: int

    def summary(self, data: Dataset) -> dict[str, Any]:
        """Return what the contract says about the split."""
        found: dict[str, Any] = {
            "by": "time, grouped by lead" if data.chance is None else "chance, grouped by lead",
            "dropped_rows": self.dropped,
            "refused_rows": data.refused,
        }
        for name in ("train", "stopping", "calibration", "test"):
            rows: Rows = getattr(self, name)
            found[name] = {
                "rows": len(rows),
                "leads": len(np.unique(data.group[rows])),
                "conversions": int(data.target[rows].sum()),
                "from": rfc3339(data.moment_s[rows[0]]),
                "to": rfc3339(data.moment_s[rows[-1]]),
            }
        return found


def divide(data: Dataset, split: Split) -> Parts:
    """Cut the rows by time into parts of about the given shares; by chance where the table has no time.

    A lead belongs to the newest part that it appears in: its rows in older parts are dropped, so that the parts follow
    each other in time, no lead is in two of them, and the test part looks as the stream of leads does.

    Raises:
        TrainingError: a part has too few leads of either outcome.
    """
    shares = np.array([split.train, split.stopping, split.calibration])
    cuts = data.order[np.minimum((np.cumsum(shares) * len(data)).astype(int), len(data) - 1)]
    part = np.searchsorted(cuts, data.order, side="right")
    newest = np.zeros(data.group.max() + 1, dtype=part.dtype)
    np.maximum.at(newest, data.group, part)
    keep = part == newest[data.group]
    train, stopping, calibration, test = (np.flatnonzero(keep & (part == number)) for number in range(4))
    for name, rows in (("train", train), ("stopping", stopping), ("calibration", calibration), ("test", test)):
        conversions = int(data.target[rows].sum())
        if min(conversions, len(rows) - conversions) < FEWEST_OF_EACH:
            raise TrainingError(
                f"the {name} part has {conversions} conversions in {len(rows)} rows; it needs at least "
                f"{FEWEST_OF_EACH} of either outcome: bring more leads or change the split"
            )
    return Parts(train, stopping, calibration, test, int((~keep).sum()))


def rfc3339(moment_s: float) -> str:
    """Return a moment in UTC, whole seconds: ``2026-06-01T12:00:00Z``."""
    return datetime.fromtimestamp(float(moment_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
