"""Raw leads in, the model's input out: every check and every encoding, column-wise, the same in training and in serving."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lead_scoring.core.findings import Finding
from lead_scoring.core.plan import FeaturePlan

__all__ = ["SECONDS_PER_DAY", "Encoded", "encode"]

SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True)
class Encoded:
    """A batch ready for the model, with what was done to it.

    Attributes:
        matrix: `(n, f)` float32, NaN where the model gets a gap.
        plain: `(n, f)` float64 raw values after clipping and dropping, before imputation and encoding (days for timestamps,
            positions for categories): what reference histograms and drift are made of.
        used: `(n,)` int32, how many features of each lead reached the model with a value of their own.
        missing, imputed, clipped, unknown: `(f,)` int64, how many values by feature. A value out of range or an unknown category
            that counts as missing is in `missing` too; `imputed` are the missing ones that were filled in.
        findings: what makes leads unacceptable; empty for a sound batch. Rows with a finding have no meaningful encoding.
    """

    matrix: NDArray[np.float32]
    plain: NDArray[np.float64]
    used: NDArray[np.int32]
    missing: NDArray[np.int64]
    imputed: NDArray[np.int64]
    clipped: NDArray[np.int64]
    unknown: NDArray[np.int64]
    findings: tuple[Finding, ...]


def encode(
    plan: FeaturePlan,
    raw: NDArray[np.float64],
    as_of: float | NDArray[np.float64],
    *,
    known_bad: NDArray[np.bool_] | None = None,
) -> Encoded:
    """Check and encode a batch.

    Args:
        plan: the contract's features.
        raw: `(n, f)` float64 in contract order: numbers; 0 and 1 for booleans; positions for categories (any number outside the
            list for an unknown one); seconds since the epoch for timestamps; NaN for missing. Not modified.
        as_of: moment of scoring in seconds since the epoch, one for all or `(n,)`.
        known_bad: `(n, f)` mask of values already reported (a wrong type, say), NaN in `raw`; they are not reported again.

    Returns:
        The encoded batch. It never raises on data: problems are in `findings`.
    """
    values = raw.copy()
    findings: list[Finding] = []
    if plan.timestamps.size:
        moments = np.asarray(as_of, dtype=np.float64).reshape(-1, 1)
        values[:, plan.timestamps] = np.floor((moments - values[:, plan.timestamps]) / SECONDS_PER_DAY)

    unknown = np.zeros(len(plan.features), dtype=np.int64)
    clipped = np.zeros_like(unknown)
    low, high = values < plan.minimum, values > plan.maximum
    outside = low | high
    if outside.any():  # infinities are always outside
        infinite = np.isinf(raw)
        findings += _report(plan, infinite, "not_finite", raw)
        values[infinite] = np.nan
        outside &= ~infinite
        unknown = _replace_unknown(plan, values, outside, findings)
        outside[:, plan.category_columns] = False
        clipped = (outside & plan.clipped).sum(axis=0)
        np.clip(values, plan.minimum, plan.maximum, out=values, where=outside & plan.clipped)
        values[outside & plan.dropped] = np.nan
        refused = outside & ~plan.clipped & ~plan.dropped
        findings += _report(plan, refused, "out_of_range", values)
        known_bad = infinite | refused if known_bad is None else known_bad | infinite | refused

    whole = values[:, plan.whole]
    fractional = whole != np.floor(whole)
    fractional &= ~np.isnan(whole)
    if fractional.any():
        mask = np.zeros(values.shape, dtype=bool)
        mask[:, plan.whole] = fractional
        findings += _report(plan, mask, "wrong_type", values)

    absent = np.isnan(values)
    missing = absent.sum(axis=0)
    used = (len(plan.features) - absent.sum(axis=1)).astype(np.int32)
    imputed = np.zeros_like(unknown)
    plain = values
    if missing.any():
        forbidden = absent & plan.required
        if known_bad is not None:
            forbidden &= ~known_bad
        if forbidden.any():
            findings += _report(plan, forbidden, "missing", values)
        fill = absent & ~np.isnan(plan.imputed)
        if fill.any():
            imputed = fill.sum(axis=0)
            values = np.where(fill, plan.imputed, values)
    matrix = values.astype(np.float32)
    for column, table in plan.encoded.items():
        position = values[:, column]
        there = (position >= 0) & (position < len(table))
        matrix[:, column] = np.where(there, table[np.where(there, position, 0).astype(np.intp)], np.nan)
    return Encoded(matrix, plain, used, missing, imputed, clipped, unknown, tuple(findings))


def _replace_unknown(
    plan: FeaturePlan, values: NDArray[np.float64], outside: NDArray[np.bool_], findings: list[Finding]
) -> NDArray[np.int64]:
    """Apply the unknown-category rules in place; return how many were unknown by feature."""
    counts = np.zeros(len(plan.features), dtype=np.int64)
    for column in plan.category_columns.tolist():
        rows = np.flatnonzero(outside[:, column])
        if not rows.size:
            continue
        counts[column] = rows.size
        replacement = plan.unknown_to[column]
        if replacement == -1.0:
            findings.append(Finding("unknown_category", column, rows, ["a category that is not in the list"] * rows.size))
            replacement = 0.0  # the row is refused: any position will do, so that it is not reported as missing too
        values[rows, column] = replacement
    return counts


def _report(plan: FeaturePlan, mask: NDArray[np.bool_], reason: str, values: NDArray[np.float64]) -> list[Finding]:
    found = []
    for column in np.flatnonzero(mask.any(axis=0)).tolist():
        rows = np.flatnonzero(mask[:, column])
        if reason == "missing":
            got = ["nothing"] * rows.size
        elif plan.features[column].personal:
            got = ["a personal value, not shown"] * rows.size
        else:
            unit = " days before the moment of scoring" if plan.features[column].type == "timestamp" else ""
            got = [f"{value:.12g}{unit}" for value in values[rows, column].tolist()]
        found.append(Finding(reason, column, rows, got))
    return found
