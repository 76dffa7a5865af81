"""The built-in problem: the draft of the lead-scoring contract that ships with the package."""

from __future__ import annotations

from importlib import resources

from lead_scoring.training.draft import ContractDraft
from lead_scoring.training.draft_files import decode

__all__ = ["lead_scoring_draft"]


def lead_scoring_draft() -> ContractDraft:
    """Return the draft with `lead_id` and the 50 built-in features."""
    return decode(resources.files("lead_scoring.data").joinpath("lead-scoring.json").read_bytes())
