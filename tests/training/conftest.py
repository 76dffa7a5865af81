"""Small data, small models: everything here trains in a second or two."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from lead_scoring.data.builtin import lead_scoring_draft
from lead_scoring.data.leads import generate
from lead_scoring.data.tables import write_table
from lead_scoring.training.dataset import Dataset, load
from lead_scoring.training.draft import ContractDraft
from lead_scoring.training.draft_files import outline
from lead_scoring.training.parts import Parts, divide
from lead_scoring.training.recipe import Fitted, fit

LEADS = 8000
SEED = 7


def dataset(table: pa.Table, draft: ContractDraft, folder: Path) -> Dataset:
    """Write a table and read it as training does."""
    path = folder / "leads.parquet"
    write_table(table, path)
    return load(path, draft, [outline(feature) for feature in draft.features])


@pytest.fixture(scope="session")
def draft() -> ContractDraft:
    """The built-in draft with small trees and few refits."""
    whole = lead_scoring_draft()
    small = msgspec.structs.replace(whole.training, max_depth=3, rounds=60, learning_rate=0.15, refits=8)
    return msgspec.structs.replace(whole, training=small)


@pytest.fixture(scope="session")
def table() -> pa.Table:
    return generate(LEADS, seed=21)


@pytest.fixture(scope="session")
def data(table: pa.Table, draft: ContractDraft, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return dataset(table, draft, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def parts(data: Dataset, draft: ContractDraft) -> Parts:
    return divide(data, draft.training.split)


@pytest.fixture(scope="session")
def fitted(draft: ContractDraft, data: Dataset, parts: Parts) -> Fitted:
    return fit(draft, data, train=parts.train, stopping=parts.stopping, calibration=parts.calibration, seed=SEED)
