"""The columns of a made-up data set on their way, and the few ways in which they are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.data.population import Population

__all__ = ["Columns", "Values", "choice", "once", "once_uniform", "squash"]

Values = NDArray[np.float64]


@dataclass
class Columns:
    """The columns of one data set on their way, by name: the full value, and a mask of where the record has none."""

    rng: np.random.Generator
    rows: int
    value: dict[str, Values] = field(default_factory=dict)
    absent: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def put(self, name: str, value: NDArray[Any], absent: NDArray[np.bool_] | float = 0.0) -> Values:
        """Keep a column; `absent` is a mask or the chance of a gap anywhere. Returns the full value."""
        self.value[name] = value = value.astype(np.float64)
        self.absent[name] = self.rng.random(self.rows) < absent if isinstance(absent, float) else absent
        return value

    def seen(self, name: str, default: float = 0.0) -> Values:
        """Return what the record shows of a column: `default` where it has no value."""
        return np.where(self.absent[name], default, self.value[name])


def once(rng: np.random.Generator, p: Population) -> Values:
    """Draw a standard normal per lead, so that it is the same at every visit."""
    return rng.standard_normal(p.leads)[p.lead]


def once_uniform(rng: np.random.Generator, p: Population) -> Values:
    """Draw from [0, 1) per lead, so that it is the same at every visit."""
    return rng.random(p.leads)[p.lead]


def choice(
    uniform: Values,
    shares: tuple[float, ...],
    later_shares: tuple[float, ...] = (),
    later: NDArray[np.bool_] | None = None,
) -> Values:
    """Return positions with the given shares; with `later_shares` where `later`."""
    found = np.searchsorted(np.cumsum(shares)[:-1] / sum(shares), uniform, side="right")
    if later is not None:
        found = np.where(
            later, np.searchsorted(np.cumsum(later_shares)[:-1] / sum(later_shares), uniform, side="right"), found
        )
    return found.astype(float)


def squash(x: Values) -> Values:
    """Return the logistic function of x."""
    return 1.0 / (1.0 + np.exp(-x))
