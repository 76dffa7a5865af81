"""Leads with what every version says of them offline: requests whose right answers are known beforehand, to the bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from lead_scoring.contract.types import Contract
from lead_scoring.core.assembly import from_records, seconds
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.packaging import booster, folder, offline
from tests.end_to_end import payloads
from tests.support.stack import SHIPPED

__all__ = ["AS_OF", "MODEL", "Question", "ask_about", "contract", "folder_of", "scored"]

AS_OF = "2026-11-21T00:00:00Z"
MODEL = "lead-scoring"

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Question:
    """One lead in the forms of the doors, and the right (score, probability) by variant."""

    key: str
    body: bytes
    message: bytes
    right: Mapping[str, tuple[int, float]]


def folder_of(version: str) -> Path:
    """Return the folder of a version that ships."""
    return SHIPPED / MODEL / version


def contract(version: str = "1") -> Contract:
    """Return the contract of a version that ships."""
    return folder.read_verified(folder_of(version)).contract


def scored(version: str, leads: Sequence[dict[str, Any]]) -> offline.Scored:
    """Score leads without any server."""
    verified = folder.read_verified(folder_of(version))
    batch = from_records(FeaturePlan.of(verified.contract), list(leads), max_leads=len(leads))
    margins = booster.margins(booster.load(verified.contract, verified.model))
    return offline.score(verified.contract, margins, batch, seconds(AS_OF))


def rows(version: str, leads: Sequence[dict[str, Any]]) -> list[Row]:
    """Return what `Answer.bits` must give for these leads."""
    return payloads.bits_of(scored(version, leads), version)


def ask_about(leads: Sequence[dict[str, Any]], versions: Mapping[str, str]) -> list[Question]:
    """Return a question for each lead; `versions` gives the version that each variant runs."""
    about = contract()
    answers = {}
    for variant, version in versions.items():
        scores = scored(version, leads).scores
        answers[variant] = list(zip(scores.score.tolist(), scores.probability.tolist(), strict=True))
    return [
        Question(
            key=f"account-{number}",
            body=orjson.dumps(payloads.packed_json(about, [lead], as_of=AS_OF)),
            message=payloads.typed_message(about, [lead], as_of=AS_OF).SerializeToString(),
            right={variant: found[number] for variant, found in answers.items()},
        )
        for number, lead in enumerate(leads)
    ]
