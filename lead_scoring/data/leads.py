"""Realistic, entirely made-up leads with all 50 features, the moment of scoring and the outcome."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from lead_scoring.data.columns import Columns, choice, once, once_uniform, squash
from lead_scoring.data.feed import to_table
from lead_scoring.data.outcome import convert
from lead_scoring.data.population import Drift, Population, draw

__all__ = ["generate"]

_DAY_S = 86_400.0
# fmt: off
_INDUSTRY = (0.21, 0.10, 0.09, 0.11, 0.09, 0.12, 0.05, 0.04, 0.03, 0.05, 0.03, 0.03, 0.03, 0.02)
_INDUSTRY_LATER = (0.08, 0.05, 0.14, 0.08, 0.22, 0.08, 0.10, 0.07, 0.02, 0.06, 0.02, 0.03, 0.04, 0.01)
_GEOGRAPHY = (
    0.20, 0.14, 0.09, 0.05, 0.05, 0.10, 0.08, 0.05, 0.04, 0.04, 0.04, 0.02, 0.02, 0.01, 0.03, 0.02, 0.01, 0.01,
)
_GEOGRAPHY_LATER = (
    0.09, 0.06, 0.04, 0.03, 0.11, 0.05, 0.04, 0.03, 0.02, 0.02, 0.04, 0.05, 0.05, 0.05, 0.14, 0.10, 0.06, 0.02,
)
# fmt: on
_SIZE_BOUNDS = (-1.1, -0.2, 0.55, 1.25, 1.95)
_SENIORITY_BOUNDS = (-1.9, -1.0, 0.0, 0.75, 1.3, 1.75)


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
    return to_table(columns, people, converted, seed)


def _company(c: Columns, p: Population, drift: Drift) -> None:
    rng, n = c.rng, c.rows
    later = rng.random(n) < drift.covariate * p.changed
    c.put("company_size", np.digitize(p.size + 0.15 * once(rng, p), _SIZE_BOUNDS).astype(float))
    c.put("industry", choice(once_uniform(rng, p), _INDUSTRY, _INDUSTRY_LATER, later))
    c.put("geography", choice(once_uniform(rng, p), _GEOGRAPHY, _GEOGRAPHY_LATER, later), 0.02)
    unmatched = once_uniform(rng, p) < 0.30 - 0.10 * np.tanh(
        p.size + 0.5 * p.fit
    )  # small and odd firms match no account
    employees = np.clip(np.round(np.exp(4.2 + 1.65 * p.size + 0.35 * once(rng, p))), 1, 4_000_000)
    c.put("account_employees", employees, unmatched)
    revenue = employees * np.exp(11.6 + 0.5 * once(rng, p) + 0.25 * p.fit)
    c.put("account_revenue", np.round(revenue, -3), unmatched | (rng.random(n) < 0.06))
    c.put("existing_customer", (once_uniform(rng, p) < 0.10 + 0.06 * np.tanh(p.fit)).astype(float))
    c.put("custom_feature_1", np.round(squash(0.9 * p.fit + 0.55 * once(rng, p)), 4), unmatched)


def _person(c: Columns, p: Population) -> None:
    rng = c.rng
    seniority = np.digitize(0.85 * once(rng, p) + 0.25 * p.fit, _SENIORITY_BOUNDS).astype(float)
    c.put("seniority_level", seniority, 0.04)
    # titles by seniority band: learners, specialists, managers, heads, chiefs (positions in the draft's list)
    bands = ((20, 18, 0), (0, 18, 19, 16, 21), (1, 3, 5, 8, 10, 12, 21), (4, 6, 9, 17, 21), (2, 7, 11, 13, 14, 15))
    band = np.array([0, 1, 1, 2, 3, 3, 4])[seniority.astype(int)]
    pick = once_uniform(rng, p)
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
    unmailable = once_uniform(rng, p) < 0.18 - 0.08 * np.tanh(p.intent)
    c.put(
        "email_engagement_score",
        np.round(100 * squash(-1.2 + 0.9 * p.intent + 0.7 * rng.standard_normal(n)), 1),
        unmailable,
    )
    c.put("form_fills", rng.poisson(np.exp(-1.3 + 0.6 * p.intent)).clip(0, 100).astype(float), 0.05)
    c.put("content_downloads", rng.poisson(np.exp(-0.9 + 0.5 * p.intent)).clip(0, 200).astype(float), 0.08)
    touches = rng.negative_binomial(2, 2 / (2 + np.exp(1.6 + 0.15 * p.visit)), n).astype(float)
    c.put("campaign_touchpoints", touches, 0.06)
    days = np.clip(rng.exponential(np.exp(3.6 - 0.55 * p.intent)), 0, 1090)
    c.put("last_campaign_interaction", p.moment_s - np.round(days * _DAY_S), (touches == 0) | (rng.random(n) < 0.05))


def _custom(c: Columns, p: Population) -> None:
    """Draw the custom features that say something about the outcome."""
    rng, n = c.rng, c.rows
    watched = once_uniform(rng, p) < squash(0.2 + 0.5 * p.size)
    c.put("custom_feature_2", np.round(100 * squash(-0.8 + 0.7 * p.intent + 0.8 * rng.standard_normal(n)), 1), ~watched)
    c.put("custom_feature_3", rng.poisson(np.exp(-1.5 + 0.4 * p.size)).clip(0, 50).astype(float), 0.10)
    tickets = rng.negative_binomial(0.7, 0.7 / (0.7 + np.exp(1.6 + 0.4 * p.size)), n).clip(0, 1000).astype(float)
    c.put("custom_feature_4", tickets, c.value["existing_customer"] == 0)
    c.put("custom_feature_5", (rng.random(n) < squash(-2.6 + 0.8 * p.intent)).astype(float), 0.03)
    c.put("custom_feature_6", (rng.random(n) < squash(-1.8 + 0.5 * p.intent)).astype(float), 0.15)
    c.put(
        "custom_feature_7", choice(once_uniform(rng, p), (0.24, 0.19, 0.12, 0.07, 0.08, 0.08, 0.10, 0.07, 0.05)), 0.04
    )
    c.put("custom_feature_8", choice(once_uniform(rng, p), (0.22, 0.10, 0.24, 0.18, 0.12, 0.06, 0.08)), 0.35)
    c.put("custom_feature_9", choice(once_uniform(rng, p), (0.34, 0.22, 0.20, 0.14, 0.10)), 0.45)
    trial = rng.random(n) < squash(-2.2 + 0.7 * p.intent + 0.2 * p.fit)
    login = np.minimum(rng.exponential(np.exp(2.2 - 0.3 * p.intent)), 729)
    c.put("custom_feature_10", p.moment_s - np.round(login * _DAY_S), ~trial)
    pricing = (rng.random(n) < squash(-1.6 + 0.8 * p.intent)) * rng.lognormal(4.2, 0.9, n)
    c.put("custom_feature_11", np.round(np.minimum(pricing, 7200), 1), 0.12)
    seats = np.round(np.exp(1.3 + 0.7 * p.size + 0.5 * rng.standard_normal(n)))
    c.put("custom_feature_12", np.clip(seats, 1, 10_000), ~trial)
    c.put(
        "custom_feature_14", rng.poisson(np.exp(-0.6 + 0.5 * p.size + 0.2 * p.intent)).clip(0, 500).astype(float), 0.08
    )
    c.put("custom_feature_16", (once_uniform(rng, p) < 0.3).astype(float), 0.50)
    c.put("custom_feature_17", np.round(np.clip(25 + 35 * once(rng, p), -100, 100)), c.value["existing_customer"] == 0)
    c.put("custom_feature_18", np.round(np.minimum(rng.gamma(1.2, 500, n), 19_000)), 0.10)
    growth = np.clip(0.08 + 0.25 * once(rng, p), -0.9, 9)
    c.put("custom_feature_22", np.round(growth, 3), c.absent["account_employees"])
    old_tool = 100 * squash(0.5 * p.fit + 0.6 * p.intent + 1.1 * rng.standard_normal(n))
    c.put("custom_feature_32", np.round(old_tool, 1), 0.25)


def _background(c: Columns, p: Population) -> None:
    """Draw the custom features that say little or nothing, as in every real table."""
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
