"""Training from one end to the other: split, fit, refit, judge, describe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from lead_scoring.contract import files
from lead_scoring.contract.types import (
    Confidence,
    Contract,
    Feature,
    GoldenSet,
    ModelIdentity,
    Predictor,
    TensorSpec,
    Training,
)
from lead_scoring.core import histograms, scoring
from lead_scoring.errors import TrainingError
from lead_scoring.training import judgement
from lead_scoring.training.baseline import Baseline
from lead_scoring.training.booster import contributions, dump, settings
from lead_scoring.training.candidate import Candidate
from lead_scoring.training.card import Evidence, render
from lead_scoring.training.dataset import Dataset
from lead_scoring.training.draft import ContractDraft
from lead_scoring.training.parts import Parts, divide, rfc3339
from lead_scoring.training.recipe import Fitted, fit
from lead_scoring.training.records import to_records
from lead_scoring.training.refits import learn_confidence, refit

__all__ = ["Origin", "train"]

POOL_SIZE = 2000
"""How many leads of the test part, spread evenly over their probabilities, golden leads are chosen from."""
_EXPLAINED = 2000


@dataclass(frozen=True)
class Origin:
    """What a contract says about where its model comes from and no table can tell."""

    version: str
    seed: int
    author: str
    git_commit: str


def train(
    draft: ContractDraft,
    data: Dataset,
    origin: Origin,
    *,
    baseline: Baseline | None = None,
    workers: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> Candidate:
    """Train a candidate. The same draft, data, origin and baseline give the same candidate to the byte.

    Args:
        draft: what was decided.
        data: loaded with the draft's features.
        origin: version, seed, author, commit.
        baseline: a version to compare with on the test part.
        workers: how many refits run at once; changes nothing but the time.
        progress: is told what happens next.

    Raises:
        TrainingError: no honest model can come of it; says why.
    """
    identity = _identity(draft, origin)
    parts = divide(data, draft.training.split)
    progress(f"fitting on {len(parts.train)} of {len(data)} rows")
    fitted = fit(
        draft, data, train=parts.train, stopping=parts.stopping, calibration=parts.calibration, seed=origin.seed
    )
    count = draft.training.refits
    progress(f"kept {fitted.booster.num_boosted_rounds()} trees; refitting {count} times on resampled leads")
    refits = refit(
        draft, data, parts, count, seed=origin.seed, workers=workers,
        progress=lambda done: progress(f"refit {done} of {count}"),
    )  # fmt: skip
    confidence = learn_confidence(fitted, refits, data, parts.calibration)
    progress(f"judging on the {len(parts.test)} {'newest rows' if data.chance is None else 'rows kept back'}")
    holdout = judgement.Holdout(data.group[parts.test], data.target[parts.test], origin.seed)
    contract = _contract(draft, data, parts, fitted, confidence, origin, identity)
    answers = scoring.interpret(contract, fitted.margins(data, parts.test))
    contract = msgspec.structs.replace(
        contract,
        training=msgspec.structs.replace(
            contract.training,
            metrics=judgement.judge(holdout, answers.probability),
            by_bucket=judgement.by_bucket(holdout, answers.probability, answers.score, len(fitted.buckets.edges) + 1),
            compared_with=baseline.compare(data, parts.test, holdout, answers.probability) if baseline else None,
        ),
    )
    evidence = Evidence(holdout.target, answers, _importance(fitted, data, parts.test))
    pool = parts.test[_evenly(np.argsort(answers.probability, kind="stable"), POOL_SIZE)]
    return Candidate(
        contract=files.decode(files.encode(contract)),  # what is written is what will be read
        model=dump(fitted.booster),
        card=render(contract, evidence),
        pool=to_records(fitted.features, draft.id_field, data, pool),
    )


def _identity(draft: ContractDraft, origin: Origin) -> ModelIdentity:
    named = {**msgspec.to_builtins(draft.model), "version": origin.version}
    try:
        return msgspec.convert(named, ModelIdentity)
    except msgspec.ValidationError as error:
        raise TrainingError(f"the model can't be called that: {error}") from error


def _contract(
    draft: ContractDraft,
    data: Dataset,
    parts: Parts,
    fitted: Fitted,
    confidence: Confidence,
    origin: Origin,
    identity: ModelIdentity,
) -> Contract:
    """Return the contract, not judged yet and without golden leads."""
    features = _with_references(fitted, data, parts)
    width = len(features)
    return Contract(
        model=identity,
        id_field=draft.id_field,
        features=features,
        predictor=Predictor(
            inputs=[TensorSpec(name="features", datatype="FP32", shape=[-1, width])],
            outputs=[
                TensorSpec(name="probability", datatype="FP32", shape=[-1]),
                TensorSpec(name="margin", datatype="FP32", shape=[-1]),
                TensorSpec(name="contributions", datatype="FP32", shape=[-1, width + 1]),
            ],
        ),
        calibration=fitted.calibration,
        buckets=fitted.buckets,
        confidence=confidence,
        golden=GoldenSet(as_of=rfc3339(data.moment_s[parts.test[-1]]), leads=[]),
        training=Training(
            data_sha256=data.sha256,
            feature_set_sha256=files.feature_set_sha256(features),
            rows=len(data),
            base_rate=float(data.target.mean()),
            period=[rfc3339(data.moment_s[0]), rfc3339(data.moment_s[-1])],
            split=parts.summary(data),
            parameters={
                **msgspec.to_builtins(draft.training),
                "xgboost": settings(draft.training, features, seed=origin.seed),
            },
            seed=origin.seed,
            trees=fitted.booster.num_boosted_rounds(),
            xgboost_version=xgb.__version__,
            git_commit=origin.git_commit,
            author=origin.author,
            metrics={},
            by_bucket=[],
        ),
    )


def _with_references(fitted: Fitted, data: Dataset, parts: Parts) -> list[Feature]:
    references = histograms.reference(fitted.features, data.encode(fitted.features, parts.train))
    return [
        msgspec.structs.replace(feature, reference=reference)
        for feature, reference in zip(fitted.features, references, strict=True)
    ]


def _importance(fitted: Fitted, data: Dataset, rows: NDArray[np.intp]) -> dict[str, float]:
    """Return the mean absolute contribution to calibrated log-odds by feature, over up to 2,000 rows."""
    some = data.encode(fitted.features, rows[_evenly(np.arange(len(rows)), _EXPLAINED)])
    mean = np.abs(contributions(fitted.booster, some.matrix)[:, :-1].astype(np.float64)).mean(axis=0)
    names = [feature.name for feature in fitted.features]
    return dict(zip(names, (mean * fitted.calibration.slope).tolist(), strict=True))


def _evenly(positions: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Return at most `count` of the positions, evenly spaced, in their order."""
    return positions[np.unique(np.linspace(0, len(positions) - 1, count).astype(np.intp))]
