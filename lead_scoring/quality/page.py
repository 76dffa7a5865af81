"""A report as one HTML page that needs nothing else."""

from __future__ import annotations

import jinja2
import numpy as np
from matplotlib.axes import Axes

from lead_scoring.contract.types import Feature, Histogram
from lead_scoring.quality.report import Report
from lead_scoring.quality.verdicts import AREAS, worst
from lead_scoring.training.plots import svg

__all__ = ["render"]

_MOST_FIGURES = 12
_MOST_BARS = 14
_NAMES = {
    "violations": "Contract violations",
    "duplicates": "Duplicates",
    "freshness": "Freshness",
    "coverage": "Coverage",
    "shift": "Shift",
    "outcomes": "Outcomes",
}


def render(report: Report) -> bytes:
    """Return the page: verdicts by area, every check, and pictures of the features that moved the most."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lead_scoring.quality", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        report=report,
        contract=report.contract,
        areas=[(_NAMES[area], worst(report.of(area)), report.of(area)) for area in AREAS if report.of(area)],
        figures=[(feature.name, _picture(feature, report)) for feature in _moved(report)],
        thresholds=report.thresholds.as_words(),
    )
    return page.encode()


def _moved(report: Report) -> list[Feature]:
    """Return the features that something is wrong with, the largest shift first; the most shifted if nothing is."""
    index = {check.feature: check.figures.get("psi", 0.0) for check in report.of("shift")}
    wrong = {check.feature for check in report.checks if check.level in ("warning", "alarm")}
    features = [f for f in report.contract.features if f.name in report.histograms and f.reference is not None]
    listed = sorted(features, key=lambda f: (f.name not in wrong, -index.get(f.name, 0.0)))
    return listed[: _MOST_FIGURES if wrong else _MOST_FIGURES // 4]


def _picture(feature: Feature, report: Report) -> str:
    """Draw shares of rows by bin: the reference as bars, this file as marks."""
    reference, found = feature.reference, report.histograms[feature.name]
    assert reference is not None  # noqa: S101 # nosec B101 - only such features are drawn
    labels = _labels(feature, reference)
    before, now = _shares(feature, reference), _shares(feature, found)
    keep = [place for place in range(len(labels)) if before[place] or now[place]]
    if len(keep) > _MOST_BARS:
        keep = sorted(sorted(keep, key=lambda place: -max(before[place], now[place]))[:_MOST_BARS])

    def draw(axes: Axes) -> None:
        place = np.arange(len(keep))
        axes.bar(place, [before[k] for k in keep], color="#94a3b8", width=0.7, label="when the model learnt")
        axes.plot(place, [now[k] for k in keep], "o", color="#c2410c", markersize=5, label="this file")
        axes.set_xticks(place.tolist(), [_literal(labels[k]) for k in keep], rotation=45, ha="right")
        axes.set(ylabel="share of rows", ylim=(0, None))
        axes.legend()

    return svg(draw, width=5.6, height=3.4)


def _labels(feature: Feature, reference: Histogram) -> list[str]:
    if feature.type == "category":
        return [*(feature.categories or []), "(unknown)", "(missing)"]
    if feature.type == "boolean":
        return ["false", "true", "(missing)"]
    edges = [f"{edge:.3g}" for edge in reference.edges]
    return [f"< {edges[0]}", *(f"{low} …" for low in edges[:-1]), f"> {edges[-1]}", "(missing)"]


def _shares(feature: Feature, histogram: Histogram) -> list[float]:
    rows = [histogram.below, *histogram.counts, histogram.above, histogram.missing]
    if feature.type == "category":
        rows = [*histogram.counts, histogram.other, histogram.missing]
    elif feature.type == "boolean":
        rows = [*histogram.counts, histogram.missing]
    total = max(sum(rows), 1)
    return [count / total for count in rows]


def _literal(text: str) -> str:
    """Keep a name from being read as a formula, and short."""
    return (text if len(text) <= 18 else text[:17] + "…").replace("$", r"\$")
