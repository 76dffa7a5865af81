"""A trained model on its way to a version folder: what `train` writes and `package` reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lead_scoring.contract import files
from lead_scoring.contract.types import Contract
from lead_scoring.errors import TrainingError

__all__ = ["CARD", "Candidate", "prepare"]

MODEL = "model.ubj"
CONTRACT = "contract.json"
CARD = "model-card.html"
POOL = "holdout-leads.json"


def prepare(folder: Path) -> None:
    """Make a folder for a candidate, with those above it.

    Raises:
        TrainingError: it holds something already, or can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(folder.iterdir())
    except OSError as error:
        raise TrainingError(f"{folder}: {error.strerror or error}") from error
    if occupied:
        raise TrainingError(f"{folder}: is not empty; choose another folder or remove it")


@dataclass(frozen=True)
class Candidate:
    """Everything that a version folder is made of.

    Attributes:
        contract: complete but for its golden leads, of which it has none; `golden.as_of` says when to score them.
        model: the booster in UBJSON.
        card: the model card, one HTML page.
        pool: leads of the test part as V1 records, to choose golden leads from.
    """

    contract: Contract
    model: bytes
    card: bytes
    pool: Sequence[dict[str, Any]]

    def write(self, folder: Path) -> None:
        """Write the candidate into a new or empty folder.

        Raises:
            TrainingError: the folder holds something already, or can't be written.
        """
        prepare(folder)
        try:
            (folder / MODEL).write_bytes(self.model)
            (folder / CONTRACT).write_bytes(files.encode(self.contract))
            (folder / CARD).write_bytes(self.card)
            (folder / POOL).write_bytes(msgspec.json.format(msgspec.json.encode(self.pool), indent=1) + b"\n")
        except OSError as error:
            raise TrainingError(f"{folder}: {error.strerror or error}") from error

    @classmethod
    def read(cls, folder: Path) -> Candidate:
        """Read a candidate.

        Raises:
            TrainingError: a file is missing or not what it should be.
            ContractError: the contract is malformed.
        """
        contract = files.read(folder / CONTRACT)
        try:
            pool = json.loads((folder / POOL).read_bytes())
            if not isinstance(pool, list) or not all(isinstance(lead, dict) for lead in pool):
                raise TrainingError(f"{folder / POOL}: is not a list of leads")
            return cls(contract, (folder / MODEL).read_bytes(), (folder / CARD).read_bytes(), pool)
        except OSError as error:
            raise TrainingError(f"{folder}: {error.strerror or error}: {Path(error.filename or '').name}") from error
        except ValueError as error:
            raise TrainingError(f"{folder / POOL}: is not JSON") from error
