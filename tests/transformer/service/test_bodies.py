"""However a body is cut on its way, the application gets the same bytes."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
import pytest

from tests.transformer.service.fake_predictor import FakePredictor
from tests.transformer.service.payloads import INFER, records, v2
from tests.transformer.service.processes import Transformer

LEADS = 40
BODY = orjson.dumps(v2(records(LEADS)))


@pytest.fixture(scope="module")
def patient(
    folder: Path, fake_server: FakePredictor, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Transformer]:
    """A transformer that takes bodies of 3 MB."""
    log = tmp_path_factory.mktemp("bodies") / "log"
    transformer = Transformer(folder, fake_server.target, log, "--max-body-bytes", "3000000", "--deadline-ms", "20000")
    transformer.wait_ready()
    yield transformer
    transformer.close()


def _exchange(transformer: Transformer, parts: Sequence[bytes], answers: int) -> list[dict[str, object]]:
    """Send the parts and return the bodies of that many answers."""
    bodies = []
    with socket.create_connection(("127.0.0.1", transformer.http_port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
        stream = connection.makefile("rb")
        for _ in range(answers):
            assert stream.readline().startswith(b"HTTP/1.1 200 ")
            length = 0
            while (line := stream.readline().strip().lower()) != b"":
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            bodies.append(orjson.loads(stream.read(length)))
    return bodies


def _head(length: int | None) -> bytes:
    size = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
    return b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n%s\r\n\r\n" % (INFER.encode(), size)


def _pieces(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


def _scores(body: dict[str, object]) -> object:
    outputs = body["outputs"]
    assert isinstance(outputs, list)
    return next(output["data"] for output in outputs if output["name"] == "score")


@pytest.mark.parametrize("size", [97, 1000, 100_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_cut_anywhere(patient: Transformer, size: int, chunked: bool) -> None:
    whole = _exchange(patient, [_head(len(BODY)) + BODY], 1)
    cut = _pieces(BODY, size)
    parts = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in cut] + [b"0\r\n\r\n"] if chunked else cut
    answers = _exchange(patient, [_head(None if chunked else len(BODY)), *parts], 1)
    assert _scores(answers[0]) == _scores(whole[0])


@pytest.mark.parametrize("padding", [0, 1_048_576 - len(BODY), 1_048_577 - len(BODY), 1_500_000, 2_900_000])
def test_larger_than_what_is_gathered(patient: Transformer, padding: int) -> None:
    """From a mebibyte on, the application gets a body in parts; the value stands before and after the padding."""
    middle = BODY.index(b"[") + 1
    body = BODY[:middle] + b" " * padding + BODY[middle:]
    answers = _exchange(patient, [_head(len(body)) + body], 1)
    assert _scores(answers[0]) == _scores(_exchange(patient, [_head(len(BODY)) + BODY], 1)[0])


def test_requests_that_come_together_keep_their_bodies(patient: Transformer) -> None:
    one = orjson.dumps({"id": "one", **v2(records(1))})
    two = orjson.dumps({"id": "two", **v2(records(3))})
    stream = b"".join(_head(len(body)) + body for body in (one, two, one, two))
    for size in (len(one), len(two) + 13, 37, len(stream)):
        answers = _exchange(patient, _pieces(stream, size), 4)
        assert [answer["id"] for answer in answers] == ["one", "two", "one", "two"]
        assert [len(_scores(answer)) for answer in answers] == [1, 3, 1, 3]  # type: ignore[arg-type]
