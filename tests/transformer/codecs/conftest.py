from __future__ import annotations

from pathlib import Path

import pytest

from lead_scoring.contract import files
from lead_scoring.contract.types import Contract
from tests.support import small_model


@pytest.fixture(scope="session")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    folder: Path = small_model.build(tmp_path_factory.mktemp("model-repo"))
    return files.read(folder / "contract.json")
