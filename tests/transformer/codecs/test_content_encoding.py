from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lead_transformer.content_encoding import decompress

from lead_scoring.errors import RequestError

BODY = b'{"instances": []}' * 50


def bare(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


def refusal(body: bytes, encoding: str, limit: int = 10_000) -> int:
    with pytest.raises(RequestError) as caught:
        decompress(body, encoding, limit=limit)
    return caught.value.status


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (BODY, ""),
        (BODY, "identity"),
        (gzip.compress(BODY), "gzip"),
        (gzip.compress(BODY), " GZip "),
        (gzip.compress(BODY), "x-gzip"),
        (gzip.compress(BODY[:100]) + gzip.compress(BODY[100:]), "gzip"),
        (zlib.compress(BODY), "deflate"),
        (zlib.compress(BODY, 0), "deflate"),
        (bare(BODY), "deflate"),
    ],
)
def test_unpacks(body: bytes, encoding: str) -> None:
    assert decompress(body, encoding, limit=len(BODY)) == BODY


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(BODY, ""), (gzip.compress(BODY), "gzip"), (zlib.compress(BODY), "deflate"), (bare(BODY), "deflate")],
)
def test_refuses_more_than_the_limit(body: bytes, encoding: str) -> None:
    assert refusal(body, encoding, limit=len(BODY) - 1) == 413


def test_counts_all_members_of_a_gzip_body() -> None:
    assert refusal(gzip.compress(BODY) * 2, "gzip", limit=len(BODY)) == 413


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "gzip,deflate", "jane.doe@example.com"])
def test_refuses_other_encodings(encoding: str) -> None:
    with pytest.raises(RequestError) as caught:
        decompress(BODY, encoding, limit=10_000)
    assert caught.value.status == 415
    assert encoding not in str(caught.value) or encoding == "gzip"


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"", "gzip"),
        (b"", "deflate"),
        (BODY, "gzip"),
        (BODY, "deflate"),
        (gzip.compress(BODY)[:-1], "gzip"),
        (gzip.compress(BODY)[:20], "gzip"),
        (gzip.compress(BODY)[:-4] + b"\0\0\0\0", "gzip"),
        (gzip.compress(BODY) + b"x", "gzip"),
        (gzip.compress(BODY) + gzip.compress(BODY)[:-1], "gzip"),
        (zlib.compress(BODY)[:-1], "deflate"),
        (zlib.compress(BODY) + b"x", "deflate"),
        (bare(BODY)[:-1], "deflate"),
        (gzip.compress(b"") * 65, "gzip"),
    ],
)
def test_refuses_corrupt_bodies(body: bytes, encoding: str) -> None:
    assert refusal(body, encoding) == 400


def test_a_bomb_costs_no_more_than_the_limit() -> None:
    bomb = gzip.compress(b"\0" * 200_000_000)
    tracemalloc.start()
    try:
        assert refusal(bomb, "gzip", limit=1_000_000) == 413
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "identity"]))
def test_any_bytes_are_unpacked_within_the_limit_or_refused(body: bytes, encoding: str) -> None:
    try:
        assert len(decompress(body, encoding, limit=100)) <= 100
    except RequestError as error:
        status = error.status
        assert status in (400, 413)
