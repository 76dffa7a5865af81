"""Whether a version folder is whole, safe, loadable here and still scores as it did when it was published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xgboost as xgb

from lead_scoring.contract.types import Contract, Feature
from lead_scoring.core.assembly import from_records, seconds
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.errors import InvalidLeads, PackageError
from lead_scoring.packaging import booster, folder, golden
from lead_scoring.packaging.offline import Scored, score

__all__ = ["CONFIDENCE_TOLERANCE", "Verified", "verify"]

CONFIDENCE_TOLERANCE = 1e-4
"""Largest allowed difference in confidence, which magnifies that of the probability it comes from."""


@dataclass(frozen=True)
class Verified:
    """A version that may be served.

    Attributes:
        files: the contents as they were hashed, with the contract.
        booster: the model, loaded from those very bytes.
        leads: how many golden leads scored right.
        difference: largest difference in probability among them.
    """

    files: folder.VersionFiles
    booster: xgb.Booster
    leads: int
    difference: float

    @property
    def contract(self) -> Contract:
        """The version's contract."""
        return self.files.contract


def verify(path: Path) -> Verified:
    """Check a version folder from its digests to its scores.

    Raises:
        PackageError: a file is missing, altered, unlisted or unsafe; the folder stands in a repository under another
            version's name; the model is of an incompatible XGBoost or not the one that the contract describes; the
            golden leads are fewer than 50, leave something uncovered or score differently. Says what.
        ContractError: the contract breaks the schema or one of its rules.
    """
    files = folder.read_verified(path)
    contract = files.contract
    if path.resolve().parent.name == contract.model.name and path.resolve().name != contract.model.version:
        raise PackageError(f"{path}: holds version {contract.model.version}, not the one of its name")
    try:
        model = booster.load(contract, files.model)
    except PackageError as error:
        raise PackageError(f"{path}: {folder.MODEL}: {error}") from error
    try:
        difference = _check_golden(contract, model)
    except PackageError as error:
        raise PackageError(f"{path}: golden leads: {error}") from error
    return Verified(files, model, len(contract.golden.leads), difference)


def _check_golden(contract: Contract, model: xgb.Booster) -> float:
    leads = contract.golden.leads
    if not golden.SMALLEST <= len(leads) <= golden.LARGEST:
        raise PackageError(f"there are {len(leads)}, needs {golden.SMALLEST} to {golden.LARGEST}")
    plan = FeaturePlan.of(contract)
    batch = from_records(plan, [lead.lead for lead in leads], max_leads=len(leads))
    try:
        found = score(contract, booster.margins(model), batch, seconds(contract.golden.as_of))
    except InvalidLeads as error:
        raise PackageError(f"the contract refuses them: {error}") from error
    difference = _check_answers(contract, found)
    if uncovered := _uncovered(contract, found):
        raise PackageError(f"nothing covers {', '.join(uncovered)}")
    return difference


def _check_answers(contract: Contract, found: Scored) -> float:
    leads, scores = contract.golden.leads, found.scores
    off = np.abs(scores.probability - [lead.probability for lead in leads])
    firmness_off = np.abs(scores.confidence - [lead.confidence for lead in leads])
    wrong = ~(off <= contract.golden.tolerance)
    wrong |= ~(firmness_off <= CONFIDENCE_TOLERANCE)
    wrong |= scores.score != [lead.score for lead in leads]
    wrong |= found.encoded.used != [lead.features_used for lead in leads]
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        lead = leads[first]
        got = _answer(
            scores.score[first], scores.probability[first], scores.confidence[first], found.encoded.used[first]
        )
        expected = _answer(lead.score, lead.probability, lead.confidence, lead.features_used)
        raise PackageError(
            f"{int(wrong.sum())} of {len(leads)} score differently; the first, {first + 1} ({lead.covers}): {got}, "
            f"expected {expected}"
        )
    return float(off.max())


def _answer(score: int, probability: float, confidence: float, used: int) -> str:
    return f"score {score} (probability {probability:.9f}, confidence {confidence:.6f}, features used {used})"


def _uncovered(contract: Contract, found: Scored) -> list[str]:
    """Name what the contract can do and no golden lead does, going by what happened and not by labels (edges aside)."""
    leads, features = contract.golden.leads, contract.features
    present = set(found.scores.score.tolist())
    missing = [f"score {bucket}" for bucket in range(1, len(contract.buckets.edges) + 2) if bucket not in present]
    for edge in range(1, len(contract.buckets.edges) + 1):
        for side, bucket in (("below", edge), ("above", edge + 1)):
            if not any(f"edge {edge} {side}" in lead.covers and lead.score == bucket for lead in leads):
                missing.append(f"edge {edge} {side}")
    missing += [
        f"unknown {feature.name}"
        for column, feature in enumerate(features)
        if _tolerates_unknown(feature) and not found.encoded.unknown[column]
    ]
    if any(feature.nullable for feature in features) and not found.encoded.missing.any():
        missing.append("a missing value")
    if any(_bounded(feature, "clip") for feature in features) and not found.encoded.clipped.any():
        missing.append("a clipped value")
    if any(_bounded(feature, "missing") and feature.nullable for feature in features) and not _dropped(contract, found):
        missing.append("a dropped value")
    return missing


def _tolerates_unknown(feature: Feature) -> bool:
    if feature.type != "category":
        return False
    return feature.unknown_category == "other" or (feature.unknown_category == "missing" and feature.nullable)


def _bounded(feature: Feature, rule: str) -> bool:
    if feature.type in ("category", "boolean") or feature.out_of_range != rule:
        return False
    return feature.minimum is not None or feature.maximum is not None


def _dropped(contract: Contract, found: Scored) -> bool:
    gap = np.isnan(found.encoded.plain)
    return any(
        gap[row, column] and lead.lead.get(feature.name) not in (None, "", *(feature.missing_values or ()))
        for column, feature in enumerate(contract.features)
        if _bounded(feature, "missing")
        for row, lead in enumerate(contract.golden.leads)
    )
