"""The model card: one HTML page that needs nothing else, for people who decide whether to trust a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from lead_scoring.contract.types import Contract, DaysSince, Feature, Identity, Ordinal
from lead_scoring.core.scoring import Scores
from lead_scoring.training import plots

__all__ = ["Evidence", "render"]

_MEASURES = {
    "roc_auc": ("ROC AUC", "chance that a conversion outscores another lead; 0.5 is guessing"),
    "pr_auc": ("PR AUC", "average precision; the base rate is guessing"),
    "log_loss": ("Log loss", "lower is better"),
    "brier": ("Brier score", "lower is better"),
    "calibration_error": (
        "Calibration error",
        "mean gap between probability and conversion rate; chance alone leaves some",
    ),
}


@dataclass(frozen=True)
class Evidence:
    """What was seen on the n leads of the test part.

    Attributes:
        target: `(n,)` outcomes.
        answers: the candidate's answers.
        importance: mean absolute contribution to calibrated log-odds, by feature.
    """

    target: NDArray[np.bool_]
    answers: Scores
    importance: Mapping[str, float]


def render(contract: Contract, evidence: Evidence) -> bytes:
    """Return the page; the same for the same arguments."""
    target, probability = evidence.target, evidence.answers.probability
    figures = {
        "Conversion by score": plots.conversion(contract.training.by_bucket, float(target.mean())),
        "Calibration": plots.calibration(target, probability),
        "ROC": plots.roc(target, probability),
        "Precision and recall": plots.precision_recall(target, probability),
        "Distribution of probabilities": plots.distribution(target, probability, contract.buckets.edges),
        "What moves the score": plots.importance(evidence.importance),
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lead_scoring.training", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    confidence = evidence.answers.confidence
    page = environment.get_template("card.html.j2").render(
        contract=contract,
        training=contract.training,
        measures=_MEASURES,
        # Drawn by us; names in it are escaped by the drawing.
        figures={title: Markup(svg) for title, svg in figures.items()},  # noqa: S704  # nosec B704
        features=[(feature, _rules(feature), evidence.importance[feature.name]) for feature in contract.features],
        sure=[(level, float((confidence >= level).mean())) for level in (0.5, 0.7, 0.8, 0.9, 0.95)],
        missing=_missing_shares(contract),
    )
    return page.encode()


def _rules(feature: Feature) -> str:
    """Say how a feature's values are taken, in one line."""
    words: list[str] = []
    if feature.type == "category":
        words.append(f"{len(feature.categories or [])} categories")
        words.append({"reject": "unknown refused", "missing": "unknown counts as missing"}.get(
            feature.unknown_category, f"unknown counts as {feature.other_category}"
        ))  # fmt: skip
    elif feature.minimum is not None or feature.maximum is not None:
        low = "" if feature.minimum is None else f"{feature.minimum:g}"
        high = "" if feature.maximum is None else f"{feature.maximum:g}"
        verb = {"reject": "refused", "clip": "clipped", "missing": "counts as missing"}[feature.out_of_range]
        words.append(f"{low} … {high}, outside {verb}")
    if not feature.nullable:
        words.append("required")
    elif feature.imputation.strategy != "native":
        words.append(f"missing filled in ({feature.imputation.strategy.replace('_', ' ')})")
    if feature.monotone:
        words.append("never lowers the score" if feature.monotone > 0 else "never raises the score")
    if not isinstance(feature.encoder, Identity | DaysSince):
        words.append("in order" if isinstance(feature.encoder, Ordinal) else "by conversion rate")
    return "; ".join(words)


def _missing_shares(contract: Contract) -> dict[str, float]:
    shares = {}
    for feature in contract.features:
        reference = feature.reference
        if reference is not None:
            rows = sum(reference.counts) + reference.below + reference.above + reference.other + reference.missing
            shares[feature.name] = reference.missing / rows
    return shares
