from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import xgboost as xgb

from lead_scoring.contract.types import Contract
from lead_scoring.errors import PackageError
from lead_scoring.packaging import booster, folder
from tests.support.small_model import FEATURES, draft

NAMES = [feature.name for feature in FEATURES]


def train(
    *, names: list[str] | None = NAMES, classes: int = 2, rounds: int = 20, width: int = 8, **parameters: Any
) -> bytes:
    """Return a model of random numbers."""
    rng = np.random.default_rng(0)
    data = xgb.DMatrix(rng.random((60, width)), label=rng.integers(0, classes, 60), feature_names=names)
    settings = {"objective": "binary:logistic", "nthread": 1, **parameters}
    return bytes(xgb.train(settings, data, rounds).save_raw("ubj"))


def trained_by(version: str) -> Contract:
    contract = draft()
    return msgspec.structs.replace(
        contract, training=msgspec.structs.replace(contract.training, xgboost_version=version)
    )


def written_by(major: int, minor: int = 0, patch: int = 0) -> bytes:
    """Return a model that claims to come from another XGBoost."""
    return _with_version(train(), bytes([major, minor, patch]))


def _with_version(data: bytes, version: bytes) -> bytes:
    at = data.rindex(b"\x07version") + len(b"\x07version[#L") + 8
    assert data[at : at + 6 : 2] == b"iii"
    return data[: at + 1] + version[:1] + b"i" + version[1:2] + b"i" + version[2:3] + data[at + 6 :]


def test_the_model_of_the_contract_is_loaded() -> None:
    data = train()
    matrix = np.random.default_rng(1).random((9, 8), dtype=np.float32)
    matrix[3, 2] = np.nan
    loaded = booster.load(draft(), data)
    margin = booster.margins(loaded)(matrix)
    reference = xgb.Booster()
    reference.load_model(bytearray(data))
    assert margin.dtype == np.float32
    assert margin.tolist() == reference.predict(xgb.DMatrix(matrix, feature_names=NAMES), output_margin=True).tolist()
    assert booster.margins(loaded)(matrix[3:4]).tolist() == margin[3:4].tolist()
    contributions = booster.contributions(loaded, matrix)
    assert contributions.shape == (9, 9)
    assert contributions.sum(axis=1).tolist() == pytest.approx(margin.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("contract", "data", "message"),
    [
        (draft(), lambda: b"", "no sound UBJSON"),
        (draft(), lambda: b"\x80\x04\x95", "no sound UBJSON"),
        (draft(), lambda: b"{}", "not a model that XGBoost wrote"),
        (draft(), lambda: b"Z", "not a model that XGBoost wrote"),
        (draft(), lambda: train()[:-1], "no sound UBJSON"),
        (draft(), lambda: train() + b"x", "1 bytes follow"),
        (draft(), lambda: train(names=None), "feature names are not those"),
        (draft(), lambda: train(names=NAMES[::-1]), "feature names are not those"),
        (draft(), lambda: train(names=NAMES[:7], width=7), "takes 7 features, the contract has 8"),
        (draft(), lambda: train(rounds=19), "it has 19 trees, training.trees says 20"),
        (draft(), lambda: train(objective="reg:squarederror"), "objective reg:squarederror, needs gbtree"),
        (draft(), lambda: train(objective="multi:softprob", classes=3, num_class=3), "objective multi:softprob"),
        (draft(), lambda: train(booster="dart"), "it is dart with"),
        (draft(), lambda: train(booster="gblinear"), "it is gblinear with"),
        (trained_by("1.7.6"), lambda: written_by(1, 7, 6), "takes models of 2.x to 3.x"),
        (trained_by("4.0.0"), lambda: written_by(4), "takes models of 2.x to 3.x"),
        (
            trained_by("2.1.0"),
            lambda: written_by(2, 0, 0),
            "XGBoost 2.0.0 wrote it, training.xgboost_version says 2.1.0",
        ),
        (trained_by("three"), train, "is not a version number"),
        (draft(), lambda: train().replace(b"split_indices", b"split_indicez"), "can't load it"),
    ],
)
def test_another_model_is_refused(contract: Contract, data: Callable[[], bytes], message: str) -> None:
    with pytest.raises(PackageError, match=message):
        booster.load(contract, data())


@pytest.mark.parametrize("version", [(2, 0, 3), (3, 0, 0), (3, 9, 9)])
def test_models_of_other_compatible_versions_are_loaded(version: tuple[int, int, int]) -> None:
    contract = trained_by(".".join(map(str, version)))
    assert booster.load(contract, written_by(*version)).num_features() == 8


def test_a_development_version_is_compared_by_its_numbers() -> None:
    assert booster.load(trained_by("2.0.3+cpu"), written_by(2, 0, 3)).num_features() == 8


EMPTY = "import xgboost; xgboost.Booster().load_model(bytearray())"


def test_why_models_are_read_before_xgboost_sees_them(published: Path) -> None:
    """XGBoost ends the whole process on an empty model: the day it doesn't, our own reading has one reason less."""
    assert (published / folder.MODEL).stat().st_size > 0
    assert subprocess.run([sys.executable, "-c", EMPTY], capture_output=True, check=False).returncode == -6
