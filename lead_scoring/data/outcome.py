"""Which made-up leads convert: main effects, interactions, gaps that mean something, luck and wrong labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lead_scoring.data.columns import Columns
from lead_scoring.data.population import Drift, Population

__all__ = ["convert"]

_INTERCEPT = -4.35
_INDUSTRY = (0.6, 0.35, 0.1, 0.0, -0.35, 0.15, -0.8, -0.2, 0.1, -0.15, 0.05, -0.4, -0.9, -0.3)
_GEOGRAPHY = (0.25, 0.3, 0.1, 0.1, -0.4, 0.2, 0.25, 0.0, 0.15, 0.25, -0.15, -0.3, -0.2, -0.6, -0.5, -0.3, -0.1, 0.2)
_SOURCE = (0.1, -0.1, -0.5, 0.9, 0.6, 0.2, -0.35, -0.7, 0.25)
_SENIORITY = (-1.3, -0.5, 0.0, 0.4, 0.8, 0.7, 0.3)
_SIZE = (-0.7, -0.2, 0.3, 0.5, 0.25, -0.2)
_DECIDERS = (2, 4, 6, 9, 13, 14, 15, 17)
"""Job titles (positions in the draft's list) that sign."""


def convert(c: Columns, p: Population, drift: Drift) -> NDArray[np.bool_]:
    """Draw the outcome of each row: about one in eleven without drift."""
    concept = drift.concept * p.changed
    log_odds = _INTERCEPT + _company(c) + _interest(c, p, concept) + _interactions(c, concept)
    log_odds += 0.35 * p.luck + 0.1 * np.sin(2 * np.pi * p.moment_s / (365.25 * 86_400))  # and a mild season
    won = c.rng.random(c.rows) < 1 / (1 + np.exp(-log_odds))
    # Labels are kept by people: a few wins never reach the CRM, a few are booked on the wrong lead.
    return (won & (c.rng.random(c.rows) >= 0.02)) | (c.rng.random(c.rows) < 0.002)


def _company(c: Columns) -> NDArray[np.float64]:
    effect = _at(_SIZE, c, "company_size") + _at(_INDUSTRY, c, "industry") + 0.8 * _at(_GEOGRAPHY, c, "geography")
    effect += 1.6 * (c.seen("custom_feature_1", 0.4) - 0.5)
    effect -= 0.35 * c.absent["account_employees"]
    revenue_per_head = np.log(np.maximum(c.value["account_revenue"], 1.0) / c.value["account_employees"]) - 11.6
    effect += np.where(c.absent["account_revenue"], 0.0, 0.4 * revenue_per_head)
    effect += 0.9 * np.clip(c.seen("custom_feature_22"), -0.5, 1.0)
    return effect + 0.15 * np.minimum(c.seen("custom_feature_3"), 4)


def _interest(c: Columns, p: Population, concept: NDArray[np.float64]) -> NDArray[np.float64]:
    clicks = 1 - 0.9 * concept
    effect = clicks * 0.028 * (c.seen("email_engagement_score", 20.0) - 30)
    effect -= 0.25 * c.absent["email_engagement_score"]
    effect += clicks * 0.30 * np.log1p(c.value["website_sessions"])
    effect += 0.22 * np.minimum(c.seen("form_fills"), 4) + 0.12 * np.minimum(c.seen("content_downloads"), 5)
    effect += 0.5 * (c.seen("custom_feature_5") > 0) + 0.15 * (c.seen("custom_feature_6") > 0)
    effect += 0.014 * (c.seen("custom_feature_2", 30.0) - 35)
    effect += 0.20 * np.log1p(c.seen("custom_feature_11") / 30)
    days = (p.moment_s - c.value["last_campaign_interaction"]) / 86_400
    effect += np.where(c.absent["last_campaign_interaction"], -0.5, 0.9 * np.exp(-days / 25) - 0.2)
    touches = c.seen("campaign_touchpoints", 4.0)
    effect -= 0.004 * (touches - 8) ** 2 * (touches < 30)  # neither too few nor too many
    return effect + _at(_SOURCE, c, "custom_feature_7")


def _interactions(c: Columns, concept: NDArray[np.float64]) -> NDArray[np.float64]:
    seniority = _at(_SENIORITY, c, "seniority_level") * (1 + 0.8 * concept)
    large = c.value["company_size"] >= 3
    decider = np.isin(c.value["job_title"], _DECIDERS)
    effect = seniority * np.where(large, 0.6, 1.0) + 0.5 * decider * ~large
    customer = c.value["existing_customer"] > 0
    tickets = np.log1p(c.seen("custom_feature_4"))
    effect += np.where(customer, 0.7 - 0.45 * tickets + 0.012 * c.seen("custom_feature_17"), 0.0)
    stage = c.value["custom_feature_9"]
    competitor = (c.seen("custom_feature_16") > 0) & ~customer
    effect += competitor * np.where(
        c.absent["custom_feature_9"], -0.3, np.array([0.0, -1.2, -0.7, 0.4, 1.5])[stage.astype(int)]
    )
    trial = ~c.absent["custom_feature_10"]
    seats = np.log1p(c.seen("custom_feature_12"))
    effect += trial * (0.5 + 0.45 * (seats - 1.5))
    active = np.log1p(c.seen("pages_viewed")) > np.log(12)
    effect += 0.6 * active * (c.value["custom_feature_1"] > 0.6)
    effect -= 0.7 * ((c.value["industry"] <= 1) & (c.value["geography"] >= 10))
    effect += 0.5 * ((c.value["industry"] == 2) & np.isin(c.value["geography"], (6, 9)))
    return effect


def _at(effects: tuple[float, ...], c: Columns, name: str) -> NDArray[np.float64]:
    """Return the effect of a category; none where the record does not tell it."""
    found: NDArray[np.float64] = np.where(c.absent[name], 0.0, np.array(effects)[c.value[name].astype(int)])
    return found
