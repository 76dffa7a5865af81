from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from lead_scoring.contract import files
from lead_scoring.contract.types import Histogram
from lead_scoring.errors import ContractError
from tests.support.small_model import FEATURES, draft

SOUND = draft()


def test_what_is_written_is_what_is_read() -> None:
    data = files.encode(SOUND)
    assert files.decode(data) == SOUND
    assert files.encode(files.decode(data)) == data


def test_the_file_is_made_for_people_too() -> None:
    data = files.encode(SOUND)
    assert data.startswith(b'{\n  "schema_version": 1,\n  "model": {\n')
    assert data.endswith(b"}\n")


def test_a_contract_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "contract.json"
    path.write_bytes(files.encode(SOUND))
    assert files.read(path) == SOUND


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="No such file"):
        files.read(tmp_path / "contract.json")


def test_a_folder_is_no_contract(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="directory"):
        files.read(tmp_path)


def test_an_endless_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "contract.json"
    with path.open("wb") as file:
        file.truncate(files.MAX_BYTES + 1)
    with pytest.raises(ContractError, match="larger than"):
        files.read(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"schema_version": 1}',
        b'{"schema_version": 2}',
        b"\x80\x04.",
    ],
)
def test_what_is_no_contract_is_refused(data: bytes) -> None:
    with pytest.raises(ContractError, match=r"contract\.json: "):
        files.decode(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"calibration": msgspec.structs.replace(SOUND.calibration, intercept=float("nan"))},
        {"calibration": msgspec.structs.replace(SOUND.calibration, slope=-1.0)},
        {"calibration": msgspec.structs.replace(SOUND.calibration, slope=np.float64(1))},
        {"features": [msgspec.structs.replace(FEATURES[4], minimum=float("nan")), *FEATURES[1:]]},
        {"features": [msgspec.structs.replace(FEATURES[4], minimum=float("inf")), *FEATURES[1:]]},
        {"buckets": msgspec.structs.replace(SOUND.buckets, policy={1: 2})},
        {"buckets": msgspec.structs.replace(SOUND.buckets, policy={"a": float("nan")})},
        {"buckets": msgspec.structs.replace(SOUND.buckets, edges=[0.0, 0.5])},
        {"model": msgspec.structs.replace(SOUND.model, version="../1")},
        {"model": msgspec.structs.replace(SOUND.model, version="")},
        {"model": msgspec.structs.replace(SOUND.model, target="\ud800")},
        {"golden": msgspec.structs.replace(SOUND.golden, tolerance=0.1)},
        {"training": msgspec.structs.replace(SOUND.training, feature_set_sha256="1" * 64)},
        {"training": msgspec.structs.replace(SOUND.training, data_sha256="")},
        {"training": msgspec.structs.replace(SOUND.training, author="x" * files.MAX_BYTES)},
    ],
)
def test_a_contract_that_would_not_be_read_back_is_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        files.encode(msgspec.structs.replace(SOUND, **changes))


def test_the_feature_set_is_its_meaning_and_not_its_distribution() -> None:
    same = [msgspec.structs.replace(FEATURES[0], description="x", reference=Histogram(counts=[1])), *FEATURES[1:]]
    assert files.feature_set_sha256(same) == files.feature_set_sha256(FEATURES)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"type": "number"},
        {"minimum": 2},
        {"nullable": True},
        {"unit": "heads"},
        {"out_of_range": "clip"},
    ],
)
def test_another_meaning_is_another_feature_set(changes: dict[str, Any]) -> None:
    other = [msgspec.structs.replace(FEATURES[0], **changes), *FEATURES[1:]]
    assert files.feature_set_sha256(other) != files.feature_set_sha256(FEATURES)


def test_the_order_of_features_belongs_to_their_meaning() -> None:
    assert files.feature_set_sha256(FEATURES[::-1]) != files.feature_set_sha256(FEATURES)


def test_unknown_fields_are_errors_wherever_they_stand() -> None:
    for path in (
        (),
        ("model",),
        ("features", 0),
        ("features", 0, "encoder"),
        ("golden",),
        ("training", "metrics", "roc_auc"),
    ):
        document = json.loads(files.encode(SOUND))
        inner = document
        for key in path:
            inner = inner[key]
        inner["surprise"] = 1
        with pytest.raises(ContractError, match="surprise"):
            files.decode(json.dumps(document).encode())
