"""Model folders and running predictors, made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import heavy_model
import pytest
import xgboost as xgb
from running import Predictor, running

from lead_scoring.packaging import folder as folders
from tests.support import small_model


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight features of every type, twenty trees."""
    return small_model.build(tmp_path_factory.mktemp("small"), "1")


@pytest.fixture(scope="session")
def heavy_folder(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Path:
    """Fifty features, 300 trees."""
    return heavy_model.build(tmp_path_factory.mktemp("heavy"), folders.read_verified(folder).contract)


@pytest.fixture(scope="session")
def heavy_booster(heavy_folder: Path) -> xgb.Booster:
    """The same model, loaded here."""
    booster = xgb.Booster({"nthread": 1})
    booster.load_model(heavy_folder / folders.MODEL)
    return booster


@pytest.fixture(scope="session")
def heavy(heavy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    """A running predictor of the heavy model, which no test may end."""
    with running(heavy_folder, tmp_path_factory.mktemp("cwd")) as predictor:
        yield predictor


@pytest.fixture(scope="session")
def channel(heavy: Predictor) -> Iterator[grpc.Channel]:
    """A channel to it."""
    with heavy.channel() as channel:
        yield channel
