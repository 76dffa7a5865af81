"""From a trained model to a published version, or to nothing at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from lead_scoring.contract.types import Contract
from lead_scoring.packaging import booster, folder, golden
from lead_scoring.packaging.verify import verify

__all__ = ["publish"]


def publish(
    repository: Path,
    contract: Contract,
    model: bytes,
    pool: Sequence[Mapping[str, Any]],
    *,
    as_of: str,
    extra: Mapping[str, bytes] | None = None,
    tolerance: float = 1e-6,
) -> Path:
    """Choose golden leads, write ``<repository>/<name>/<version>/``, verify it, then give it its name; return it.

    Args:
        repository: the model repository (``model-repo``).
        contract: the version's contract; its golden set is replaced.
        model: the booster in UBJSON, exactly the trees to be served.
        pool: V1 records to choose golden leads from.
        as_of: RFC 3339 moment of scoring for the golden leads.
        extra: further files by name: ``model-card.html``.
        tolerance: largest difference in probability that counts as the same answer.

    Raises:
        PackageError: the version exists already, the pool can't cover the contract, the model is not the contract's, or
            the written folder does not verify. Nothing is left behind.
        ContractError: the contract breaks the schema or one of its rules.
    """
    predict = booster.margins(booster.load(contract, model))
    chosen = golden.choose(contract, predict, pool, as_of, tolerance=tolerance)
    return folder.write(
        repository,
        msgspec.structs.replace(contract, golden=chosen),
        model,
        extra=extra,
        check=verify,
    )
