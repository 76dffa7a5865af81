"""Who the made-up leads are: what moves them, when they turn up, how the market drifts. No feature is made here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["DAYS", "START_S", "Drift", "Population", "draw"]

START_S = 1_743_465_600.0
"""2025-04-01T00:00:00Z, when the first leads are scored."""
DAYS = 548
"""The period covers about 18 months."""

_REPEATED = 0.08
"""Share of rows that score a lead again."""
_DAY_S = 86_400.0


@dataclass(frozen=True)
class Drift:
    """How the world changes while leads come in.

    Attributes:
        covariate: strength in [0, 1] of a change in *who* comes: smaller firms, other industries and regions, more
        sessions. concept: strength in [0, 1] of a change in *what converts*: clicks lose their meaning, seniority
        gains. since: when it begins, as a share of the period in [0, 1); it takes a tenth of the period to develop.
    """

    covariate: float = 0.0
    concept: float = 0.0
    since: float = 0.7


@dataclass(frozen=True)
class Population:
    """n scoring events, oldest first; all arrays `(n,)`, what is latent is standard normal.

    Attributes:
        lead: position of the lead that is scored, in [0, m); some leads come twice or more.
        leads: m, how many different leads there are.
        moment_s: moment of scoring, seconds since the epoch, rising.
        visit: 0 the first time that a lead is scored, then 1, 2 …
        size: how large the company is, per lead.
        fit: how well the company suits, per lead.
        intent: how much the person wants to buy; grows from visit to visit.
        luck: what no feature knows about the outcome, per lead.
        changed: how far the drift has developed, in [0, 1].
    """

    lead: NDArray[np.intp]
    leads: int
    moment_s: NDArray[np.float64]
    visit: NDArray[np.intp]
    size: NDArray[np.float64]
    fit: NDArray[np.float64]
    intent: NDArray[np.float64]
    luck: NDArray[np.float64]
    changed: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.lead)


def draw(count: int, rng: np.random.Generator, drift: Drift) -> Population:
    """Draw `count` ≥ 1 scoring events."""
    leads = max(1, round(count * (1 - _REPEATED)))
    first = rng.random(leads) ** 0.8  # business grows: later days bring more leads
    again = rng.integers(0, leads, count - leads)
    when = np.concatenate([first, first[again] + (1 - first[again]) * rng.beta(1, 4, len(again))])
    lead = np.concatenate([np.arange(leads), again])
    moment_s = _business_hours(when, rng)
    order = np.lexsort((lead, moment_s))
    lead, moment_s = lead[order], moment_s[order]
    changed = np.clip(((moment_s - START_S) / (DAYS * _DAY_S) - drift.since) / 0.1, 0, 1)
    size, fit, intent, luck = rng.standard_normal((4, leads))
    visit = _occurrence(lead)
    return Population(
        lead=lead,
        leads=leads,
        moment_s=moment_s,
        visit=visit,
        size=size[lead] - 0.9 * drift.covariate * changed,
        fit=fit[lead],
        intent=0.15 * fit[lead] + intent[lead] + 0.25 * visit,
        luck=luck[lead],
        changed=changed,
    )


def _business_hours(when: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Turn shares of the period into seconds: mostly weekdays, mostly daytime."""
    day = np.floor(when * DAYS)
    weekday = (day + 1) % 7  # the first day is a Tuesday; 0 is Monday
    moved = np.where((weekday >= 5) & (rng.random(len(day)) < 0.75), 7 - weekday, 0)
    day = np.minimum(day + moved, DAYS - 1)
    second = np.clip(rng.normal(13.5 * 3600, 3.5 * 3600, len(day)), 0, _DAY_S - 1)
    moments: NDArray[np.float64] = START_S + day * _DAY_S + np.floor(second)
    return moments


def _occurrence(lead: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return for each row how often its lead came before."""
    order = np.argsort(lead, kind="stable")
    grouped = lead[order]
    position = np.arange(len(lead))
    starts = np.flatnonzero(np.concatenate(([True], grouped[1:] != grouped[:-1])))
    run = np.repeat(position[starts], np.diff(np.append(starts, len(lead))))
    found = np.empty(len(lead), dtype=np.intp)
    found[order] = position - run
    return found
