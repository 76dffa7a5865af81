"""A request that works as printed: a real lead from the contract's golden set."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from lead_scoring.contract.types import Contract

__all__ = ["curl", "lead_body"]


def lead_body(contract: Contract) -> dict[str, Any]:
    """Return a V1 body with the golden lead that says the most about itself: fewest gaps, then the best score."""
    golden = max(contract.golden.leads, key=lambda found: (_filled(found.lead), found.score))
    return {"instances": [golden.lead]}


def curl(url: str, contract: Contract, lead: Path) -> str:
    """Return a shell command that scores the lead in the file; `lead` as seen from where the command will be typed."""
    key = json.loads(lead.read_bytes())["instances"][0][contract.id_field]
    words = [
        "curl", "-s", f"{url}/v1/models/{contract.model.name}:predict",
        "-H", "content-type: application/json", "-H", f"x-lead-key: {key}", "-d", f"@{lead}",
    ]  # fmt: skip
    return shlex.join(words)


def _filled(lead: dict[str, Any]) -> int:
    return sum(value is not None for value in lead.values())
