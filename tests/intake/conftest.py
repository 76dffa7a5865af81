"""Commands as they are typed, and a made-up table drafted, trained and packaged once for all tests here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lead_scoring.cli import main
from lead_scoring.intake.drafting import Columns, Drafted, draft_contract
from lead_scoring.training.draft import ContractDraft, FeatureDraft, LeftOut
from tests.support.tables import Columns as Table
from tests.support.tables import leads_table, write

NOW = datetime(2026, 6, 1, tzinfo=UTC)
QUICK = ["--parameter", "refits=4", "--parameter", "rounds=60"]
"""Training that takes a second: how sure scores are is shown elsewhere."""


def draft_of(table: Table, path: Path, **columns: Any) -> Drafted:
    """Write a table and draft from it; the outcome is `won`."""
    return draft_contract(write(table, path), Columns(target="won", **columns), now=NOW)


def feature(draft: ContractDraft, name: str) -> FeatureDraft:
    """Return a feature of a draft."""
    (found,) = [feature for feature in draft.features if feature.name == name]
    return found


def left_out(draft: ContractDraft, name: str) -> LeftOut:
    """Return a column that a draft left out."""
    (found,) = [one for one in draft.left_out if one.feature.name == name]
    return found


def notes(draft: ContractDraft, kind: str, field: str | None = None) -> list[str]:
    """Return what a draft says of one kind, about one column or all."""
    return [note.message for note in draft.notes if note.kind == kind and field in (None, note.field)]


def make_version(folder: Path, table: Path, *options: str, name: str) -> Path:
    """Draft, train and package by the commands; return the version folder."""
    draft, candidate = folder / f"{name}.json", folder / f"candidate-{name}"
    assert main(["draft", str(table), "--name", name, "--out", str(draft), *options]) == 0
    train = ["train", "--data", str(table), "--draft", str(draft), "--version", "1", "--out", str(candidate)]
    assert main([*train, "--git-commit", "unknown", *QUICK]) == 0
    assert main(["package", str(candidate), "--repository", str(folder / "model-repo")]) == 0
    return folder / "model-repo" / name / "1"


@dataclass(frozen=True)
class Made:
    """A version made from a table."""

    table: Path
    version: Path


@pytest.fixture(scope="session")
def school(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """37 columns with blanks, commas and brackets in their names, `Select`, a byte order mark."""
    folder = tmp_path_factory.mktemp("school")
    table = write(leads_table(3_000), folder / "school.csv", encoding="utf-8-sig")
    options = ["--target", "Converted", "--id", "Lead Number", "--leave-out", "Tags"]
    return Made(table, make_version(folder, table, *options, name="online-school"))


@pytest.fixture
def type_in() -> Callable[..., int]:
    """Run a command; return its exit code."""
    return lambda *words: main([str(word) for word in words])
