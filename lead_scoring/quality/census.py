"""Everything that is counted while a file goes by, so that a file of any size can be judged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from lead_scoring.contract.types import Contract, Histogram
from lead_scoring.core.features import Encoded
from lead_scoring.core.histograms import count
from lead_scoring.intake.leads import Leads, Refusal
from lead_scoring.packaging import booster, offline
from lead_scoring.packaging.verify import Verified

__all__ = ["Census"]

_EXAMPLES = 5


@dataclass
class Census:
    """Counts over all rows seen so far.

    Attributes:
        rows: seen; `refused` of them would not be scored.
        violations: rows by field and reason; `examples` are the numbers of the first few.
        clipped: values by feature that were moved to a bound.
        histograms: by feature, of the rows that would be scored, in the bins of the feature's reference.
        scores: rows by score.
        repeats: rows that repeat an earlier one with its id, moment and values; `conflicts` differ in values.
        moments, days: of the scored rows, in pieces; `days` of the timestamps by feature.
        target, probability, values: of the scored rows whose outcome is known, in pieces; values `(n, f)` as in
            `Encoded.plain`.
    """

    verified: Verified
    has_ids: bool
    rows: int = 0
    refused: int = 0
    violations: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    clipped: Counter[str] = field(default_factory=Counter)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    scores: Counter[int] = field(default_factory=Counter)
    repeats: int = 0
    conflicts: int = 0
    probability: list[NDArray[np.float64]] = field(default_factory=list)
    target: list[NDArray[np.bool_]] = field(default_factory=list)
    moments: list[NDArray[np.float64]] = field(default_factory=list)
    days: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    values: list[NDArray[np.float64]] = field(default_factory=list)
    _seen: dict[int, int] = field(default_factory=dict)

    @property
    def contract(self) -> Contract:
        """The version's contract."""
        return self.verified.contract

    def add(self, leads: Leads, outcome: NDArray[np.float64] | None) -> None:
        """Count some rows; with their outcomes `(n,)`, NaN for unknown, if there are any."""
        self.rows += len(leads.number)
        self.refused += int((~leads.sound).sum())
        self.add_refusals(leads.refusals)
        if self.has_ids:
            self._count_repeats(leads)
        if not leads.sound.any():
            return
        batch, moment_s = leads.kept(), leads.moment_s[leads.sound]
        scored = offline.score(self.contract, booster.margins(self.verified.booster), batch, moment_s)
        self._count_features(scored.encoded)
        self.scores.update(scored.scores.score.tolist())
        self.moments.append(moment_s)
        if outcome is not None:
            known = ~np.isnan(outcome[leads.sound])
            self.target.append(outcome[leads.sound][known] > 0)
            self.probability.append(scored.scores.probability[known])
            self.values.append(scored.encoded.plain[known])

    def add_refusals(self, refusals: list[Refusal]) -> None:
        """Count what is wrong with rows."""
        for refusal in refusals:
            key = refusal.field, refusal.reason
            self.violations[key] += 1
            examples = self.examples.setdefault(key, [])
            if len(examples) < _EXAMPLES:
                examples.append(refusal.row)

    def _count_features(self, encoded: Encoded) -> None:
        features = self.contract.features
        with_reference = [column for column, feature in enumerate(features) if feature.reference is not None]
        part = replace(encoded, plain=encoded.plain[:, with_reference], unknown=encoded.unknown[with_reference])
        for column, found in zip(with_reference, count([features[c] for c in with_reference], part), strict=True):
            name = features[column].name
            self.histograms[name] = _sum(self.histograms.get(name), found)
        for column, feature in enumerate(features):
            self.clipped[feature.name] += int(encoded.clipped[column])
            if feature.type == "timestamp":
                self.days.setdefault(feature.name, []).append(encoded.plain[:, column])

    def _count_repeats(self, leads: Leads) -> None:
        moment_s = np.nan_to_num(leads.moment_s)
        for lead_id, moment, row in zip(leads.batch.lead_ids, moment_s.tolist(), leads.batch.raw, strict=True):
            if not lead_id:
                continue
            who = xxhash.xxh64_intdigest(f"{moment!r} {lead_id}".encode())
            what = xxhash.xxh64_intdigest(row.tobytes())
            if who not in self._seen:
                self._seen[who] = what
            elif self._seen[who] == what:
                self.repeats += 1
            else:
                self.conflicts += 1


def _sum(first: Histogram | None, second: Histogram) -> Histogram:
    if first is None:
        return second
    return msgspec.structs.replace(
        second,
        counts=[a + b for a, b in zip(first.counts, second.counts, strict=True)],
        below=first.below + second.below,
        above=first.above + second.above,
        other=first.other + second.other,
        missing=first.missing + second.missing,
    )
