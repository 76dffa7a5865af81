"""Golden leads: those that notice when a model, its contract or the code that reads them is not what it should be."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Contract, Feature, GoldenLead, GoldenSet
from lead_scoring.core.assembly import from_records, seconds
from lead_scoring.core.features import Encoded, encode
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.core.scoring import Scores, interpret
from lead_scoring.errors import PackageError
from lead_scoring.packaging.offline import Predict

__all__ = ["CLEARANCE", "LARGEST", "SMALLEST", "choose"]

SMALLEST = 50
LARGEST = 400
"""As many as fit one request, with room to spare."""
CLEARANCE = 10.0
"""Golden leads keep this many tolerances away from every edge: nearer, another CPU's last bit could move a score."""

_PER_SIDE = 3
_PER_BUCKET = 5
_BASES = 12
_STEP = (5**0.5 - 1) / 2
"""Multiples of it, modulo 1, spread evenly however many there are."""

Record: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class _Answered:
    """Records with their answers and whether each keeps clear of the edges."""

    records: Sequence[Record]
    scores: Scores
    encoded: Encoded
    fit: NDArray[np.bool_]


def choose(
    contract: Contract, predict: Predict, pool: Sequence[Record], as_of: str, *, tolerance: float = 1e-6
) -> GoldenSet:
    """Choose at least 50 leads with their right answers; the same set for the same arguments.

    From the pool: the nearest leads on both sides of every edge and leads spread over every bucket. Made from those:
    each nullable feature missing, each tolerated unknown category, each clipped or dropped value, and everything
    optional missing at once; of several possible leads the one whose probability moves the most. Lead ids and personal
    values are replaced by made-up ones: a contract is read by more people than the leads are.

    Args:
        contract: with any golden set.
        predict: the model, from encoded matrix `(n, f)` to margins `(n,)`.
        pool: V1 records, the more the better; those that the contract refuses are passed over.
        as_of: RFC 3339 moment of scoring.
        tolerance: largest difference in probability that counts as the same answer.

    Raises:
        PackageError: the pool has too few acceptable leads, or none on a side of an edge or in a bucket.
    """
    plan = FeaturePlan.of(contract)
    ask = _Oracle(contract, plan, predict, seconds(as_of), CLEARANCE * tolerance)
    answered = ask([_anonymous(plan, record, place, seconds(as_of)) for place, record in enumerate(pool)])
    chosen = _chosen(contract, answered)
    bases = _spread(list(chosen), answered.scores.probability, _BASES)
    variants = _variants(plan, [answered.records[row] for row in bases], seconds(as_of), ask)
    leads = [(covers, answered, row) for row, covers in chosen.items()] + variants
    return GoldenSet(
        as_of=as_of,
        tolerance=tolerance,
        leads=[
            _golden(plan.id_field, position, covers, source, row)
            for position, (covers, source, row) in enumerate(leads[:LARGEST], start=1)
        ],
    )


class _Oracle:
    """Answers records as the finished version will; those it would refuse are not fit."""

    def __init__(self, contract: Contract, plan: FeaturePlan, predict: Predict, as_of: float, clearance: float) -> None:
        self._contract, self._plan, self._predict, self._as_of = contract, plan, predict, as_of
        self._clearance = clearance

    def __call__(self, records: Sequence[Record]) -> _Answered:
        batch = from_records(self._plan, list(records), max_leads=max(1, len(records)))
        if batch.report.structural:
            raise PackageError(f"golden leads: {batch.report.structural[0]}")
        encoded = encode(self._plan, batch.raw, self._as_of, known_bad=batch.known_bad)
        batch.report.extend(encoded.findings)
        scores = interpret(self._contract, self._predict(encoded.matrix))
        edges = np.asarray(self._contract.buckets.edges)
        fit = np.abs(scores.probability[:, None] - edges).min(axis=1) > self._clearance
        fit[batch.report.refused_rows()] = False
        return _Answered(records, scores, encoded, fit)


def _anonymous(plan: FeaturePlan, record: Record, position: int, as_of: float) -> Record:
    """Return a record without its id and with stand-ins for personal values."""
    found = {**record, plan.id_field: "golden"}
    for column, feature in enumerate(plan.features):
        if feature.personal and found.get(feature.name) is not None:
            found[feature.name] = _stand_in(feature, (position + 1) * _STEP + column / len(plan.features), as_of)
    return found


def _stand_in(feature: Feature, place: float, as_of: float) -> Any:
    """Return an acceptable value that nobody sent, at a place in the feature's range that wraps around at 1."""
    part = place % 1.0
    if feature.type == "category":
        categories = feature.categories or [""]
        return categories[int(part * len(categories))]
    if feature.type == "boolean":
        return part < 0.5
    known = feature.reference.edges if feature.reference else []
    low, high = feature.minimum, feature.maximum
    if known:
        value = known[int(part * len(known))]
    elif low is not None and high is not None:
        value = low + part * (high - low)
    else:
        value = 0.0 if low is None and high is None else float(low if low is not None else high or 0.0)
    value = min(max(value, -np.inf if low is None else low), np.inf if high is None else high)
    if feature.type == "timestamp":
        return _days_before(as_of, np.floor(value))
    return int(np.floor(value)) if feature.type == "integer" else round(float(value), 6)


