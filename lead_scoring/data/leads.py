"""Realistic, entirely made-up leads with all 50 features, the moment of scoring and the outcome."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lead_scoring.data.builtin import lead_scoring_draft
from lead_scoring.data.outcome import convert
from lead_scoring.data.population import Drift, Population, draw

__all__ = ["Columns", "generate"]

Values = NDArray[np.float64]
_DAY_S = 86_400.0
_INDUSTRY = (0.21, 0.10, 0.09, 0.11, 0.09, 0.12, 0.05, 0.04, 0.03, 0.05, 0.03, 0.03, 0.03, 0.02)
_INDUSTRY_LATER = (0.08, 0.05, 0.14, 0.08, 0.22, 0.08, 0.10, 0.07, 0.02, 0.06, 0.02, 0.03, 0.04, 0.01)
_GEOGRAPHY = (
    0.20,
    0.14,
    0.09,
    0.05,
    0.05,
    0.10,
    0.08,
    0.05,
    0.04,
    0.04,
    0.04,
    0.02,
    0.02,
    0.01,
    0.03,
    0.02,
    0.01,
    0.01,
)
_GEOGRAPHY_LATER = (
    0.09,
    0.06,
    0.04,
    0.03,
    0.11,
    0.05,
    0.04,
    0.03,
    0.02,
    0.02,
    0.04,
    0.05,
    0.05,
    0.05,
    0.14,
    0.10,
    0.06,
    0.02,
)
_SIZE_BOUNDS = (-1.1, -0.2, 0.55, 1.25, 1.95)
_SENIORITY_BOUNDS = (-1.9, -1.0, 0.0, 0.75, 1.3, 1.75)
_UNHEARD_OF = {"industry": "space_tourism", "job_title": "chief_vibes_officer", "geography": "atlantis", "custom_feature_7": "carrier_pigeon",
               "custom_feature_8": "vendor_z", "custom_feature_9": "unclear", "custom_feature_31": "d"}  # fmt: skip
"""What a few records hold in columns whose rule allows an unknown category."""


@dataclass
class Columns:
    """The columns of one data set on their way, by name: the full value, and a mask of where the record has none."""

    rng: np.random.Generator
    rows: int
    value: dict[str, Values] = field(default_factory=dict)
    absent: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def put(self, name: str, value: Values, absent: NDArray[np.bool_] | float = 0.0) -> Values:
        """Keep a column; `absent` is a mask or the chance of a gap anywhere. Returns the full value."""
        self.value[name] = value
        self.absent[name] = self.rng.random(self.rows) < absent if isinstance(absent, float) else absent
        return value

    def seen(self, name: str, default: float = 0.0) -> Values:
        """Return what the record shows of a column: `default` where it has no value."""
        return np.where(self.absent[name], default, self.value[name])


def generate(leads: int, *, seed: int, drift: Drift | None = None) -> pa.Table:
    """Make `leads` rows, oldest first: `lead_id`, `scored_at` (UTC), the 50 features, `converted`.

    The same arguments give the same table. A few rows hold what feeds hold: unknown categories, values out of range.
    """
    drift = drift or Drift()
    rng = np.random.default_rng([seed, 20250401])
    people = draw(leads, rng, drift)
    columns = Columns(rng, leads)
    _company(columns, people, drift)
    _person(columns, people)
    _behaviour(columns, people, drift)
    _custom(columns, people)
    _background(columns, people)
    converted = convert(columns, people, drift)
    return _table(columns, people, converted, seed)


def _company(c: Columns, p: Population, drift: Drift) -> None:
    rng, n = c.rng, c.rows
    later = rng.random(n) < drift.covariate * p.changed
    c.put("company_size", np.digitize(p.size + 0.15 * _once(rng, p), _SIZE_BOUNDS).astype(float))
    c.put("industry", _choice(_once_uniform(rng, p), _INDUSTRY, _INDUSTRY_LATER, later))
    c.put("geography", _choice(_once_uniform(rng, p), _GEOGRAPHY, _GEOGRAPHY_LATER, later), 0.02)
    unmatched = _once_uniform(rng, p) < 0.30 - 0.10 * np.tanh(
        p.size + 0.5 * p.fit
    )  # small and odd firms match no account
    employees = np.clip(np.round(np.exp(4.2 + 1.65 * p.size + 0.35 * _once(rng, p))), 1, 4_000_000)
    c.put("account_employees", employees, unmatched)
    revenue = employees * np.exp(11.6 + 0.5 * _once(rng, p) + 0.25 * p.fit)
    c.put("account_revenue", np.round(revenue, -3), unmatched | (rng.random(n) < 0.06))
    c.put("existing_customer", (_once_uniform(rng, p) < 0.10 + 0.06 * np.tanh(p.fit)).astype(float))
    c.put("custom_feature_1", np.round(_squash(0.9 * p.fit + 0.55 * _once(rng, p)), 4), unmatched)


def _person(c: Columns, p: Population) -> None:
    rng = c.rng
    seniority = np.digitize(0.85 * _once(rng, p) + 0.25 * p.fit, _SENIORITY_BOUNDS).astype(float)
    c.put("seniority_level", seniority, 0.04)
    # titles by seniority band: learners, specialists, managers, heads, chiefs (positions in the draft's list)
    bands = ((20, 18, 0), (0, 18, 19, 16, 21), (1, 3, 5, 8, 10, 12, 21), (4, 6, 9, 17, 21), (2, 7, 11, 13, 14, 15))
    band = np.array([0, 1, 1, 2, 3, 3, 4])[seniority.astype(int)]
    pick = _once_uniform(rng, p)
    title = np.zeros(c.rows)
    for position, titles in enumerate(bands):
        chosen = np.array(titles, dtype=float)[np.floor(pick * len(titles)).astype(int)]
        title = np.where(band == position, chosen, title)
    c.put("job_title", title, 0.07)


def _behaviour(c: Columns, p: Population, drift: Drift) -> None:
    rng, n = c.rng, c.rows
    more = 1 + 0.8 * drift.covariate * p.changed
    sessions = rng.negative_binomial(1.3, 1.3 / (1.3 + np.exp(0.9 + 0.75 * p.intent) * more)).astype(float)
    c.put("website_sessions", sessions)
    pages = sessions + rng.poisson(sessions * np.exp(0.5 + 0.2 * p.intent))
    c.put("pages_viewed", np.minimum(pages, 5000), 0.05)
    time = np.round(np.minimum(pages * rng.lognormal(3.4, 0.6, n) * np.exp(0.15 * p.intent), 80_000), 1)
    c.put("time_on_site", time, 0.12)  # tracking declined
    unmailable = _once_uniform(rng, p) < 0.18 - 0.08 * np.tanh(p.intent)
    c.put(
        "email_engagement_score",
        np.round(100 * _squash(-1.2 + 0.9 * p.intent + 0.7 * rng.standard_normal(n)), 1),
        unmailable,
    )
    c.put("form_fills", rng.poisson(np.exp(-1.3 + 0.6 * p.intent)).clip(0, 100).astype(float), 0.05)
    c.put("content_downloads", rng.poisson(np.exp(-0.9 + 0.5 * p.intent)).clip(0, 200).astype(float), 0.08)
    touches = rng.negative_binomial(2, 2 / (2 + np.exp(1.6 + 0.15 * p.visit)), n).astype(float)
    c.put("campaign_touchpoints", touches, 0.06)
    days = np.clip(rng.exponential(np.exp(3.6 - 0.55 * p.intent)), 0, 1090)
    c.put("last_campaign_interaction", p.moment_s - np.round(days * _DAY_S), (touches == 0) | (rng.random(n) < 0.05))


def _custom(c: Columns, p: Population) -> None:
    """The custom features that say something about the outcome."""
    rng, n = c.rng, c.rows
    watched = _once_uniform(rng, p) < _squash(0.2 + 0.5 * p.size)
    c.put(
        "custom_feature_2", np.round(100 * _squash(-0.8 + 0.7 * p.intent + 0.8 * rng.standard_normal(n)), 1), ~watched
    )
    c.put("custom_feature_3", rng.poisson(np.exp(-1.5 + 0.4 * p.size)).clip(0, 50).astype(float), 0.10)
    tickets = rng.negative_binomial(0.7, 0.7 / (0.7 + np.exp(1.6 + 0.4 * p.size)), n).clip(0, 1000).astype(float)
    c.put("custom_feature_4", tickets, c.value["existing_customer"] == 0)
    c.put("custom_feature_5", (rng.random(n) < _squash(-2.6 + 0.8 * p.intent)).astype(float), 0.03)
    c.put("custom_feature_6", (rng.random(n) < _squash(-1.8 + 0.5 * p.intent)).astype(float), 0.15)
    c.put(
        "custom_feature_7", _choice(_once_uniform(rng, p), (0.24, 0.19, 0.12, 0.07, 0.08, 0.08, 0.10, 0.07, 0.05)), 0.04
    )
    c.put("custom_feature_8", _choice(_once_uniform(rng, p), (0.22, 0.10, 0.24, 0.18, 0.12, 0.06, 0.08)), 0.35)
    c.put("custom_feature_9", _choice(_once_uniform(rng, p), (0.34, 0.22, 0.20, 0.14, 0.10)), 0.45)
    trial = rng.random(n) < _squash(-2.2 + 0.7 * p.intent + 0.2 * p.fit)
    login = np.minimum(rng.exponential(np.exp(2.2 - 0.3 * p.intent)), 729)
    c.put("custom_feature_10", p.moment_s - np.round(login * _DAY_S), ~trial)
    pricing = (rng.random(n) < _squash(-1.6 + 0.8 * p.intent)) * rng.lognormal(4.2, 0.9, n)
    c.put("custom_feature_11", np.round(np.minimum(pricing, 7200), 1), 0.12)
    seats = np.round(np.exp(1.3 + 0.7 * p.size + 0.5 * rng.standard_normal(n)))
    c.put("custom_feature_12", np.clip(seats, 1, 10_000), ~trial)
    c.put(
        "custom_feature_14", rng.poisson(np.exp(-0.6 + 0.5 * p.size + 0.2 * p.intent)).clip(0, 500).astype(float), 0.08
    )
    c.put("custom_feature_16", (_once_uniform(rng, p) < 0.3).astype(float), 0.50)
    c.put("custom_feature_17", np.round(np.clip(25 + 35 * _once(rng, p), -100, 100)), c.value["existing_customer"] == 0)
    c.put("custom_feature_18", np.round(np.minimum(rng.gamma(1.2, 500, n), 19_000)), 0.10)
    growth = np.clip(0.08 + 0.25 * _once(rng, p), -0.9, 9)
    c.put("custom_feature_22", np.round(growth, 3), c.absent["account_employees"])
    old_tool = 100 * _squash(0.5 * p.fit + 0.6 * p.intent + 1.1 * rng.standard_normal(n))
    c.put("custom_feature_32", np.round(old_tool, 1), 0.25)


def _background(c: Columns, p: Population) -> None:
    """The custom features that say little or nothing, as in every real table."""
    rng, n = c.rng, c.rows
    c.put("custom_feature_13", np.round(rng.beta(1.2, 6, n), 4), 0.20)
    c.put("custom_feature_15", np.round(rng.beta(2, 8, n), 3), 0.60)
    east = np.isin(c.value["geography"], (12, 13, 14, 15, 16, 17))
    west = c.value["geography"] < 5
    c.put("custom_feature_19", np.where(east, 0.0, np.where(west, 2.0, 1.0)), 0.03)
    c.put("custom_feature_20", (rng.random(n) < 0.35).astype(float), 0.05)
    c.put(
        "custom_feature_21", np.round(np.exp(3.0 + 0.5 * p.size + 0.6 * rng.standard_normal(n)), 1).clip(0, 1000), 0.28
    )
    c.put("custom_feature_23", rng.poisson(np.exp(0.8 + 0.8 * p.size)).clip(0, 5000).astype(float), 0.30)
    c.put("custom_feature_24", np.round(rng.lognormal(4.5, 1.0, n)).clip(0, 20_000), 0.55)
    c.put("custom_feature_25", np.floor(np.clip(rng.normal(13, 4.5, n), 0, 23)), 0.08)
    c.put("custom_feature_26", np.round(rng.lognormal(7.2, 0.5, n)).clip(0, 60_000), 0.12)
    c.put("custom_feature_27", (rng.random(n) < 0.31).astype(float), 0.05)
    c.put("custom_feature_28", np.round(rng.standard_normal(n), 3), 0.10)
    c.put("custom_feature_29", np.round(rng.pareto(1.6, n) * 50, 1), 0.40)
    c.put("custom_feature_30", rng.integers(1, 9, n).astype(float), 0.02)
    c.put("custom_feature_31", rng.integers(0, 3, n).astype(float), 0.25)
    c.put("custom_feature_33", np.round(rng.gamma(1.5, 600, n)).clip(0, 20_000), 0.15)
    c.put("custom_feature_34", p.moment_s - np.round(rng.gamma(0.8, 200, n).clip(0, 3600) * _DAY_S), 0.05)


def _table(c: Columns, p: Population, converted: NDArray[np.bool_], seed: int) -> pa.Table:
    rng = c.rng
    arrays: dict[str, pa.Array] = {"lead_id": pa.array(_ids(p, seed)), "scored_at": _times(p.moment_s, None)}
    for feature in lead_scoring_draft().features:
        value, absent = c.value[feature.name], c.absent[feature.name]
        if feature.type == "category":
            words = list(feature.categories or [])
            if feature.name in _UNHEARD_OF:
                value = np.where(rng.random(c.rows) < 0.003, len(words), value)
                words.append(_UNHEARD_OF[feature.name])
            coded = pa.DictionaryArray.from_arrays(pa.array(value.astype(np.int32), mask=absent), words)
            arrays[feature.name] = coded.cast(pa.string())
        elif feature.type == "timestamp":
            wild = np.where(rng.random(c.rows) < 0.5, p.moment_s + 1.5 * _DAY_S, p.moment_s - 20 * 365 * _DAY_S)
            arrays[feature.name] = _times(np.where(rng.random(c.rows) < 0.001, wild, value), absent)
        elif feature.type == "boolean":
            arrays[feature.name] = pa.array(value > 0, mask=absent)
        else:
            if feature.out_of_range != "reject" and feature.maximum is not None:
                wild = np.where(rng.random(c.rows) < 0.5, feature.maximum * 1.5 + 1, -1.0 - abs(feature.minimum or 0))
                value = np.where(rng.random(c.rows) < 0.001, wild, value)
            arrays[feature.name] = pa.array(value.astype(np.int64) if feature.type == "integer" else value, mask=absent)
    arrays["converted"] = pa.array(converted)
    return pa.table(arrays)


def _ids(p: Population, seed: int) -> list[str]:
    """Name leads so that no two of them, of this seed or any other below 2^24, share a name."""
    scattered = (np.arange(p.leads, dtype=np.uint64) * np.uint64(0x9E3779B1)) & np.uint64(0xFFFFFFFF)
    names = [f"ld-{seed & 0xFFFFFF:06x}{value:08x}" for value in scattered.tolist()]
    return [names[lead] for lead in p.lead.tolist()]


def _times(seconds: Values, absent: NDArray[np.bool_] | None) -> pa.Array:
    return pa.array(seconds.astype(np.int64) * 1000, mask=absent).cast(pa.timestamp("ms", tz="UTC"))


def _once(rng: np.random.Generator, p: Population) -> Values:
    """Draw a standard normal per lead, so that it is the same at every visit."""
    return rng.standard_normal(p.leads)[p.lead]


def _once_uniform(rng: np.random.Generator, p: Population) -> Values:
    return rng.random(p.leads)[p.lead]


def _choice(
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


def _squash(x: Values) -> Values:
    return 1.0 / (1.0 + np.exp(-x))
