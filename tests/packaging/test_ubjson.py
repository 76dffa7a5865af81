from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st

from lead_scoring.errors import PackageError
from lead_scoring.packaging import folder, ubjson


def text(value: str) -> bytes:
    return b"i" + bytes([len(value)]) + value.encode()


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"Z", None),
        (b"T", True),
        (b"F", False),
        (b"i\xff", -1),
        (b"U\xff", 255),
        (b"I\x80\x00", -(2**15)),
        (b"l\x7f\xff\xff\xff", 2**31 - 1),
        (b"L" + struct.pack(">q", -(2**63)), -(2**63)),
        (b"d" + struct.pack(">f", 0.25), 0.25),
        (b"D" + struct.pack(">d", 0.1), 0.1),
        (b"Ca", "a"),
        (b"S" + text("häh"[0]), "h"),
        (b"[]", []),
        (b"[i\x01i\x02]", [1, 2]),
        (b"[#i\x02i\x01T", [1, True]),
        (b"[[]{}]", [[], {}]),
        (b"{}", {}),
        (b"{" + text("a") + b"i\x01" + text("") + b"Z}", {"a": 1, "": None}),
    ],
)
def test_values(data: bytes, value: Any) -> None:
    assert ubjson.decode(data) == value


def test_arrays_of_one_type() -> None:
    assert ubjson.decode(b"[$d#i\x02" + struct.pack(">ff", 0.5, -1)).tolist() == [0.5, -1.0]
    assert ubjson.decode(b"[$i#i\x03\x01\x02\xff").tolist() == [1, 2, -1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"?",
        b"i",
        b"I\x00",
        b"TT",
        b"[",
        b"[i",
        b"{",
        b"{i\x01a",
        b"{i\x05a",
        b"S" + b"i\xff",
        b"Si\x01\xff",
        b"Sd\x00\x00\x00\x00",
        b"[$",
        b"[$i",
        b"[$i]",
        b"[$S#i\x01",
        b"[$i#i\x09\x00",
        b"[$D#L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"[#L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"[#i\xff",
        b"[" * 100_000,
        b"{" + (text("a") + b"{") * 50,
        b"{" + text("a") + b"T" + text("a") + b"F}",
        b"\x80\x04\x95pickle",
        b'{"learner": {}}',
    ],
)
def test_what_is_no_sound_ubjson_is_refused(data: bytes) -> None:
    with pytest.raises(PackageError):
        ubjson.decode(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    try:
        ubjson.decode(data)
    except PackageError as error:
        assert "byte" in str(error)  # noqa: PT017 - either outcome is right


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def test_it_reads_a_model_as_xgboost_does(published: Path) -> None:
    data = (published / folder.MODEL).read_bytes()
    booster = xgb.Booster()
    booster.load_model(bytearray(data))
    expected = json.loads(bytes(booster.save_raw("json")), parse_float=lambda text: float(np.float32(text)))
    assert plain(ubjson.decode(data)) == expected


@pytest.mark.parametrize("kept", [0, 1, 2, 100, 1000, 20_000, -1, -2])
def test_a_truncated_model_is_refused(published: Path, kept: int) -> None:
    with pytest.raises(PackageError):
        ubjson.decode((published / folder.MODEL).read_bytes()[:kept])
