"""Which columns should not become features, and what is suspicious about those that do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lead_scoring.intake.ageing import DRIFTS, drift, rate_change
from lead_scoring.intake.features import LARGEST, kept_levels
from lead_scoring.intake.leakage import GIVES_AWAY, SUSPICIOUS, giveaways, single_auc
from lead_scoring.intake.profile import Profile
from lead_scoring.intake.twins import column_twins, identifying
from lead_scoring.training.draft import Note
from lead_scoring.training.parts import Parts

__all__ = ["Screened", "screen"]

_MOST_REST = 0.5
"""Share of rows that may fall to `other` before words are taken for free text."""
_MOST_GIVEAWAYS = 5
_STANDARD_ERRORS = 5.0


@dataclass(frozen=True)
class Screened:
    """Reasons to leave columns out, by name, and notes about the others."""

    left_out: dict[str, str]
    notes: list[Note]


def screen(
    profiles: Sequence[Profile], target: NDArray[np.bool_], parts: Parts | None, *, unwanted: Sequence[str] = ()
) -> Screened:
    """Look at all columns; times are in days before the row's moment of scoring. `parts` only if rows have a time."""
    left_out = dict.fromkeys(unwanted, "unwanted: somebody said so")
    notes: list[Note] = []
    for found in profiles:
        reason = None if found.name in left_out else _unfit(found)
        if reason:
            left_out[found.name] = reason
    rest = [found for found in profiles if found.name not in left_out]
    for found, twin in column_twins(rest):
        left_out[found.name] = f"duplicate: says what {twin.name!r} says, row by row"
    for found in rest:
        if found.name not in left_out:
            notes += _leaks(found, target, left_out)
            if parts is not None:
                notes += _ages(found, parts)
    for name, reason in left_out.items():
        kind, _, why = reason.partition(": ")
        notes.append(Note(field=name, kind=kind, message=f"left out: {why}"))
    if parts is not None:
        notes += _outcome_ages(target, parts)
    return Screened(left_out, notes)


def _unfit(found: Profile) -> str | None:
    values = np.unique(found.present)
    if found.kind == "empty":
        return "empty: no row has a value"
    if values.size == 1 and not found.gaps:
        word = found.levels[0] if found.levels else f"{values[0]:g}"
        return f"constant: every row has {word}"
    if found.kind in ("number", "integer") and np.abs(values).max() > LARGEST:
        return "too large: some values are beyond a 32-bit float, which the model takes"
    if identifying(found):
        return f"identifier: {values.size} different values in {found.present.size} rows"
    if found.kind == "category":
        kept = set(kept_levels(found))
        rare = sum(rows for level, rows in zip(found.levels, found.counts, strict=True) if level not in kept)
        if not kept or rare > _MOST_REST * found.present.size:
            return f"free text: {len(found.levels)} different words, most of them in a few rows only"
    return None


def _leaks(found: Profile, target: NDArray[np.bool_], left_out: dict[str, str]) -> list[Note]:
    notes = []
    auc = single_auc(found, target)
    if auc >= GIVES_AWAY:
        left_out[found.name] = f"leakage: alone it gives the answer away (AUC {auc:.3f}); written after the outcome?"
        return []
    if auc >= SUSPICIOUS:
        notes.append(
            Note(
                field=found.name,
                kind="leakage",
                message=f"it alone has AUC {auc:.3f}: is it known at the moment of scoring, or only after the outcome?",
            )
        )
    base = float(target.mean())
    listed = sorted(giveaways(found, target), key=lambda group: -group.rows)
    notes += [
        Note(
            field=found.name,
            kind="leakage",
            message=f"of {group.rows} rows with {group.what}, {group.positive} are positive "
            f"({group.positive / group.rows:.1%}, {base:.1%} of all): was it entered once the outcome was known?",
        )
        for group in listed[:_MOST_GIVEAWAYS]
    ]
    if len(listed) > _MOST_GIVEAWAYS:
        more = f"{len(listed) - _MOST_GIVEAWAYS} more values are as telling"
        notes.append(Note(field=found.name, kind="leakage", message=more))
    if found.kind == "timestamp" and (found.present < 0).mean() > 0.01:
        share = (found.present < 0).mean()
        late = f"{share:.1%} of its times are after the moment of scoring, when the future is not known"
        notes.append(Note(field=found.name, kind="leakage", message=late))
    return notes


def _ages(found: Profile, parts: Parts) -> list[Note]:
    index = drift(found, parts.train, parts.test)
    if index is None or index < DRIFTS:
        return []
    return [
        Note(
            field=found.name,
            kind="time drift",
            message=f"the newest rows differ from the oldest: population stability index {index:.2f}",
        )
    ]


def _outcome_ages(target: NDArray[np.bool_], parts: Parts) -> list[Note]:
    errors = rate_change(target, parts.train, parts.test)
    if abs(errors) < _STANDARD_ERRORS:
        return []
    first, last = target[parts.train].mean(), target[parts.test].mean()
    message = f"the share of positive outcomes goes from {first:.1%} in the oldest part to {last:.1%} in the newest"
    return [Note(kind="time drift", message=message)]