def _days_before(as_of: float, days: float) -> str:
    moment = datetime.fromtimestamp(as_of, UTC) - timedelta(days=float(days))
    return moment.isoformat().replace("+00:00", "Z")


def _chosen(contract: Contract, answered: _Answered) -> dict[int, str]:
    """Return what each chosen row of the pool is for."""
    probability, score = answered.scores.probability, answered.scores.score
    chosen: dict[int, str] = {}

    def take(rows: NDArray[np.intp], count: int, covers: str) -> None:
        free = [row for row in rows.tolist() if row not in chosen]
        if free:
            chosen.update(dict.fromkeys(free[:count], covers))
        elif rows.size:
            chosen[int(rows[0])] += f", {covers}"
        else:
            raise PackageError(
                f"golden leads: no lead of the pool is fit for {covers!r}; use a larger or more varied one"
            )

    for number, edge in enumerate(contract.buckets.edges, start=1):
        distance = np.argsort(np.abs(probability - edge), kind="stable")
        for side, bucket in (("below", number), ("above", number + 1)):
            take(distance[(answered.fit & (score == bucket))[distance]], _PER_SIDE, f"edge {number} {side}")
    for bucket in range(1, len(contract.buckets.edges) + 2):
        rows = [row for row in np.flatnonzero(answered.fit & (score == bucket)).tolist() if row not in chosen]
        chosen.update(dict.fromkeys(_spread(rows, probability, _PER_BUCKET), f"score {bucket}"))
    rest = [row for row in np.flatnonzero(answered.fit).tolist() if row not in chosen]
    wanted = SMALLEST - len(chosen)
    if len(rest) < wanted:
        raise PackageError(f"golden leads: the pool has {len(rest) + len(chosen)} fit leads, needs at least {SMALLEST}")
    chosen.update(dict.fromkeys(_spread(rest, probability, max(0, wanted)), "any lead"))
    return chosen


def _spread(rows: Sequence[int], probability: NDArray[np.float64], count: int) -> list[int]:
    """Return up to `count` of the rows, spread evenly over their order of probability, both ends included."""
    if not rows or count <= 0:
        return []
    ordered = sorted(rows, key=lambda row: (probability[row], row))
    return [ordered[place] for place in np.unique(np.linspace(0, len(ordered) - 1, count).round().astype(int)).tolist()]


def _variants(
    plan: FeaturePlan, bases: Sequence[Record], as_of: float, ask: _Oracle
) -> list[tuple[str, _Answered, int]]:
    """Change one thing in the base leads, once per thing, in the base where it matters most."""
    before = ask(bases)
    found = []
    for covers, change in _changes(plan, as_of):
        after = ask([{**copy.deepcopy(base), **change} for base in bases])
        moved = np.abs(after.scores.probability - before.scores.probability)
        moved[~after.fit] = -1.0
        best = int(np.argmax(moved))
        if after.fit[best]:
            found.append((covers, after, best))
    return found


def _changes(plan: FeaturePlan, as_of: float) -> Iterator[tuple[str, Record]]:
    optional: Record = {feature.name: None for feature in plan.features if feature.nullable}
    if optional:
        yield "everything optional missing", optional
    for feature in plan.features:
        if feature.type == "category" and feature.unknown_category != "reject":
            yield f"unknown {feature.name}", {feature.name: _unknown(feature)}
        if feature.type != "category" and feature.out_of_range != "reject":
            verb = "clipped" if feature.out_of_range == "clip" else "dropped"
            for side, value in _outside(feature, as_of):
                yield f"{verb} {side} {feature.name}", {feature.name: value}
    for feature in plan.features:
        if feature.nullable:
            yield f"missing {feature.name}", {feature.name: None}
        for value in (feature.missing_values or ())[:1]:
            yield f"said to be missing {feature.name}", {feature.name: value}


def _unknown(feature: Feature) -> str:
    text = "a category that nobody knows"
    while text in (*(feature.categories or ()), *(feature.missing_values or ())):
        text += "!"
    return text


def _outside(feature: Feature, as_of: float) -> Iterator[tuple[str, Any]]:
    """Yield acceptable JSON values just outside the range."""
    for side, bound, step in (("low", feature.minimum, -1.0), ("high", feature.maximum, 1.0)):
        if bound is None or feature.type == "boolean":
            continue
        value = bound + step * max(1.0, 2.0 ** np.ceil(np.log2(max(1.0, abs(bound)) * 1e-3)))
        if feature.type != "timestamp":
            yield (
                side,
                int(np.floor(value) if step < 0 else np.ceil(value)) if feature.type == "integer" else float(value),
            )
            continue
        try:
            yield side, _days_before(as_of, value)
        except OverflowError:
            continue  # outside years 1 to 9999: no such time can be sent


def _golden(id_field: str, position: int, covers: str, source: _Answered, row: int) -> GoldenLead:
    return GoldenLead(
        covers=covers,
        lead={id_field: f"golden-{position}", **{k: v for k, v in source.records[row].items() if k != id_field}},
        score=int(source.scores.score[row]),
        probability=float(source.scores.probability[row]),
        confidence=float(source.scores.confidence[row]),
        features_used=int(source.encoded.used[row]),
    )
