"""From counts to verdicts: violations, duplicates, freshness, coverage and shift against the reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lead_scoring.contract.types import Feature, Histogram
from lead_scoring.core.shift import population_stability, stability_noise
from lead_scoring.quality.census import Census
from lead_scoring.quality.verdicts import Check, Level, Thresholds

__all__ = ["coverage", "duplicates", "freshness", "score_shift", "shift", "violations"]

_MOST_BINS = 10
_NEWEST_SHARE = 0.1
_FRESH_SHARE = 0.3
_SECONDS_PER_DAY = 86_400


def violations(census: Census, limits: Thresholds) -> Iterator[Check]:
    """Say which rows would be refused, by feature and reason; one more check for all of them."""
    for (name, reason), rows in sorted(census.violations.items(), key=lambda item: (-item[1], item[0])):
        share = rows / census.rows
        shown = ", ".join(map(str, census.examples[name, reason]))
        more = " …" if rows > len(census.examples[name, reason]) else ""
        message = f"{reason}: {rows} of {census.rows} rows ({share:.2%}) would be refused (rows {shown}{more})"
        yield Check("violations", name, _level(share, limits.violations), message, {"rows": rows, "share": share})
    if not census.violations:
        level: Level = "ok" if census.rows >= limits.fewest_rows else "insufficient"
        yield Check("violations", "", level, f"all {census.rows} rows would be scored", {"rows": 0, "share": 0.0})


def duplicates(census: Census, limits: Thresholds) -> Iterator[Check]:
    """Say how many rows come twice, and how many contradict an earlier one."""
    if not census.has_ids:
        message = f"no column {census.contract.id_field!r}: whether rows come twice can't be told"
        yield Check("duplicates", "", "insufficient", message)
        return
    for rows, what in ((census.repeats, "repeat an earlier row"), (census.conflicts, "contradict an earlier row")):
        share = rows / max(census.rows, 1)
        level: Level = "insufficient" if census.rows < limits.fewest_rows else _level(share, limits.duplicates)
        if rows and level == "insufficient":
            level = "warning"
        message = f"{rows} of {census.rows} rows {what} of the same lead and moment ({share:.2%})"
        yield Check("duplicates", "", level, message, {"rows": rows, "share": share})


def freshness(
    census: Census, limits: Thresholds, *, now_s: float | None, max_age_days: float | None
) -> Iterator[Check]:
    """Say how old the newest row is, and whether timestamps go on being updated.

    Of each timestamp, the newest tenth of the rows is looked at: as many values should be recent as in the reference.
    """
    moments = np.concatenate(census.moments) if census.moments else np.empty(0)
    if now_s is not None and max_age_days is not None and moments.size:
        age = (now_s - float(moments.max())) / _SECONDS_PER_DAY
        level: Level = "alarm" if age > max_age_days else "ok"
        message = f"the newest row is {age:.1f} days old (at most {max_age_days:g})"
        yield Check("freshness", "", level, message, {"age_days": age})
    for feature in census.contract.features:
        reference = feature.reference
        if feature.type != "timestamp" or reference is None or feature.name not in census.days:
            continue
        days = np.concatenate(census.days[feature.name])
        newest = days[moments >= np.quantile(moments, 1 - _NEWEST_SHARE)]
        yield _staleness(feature, reference, newest[~np.isnan(newest)], len(census.days), limits)


def _staleness(
    feature: Feature, reference: Histogram, newest: NDArray[np.float64], tests: int, limits: Thresholds
) -> Check:
    counts = np.array([reference.below, *reference.counts, reference.above], dtype=np.float64)
    if counts.sum() < limits.fewest_rows or newest.size < limits.fewest_rows:
        message = f"{newest.size} values in the newest rows: too few to tell whether it is still updated"
        return Check("freshness", feature.name, "insufficient", message)
    below = np.cumsum(counts)[: len(reference.edges)] / counts.sum()  # share under each edge
    place = int(np.argmin(np.abs(below - _FRESH_SHARE)))
    expected, edge = float(below[place]), reference.edges[place]
    recent = int((newest < edge).sum())
    share = recent / newest.size
    p = float(stats.binomtest(recent, newest.size, max(expected, 1e-9), alternative="less").pvalue)
    ratio = share / expected if expected else 1.0
    level: Level = "ok"
    if p * tests <= limits.p_value:
        level = "alarm" if ratio <= limits.stale[1] else "warning" if ratio <= limits.stale[0] else "ok"
    message = (
        f"{share:.1%} of the newest values are under {edge:g} days old, {expected:.1%} when the model learnt; the "
        f"newest is {newest.min():g} days old"
    )
    return Check("freshness", feature.name, level, message, {"share": share, "expected": expected, "p_value": p})


def coverage(census: Census, limits: Thresholds) -> Iterator[Check]:
    """Say how many values are missing beside the reference; by Fisher's exact or a chi-square test."""
    features = [f for f in census.contract.features if f.reference is not None and f.name in census.histograms]
    for feature in features:
        reference, found = feature.reference, census.histograms[feature.name]
        assert reference is not None  # noqa: S101 # nosec B101 - filtered above
        before, now = _rows(reference), _rows(found)
        if min(before, now) < limits.fewest_rows:
            yield Check("coverage", feature.name, "insufficient", f"{now} rows: too few to compare")
            continue
        expected, share = reference.missing / before, found.missing / now
        table = [[reference.missing, before - reference.missing], [found.missing, now - found.missing]]
        p = 1.0 if reference.missing + found.missing == 0 else float(stats.fisher_exact(table).pvalue)
        significant = p * len(features) <= limits.p_value
        level = _level(abs(share - expected), limits.coverage) if significant else "ok"
        message = f"{share:.1%} missing, {expected:.1%} when the model learnt"
        yield Check("coverage", feature.name, level, message, {"share": share, "expected": expected, "p_value": p})


