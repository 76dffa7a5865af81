"""What `confidence` is learnt from: the whole recipe again, on resampled leads, and how often it agrees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from lead_scoring.contract.types import Buckets, Confidence
from lead_scoring.core.calibration import logit
from lead_scoring.core.confidence import mass_inside
from lead_scoring.training.dataset import Dataset
from lead_scoring.training.draft import ContractDraft
from lead_scoring.training.parts import Parts
from lead_scoring.training.recipe import Fitted, fit

__all__ = ["agreement", "learn_confidence", "refit"]

Rows = NDArray[np.intp]
Floats = NDArray[np.float64]
_SPREAD_KNOTS = 12
_AGREEMENT_KNOTS = 24
_SMALLEST_SPREAD = 1e-3


def refit(
    draft: ContractDraft,
    data: Dataset,
    parts: Parts,
    count: int,
    *,
    seed: int,
    workers: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Fitted]:
    """Run the recipe `count` times, each time on leads drawn again, with replacement, from all parts but the test part.

    A lead is drawn with all its rows, and they stay in the part they were in. The number of workers changes nothing but
    the time.
    """
    first, last = parts.train, parts.calibration
    groups = np.unique(data.group[np.concatenate([first, parts.stopping, last])])

    def run(number: int) -> Fitted:
        rng = np.random.default_rng([seed, 1 + number])
        times = np.zeros(int(data.group.max()) + 1, dtype=np.intp)
        np.add.at(times, groups[rng.integers(0, len(groups), len(groups))], 1)

        def again(rows: Rows) -> Rows:
            return np.repeat(rows, times[data.group[rows]])

        return fit(
            draft,
            data,
            train=again(first),
            stopping=again(parts.stopping),
            calibration=again(last),
            seed=seed + 1 + number,
        )

    found: list[Fitted] = []
    with ThreadPoolExecutor(max_workers=workers) as pool:  # XGBoost lets go of the interpreter's lock
        for fitted in pool.map(run, range(count)):
            found.append(fitted)
            progress(len(found))
    return found


def agreement(model: Fitted, refits: Sequence[Fitted], data: Dataset, rows: Rows) -> Floats:
    """Return for each refit and row `(b, n)` whether the refit gives the row the model's score, as 0 or 1."""
    score = model.scores(data, rows)
    return np.stack([fitted.scores(data, rows) == score for fitted in refits]).astype(np.float64)


def learn_confidence(model: Fitted, refits: Sequence[Fitted], data: Dataset, rows: Rows) -> Confidence:
    """Learn how surely a lead belongs in its bucket, on rows that no booster has learnt from.

    The spread at each log-odds is that of the refits around the model, measured where their edges are made to coincide.
    What a logistic distribution of that spread leaves within the bucket is then mapped to the agreement that was seen,
    without falling (isotonic regression), less one standard error over refits: confidence should rather be too low than
    too high.
    """
    log_odds = model.log_odds(data, rows)
    edges = logit(np.asarray(model.buckets.edges))
    moved = np.stack([_aligned(fitted.log_odds(data, rows), fitted.buckets, edges) for fitted in refits]) - log_odds
    knots, spread = _spread(log_odds, np.sqrt((moved**2).mean(axis=0)))
    score = model.scores(data, rows)
    raw = mass_inside(edges, log_odds, np.interp(log_odds, knots, spread), score)
    raw_knots, agreed = _agreed(raw, agreement(model, refits, data, rows))
    return Confidence(
        log_odds=knots.round(6).tolist(),
        spread=spread.round(6).tolist(),
        raw=raw_knots.round(6).tolist(),
        agreement=agreed.round(6).tolist(),
        refits=len(refits),
    )


def _aligned(log_odds: Floats, buckets: Buckets, edges: Floats) -> Floats:
    """Move a refit's log-odds so that its edges fall on `edges`: linearly between them, by the same step beyond."""
    own = logit(np.asarray(buckets.edges))
    shift: Floats = np.interp(log_odds, own, edges - own)
    return log_odds + shift


def _spread(log_odds: Floats, distance: Floats) -> tuple[Floats, Floats]:
    """Return knots of log-odds and, at each, the scale of a logistic distribution as wide as what was seen."""
    order = np.argsort(log_odds, kind="stable")
    chunks = np.array_split(order, _SPREAD_KNOTS)
    knots = np.array([log_odds[chunk].mean() for chunk in chunks])
    scale = np.array([np.sqrt((distance[chunk] ** 2).mean()) for chunk in chunks]) * np.sqrt(3) / np.pi
    knots, first = np.unique(knots.round(6), return_index=True)
    if len(knots) < 2:
        return np.array([knots[0] - 1, knots[0] + 1]), np.repeat(np.maximum(scale[:1], _SMALLEST_SPREAD), 2)
    return knots, np.maximum(scale[first], _SMALLEST_SPREAD)


def _agreed(raw: Floats, agreed: Floats) -> tuple[Floats, Floats]:
    """Return knots of raw mass from 0 to 1 and the agreement to be expected at each, less one standard error."""
    order = np.argsort(raw, kind="stable")
    chunks = np.array_split(order, _AGREEMENT_KNOTS)
    means = np.stack([agreed[:, chunk].mean(axis=1) for chunk in chunks])  # (knots, b)
    error = means.std(axis=1, ddof=1) / np.sqrt(means.shape[1])
    cautious = isotonic_regression(np.clip(means.mean(axis=1) - error, 0, 1)).x
    knots, first = np.unique(np.array([raw[chunk].mean() for chunk in chunks]).round(6), return_index=True)
    values = cautious[first]
    inside = (knots > 0) & (knots < 1)
    return (
        np.concatenate(([0.0], knots[inside], [1.0])),
        np.concatenate((values[:1], values[inside], values[-1:])),
    )
