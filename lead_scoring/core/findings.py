"""What is wrong with a batch, first as arrays of rows, then as words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Feature
from lead_scoring.errors import InvalidLeads, Problem

__all__ = ["MAX_ID_BYTES", "MAX_PROBLEMS", "MAX_TEXT_BYTES", "Finding", "Layout", "Report", "describe"]

MAX_PROBLEMS = 100
"""How many problems one answer lists; all of them are counted."""
MAX_TEXT_BYTES = 1024
MAX_ID_BYTES = 256


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of problem in one column: the offending rows `(k,)` and, in the same order, what they held.

    `got` never quotes text. Numbers are shown unless the feature is personal.
    """

    reason: str
    column: int
    rows: NDArray[np.intp]
    got: Sequence[str]


class Layout(Protocol):
    """Knows where in the client's request the value of a row and column stood.

    `packed`: all features came in one tensor of numbers, where texts and booleans have no place.
    """

    @property
    def packed(self) -> bool:
        """Whether they did."""
        ...

    def path(self, row: int, column: int) -> str:
        """Return the JSON path."""
        ...


@dataclass
class Report:
    """Collects the problems of one request: structural ones as they are met, the rest from findings."""

    features: Sequence[Feature]
    id_field: str = "lead_id"
    structural: list[Problem] = field(default_factory=list)
    structural_total: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, path: str, reason: str, *, expected: str, got: str, remedy: str) -> None:
        """Note a problem with the request's structure."""
        self.structural_total += 1
        if len(self.structural) < MAX_PROBLEMS:
            self.structural.append(Problem(path, reason, expected, got, remedy))

    def extend(self, findings: Iterable[Finding]) -> None:
        """Note problems with values."""
        self.findings += findings

    @property
    def total(self) -> int:
        """How many problems there are, listed or not."""
        return self.structural_total + sum(len(finding.rows) for finding in self.findings)

    def refused_rows(self) -> NDArray[np.intp]:
        """Return the rows, ascending, that have a finding."""
        if not self.findings:
            return np.zeros(0, dtype=np.intp)
        return np.unique(np.concatenate([finding.rows for finding in self.findings]))

    def problems(self, layout: Layout, limit: int = MAX_PROBLEMS) -> list[Problem]:
        """Put up to `limit` problems into words, structural ones first, the rest by row."""
        listed = self.structural[:limit]
        entries = sorted(
            (
                (int(row), finding.column, finding.reason, got)
                for finding in self.findings
                for row, got in zip(finding.rows[:limit].tolist(), finding.got, strict=False)
            ),
            key=lambda entry: entry[:2],
        )
        for row, column, reason, got in entries[: limit - len(listed)]:
            path = layout.path(row, column)
            if column < 0:
                expected, remedy = (
                    f"a non-empty UTF-8 text of at most {MAX_ID_BYTES} bytes",
                    f"send a {self.id_field} for each lead",
                )
            else:
                expected, remedy = (
                    describe(self.features[column], packed=layout.packed),
                    _remedy(reason, self.features[column]),
                )
            listed.append(Problem(path, reason, expected, got, remedy))
        return listed

    def raise_if_any(self, layout: Layout) -> None:
        """Raise what was collected.

        Raises:
            InvalidLeads: there is at least one problem.
        """
        if self.structural or self.findings:
            raise InvalidLeads(self.problems(layout), self.total)


def describe(feature: Feature, *, packed: bool = False) -> str:
    """Say in a few words what a feature accepts: ``pages_viewed: a whole number in [0, 500] pages``.

    `packed` for its place in the tensor of all features, where everything is a number.
    """
    unit = f" {feature.unit}" if feature.unit else ""
    if feature.type == "category":
        known = feature.categories or []
        listed = ", ".join(known[:12]) + (f", … ({len(known)} in all)" if len(known) > 12 else "")
        words = f"the position, from 0, of one of {listed}" if packed else f"one of {listed}"
    elif feature.type == "boolean":
        words = "0 or 1" if packed else "true or false"
    elif feature.type == "timestamp":
        words = "seconds since the epoch, a time" if packed else "an RFC 3339 time"
        words += f"{_range(feature, ' days before the moment of scoring')}"
    else:
        kind = "a whole number" if feature.type == "integer" else "a finite number"
        words = f"{kind}{_range(feature, unit)}"
    gaps = feature.missing_values or []
    if gaps:
        listed = ", ".join(gap if isinstance(gap, str) else f"{gap:.12g}" for gap in gaps[:4])
        words += f", or {listed}{' …' if len(gaps) > 4 else ''} for missing"
    return f"{feature.name}: {words}{', or null' if feature.nullable else ''}"


def _range(feature: Feature, unit: str) -> str:
    low, high = feature.minimum, feature.maximum
    if low is not None and high is not None:
        return f" in [{low:.15g}, {high:.15g}]{unit}"
    if low is not None:
        return f" of at least {low:.15g}{unit}"
    if high is not None:
        return f" of at most {high:.15g}{unit}"
    return ""


def _remedy(reason: str, feature: Feature) -> str:
    if reason == "missing":
        return "send a value: this feature may not be null or left out"
    if reason == "unknown_category":
        return "use a known category, spelt exactly so" + (", or null" if feature.nullable else "")
    if reason == "out_of_range":
        return "check the unit and correct the value" + (", or send null" if feature.nullable else "")
    if reason == "not_finite":
        return "send a finite number" + (", or null where it is not known" if feature.nullable else "")
    if reason == "too_long":
        return f"shorten it to at most {MAX_TEXT_BYTES} bytes"
    if reason == "not_utf8":
        return "send text as UTF-8"
    return "send the expected type" + (", or null where it is not known" if feature.nullable else "")