@dataclass(frozen=True)
class _Pair:
    expected: list[int]
    found: list[int]


def shift(census: Census, limits: Thresholds) -> Iterator[Check]:
    """Say how far each feature's values, gaps aside, are from the reference: by PSI, if chi-square rules out chance."""
    features = [f for f in census.contract.features if f.reference is not None and f.name in census.histograms]
    for feature in features:
        assert feature.reference is not None  # noqa: S101 # nosec B101 - filtered above
        pair = _paired(feature, feature.reference, census.histograms[feature.name])
        check = _shifted("shift", feature.name, pair, len(features), limits)
        yield check if feature.type != "category" else _with_unknown(check, feature.reference, census, feature.name)


def _with_unknown(check: Check, reference: Histogram, census: Census, name: str) -> Check:
    found = census.histograms[name]
    if not found.other or check.level in ("ok", "insufficient"):
        return check
    share, before = found.other / _rows(found), reference.other / max(_rows(reference), 1)
    return replace(
        check, message=f"{check.message}; {share:.1%} unknown categories, {before:.1%} when the model learnt"
    )


def score_shift(census: Census, limits: Thresholds) -> Check:
    """Say how far the scores are from those of the leads that judged the model."""
    before = {int(row["score"]): int(row["leads"]) for row in census.contract.training.by_bucket}
    buckets = range(1, len(census.contract.buckets.edges) + 2)
    pair = _Pair([before.get(score, 0) for score in buckets], [census.scores[score] for score in buckets])
    return _shifted("shift", "the score", pair, 1, limits)


def _shifted(area: str, name: str, pair: _Pair, tests: int, limits: Thresholds) -> Check:
    before, now = sum(pair.expected), sum(pair.found)
    if min(before, now) < limits.fewest_rows:
        return Check(area, name, "insufficient", f"{now} values: too few to compare")
    index, noise = population_stability(pair.expected, pair.found), stability_noise(pair.expected, pair.found)
    used = [(e, f) for e, f in zip(pair.expected, pair.found, strict=True) if e + f]
    p = float(stats.chi2_contingency(np.array(used).T).pvalue) if len(used) > 1 else 1.0
    figures = {"psi": index, "p_value": p, "noise": noise}
    significant = p * tests <= limits.p_value
    if significant and index >= limits.shift[0]:
        level = _level(index, limits.shift)
    else:
        level = "insufficient" if noise > limits.shift[0] / 2 else "ok"
    words = f"population stability index {index:.3f}"
    if level == "insufficient":
        words += f", of which chance alone makes {noise:.3f}: too few values to tell"
    return Check(area, name, level, words, figures)


def _paired(feature: Feature, reference: Histogram, found: Histogram) -> _Pair:
    """Return the rows of both by bin; up to ten bins for numbers, with what lies beyond them."""
    if feature.type == "category":
        return _Pair([*reference.counts, reference.other], [*found.counts, found.other])
    before = [reference.below, *reference.counts, reference.above]
    now = [found.below, *found.counts, found.above]
    if len(before) <= _MOST_BINS + 2:
        return _Pair(before, now)
    share = np.cumsum(before) / max(sum(before), 1)
    group = np.minimum((share * _MOST_BINS - 1e-9).astype(int), _MOST_BINS - 1)
    merged = [np.bincount(group, weights=rows, minlength=_MOST_BINS).astype(int).tolist() for rows in (before, now)]
    return _Pair(*merged)


def _level(value: float, limits: tuple[float, float]) -> Level:
    return "alarm" if value >= limits[1] else "warning" if value >= limits[0] else "ok"


def _rows(histogram: Histogram) -> int:
    return sum(histogram.counts) + histogram.below + histogram.above + histogram.other + histogram.missing
