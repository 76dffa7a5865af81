"""A predictor that talks nonsense over its socket: no wrong score, nothing unexplained, and all well when it stops.

Over gRPC the same is in `tests/transformer/service/test_predictor_faults.py`.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import orjson
import pytest

from lead_scoring.core import frames
from lead_scoring.core.frames import Frame, FrameReader, Status
from tests.hostile.pods import Pod
from tests.transformer.service.payloads import INFER, records, v2
from tests.transformer.service.processes import Transformer, eventually

HEADER = struct.Struct("<IIIHH")
DEADLINE_S, SLACK_S = 0.9, 1.0
Liar = Callable[[Frame], bytes]


def rebuilt(frame: Frame, **changes: int) -> bytes:
    """Return a frame's bytes with another header."""
    told = {"length": len(frame.payload), "number": frame.number, "rows": frame.rows, "columns": frame.columns}
    told |= {"kind": frame.kind} | changes
    return HEADER.pack(*told.values()) + bytes(frame.payload)


def with_margins(change: Callable[[np.ndarray], np.ndarray]) -> Liar:
    def lie(frame: Frame) -> bytes:
        values = change(np.frombuffer(frame.payload, "<f4").copy()).astype("<f4").tobytes()
        return HEADER.pack(len(values), frame.number, frame.rows, frame.columns, frame.kind) + values

    return lie


def fill(value: float) -> Liar:
    return with_margins(lambda values: np.full_like(values, value))


LIES: dict[str, Liar] = {
    "NaN": fill(np.nan),
    "infinity": fill(np.inf),
    "one NaN": with_margins(lambda values: np.append(values[:-1], np.float32(np.nan))),
    "too few": with_margins(lambda values: values[1:]),
    "too many": with_margins(lambda values: np.append(values, values[:1])),
    "another number of leads": lambda frame: rebuilt(frame, rows=frame.rows + 1),
    "nobody's number": lambda frame: rebuilt(frame, number=(frame.number + 7) % 2**32),
    "a huge length": lambda frame: rebuilt(frame, length=2**32 - 1),
    "a length that never comes": lambda frame: rebuilt(frame, length=len(frame.payload) + 8),
    "an unknown status": lambda frame: rebuilt(frame, kind=999),
    "refused": lambda frame: frames.refusal(frame.number, Status.REFUSED, "secret-of-the-predictor"),
    "failed": lambda frame: frames.refusal(frame.number, Status.FAILED, "secret-of-the-predictor"),
    "half a frame": lambda frame: rebuilt(frame)[: HEADER.size + len(frame.payload) // 2],
    "half a header": lambda frame: rebuilt(frame)[:7],
    "noise": lambda _frame: bytes(range(256)) * 4,
    "no bytes": lambda _frame: b"",
    "values of another model": with_margins(lambda values: values + np.float32(0.5)),
}


class Between:
    """A socket in front of the predictor's that passes questions on and answers as a test wants."""

    def __init__(self, path: Path, predictor: Path) -> None:
        self.path, self._predictor = path, predictor
        self.lie: Liar | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(timeout=30)

    async def _listen(self) -> None:
        await asyncio.start_unix_server(self._pass_on, self.path)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_unix_connection(self._predictor)

        async def ask() -> None:
            while data := await reader.read(1 << 16):
                forth.write(data)
            forth.close()

        asking = asyncio.create_task(ask())
        answers = FrameReader()
        while data := await back.read(1 << 16):
            for frame in answers.feed(data):
                writer.write(rebuilt(frame) if self.lie is None else self.lie(frame))
        await asking
        writer.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)


@pytest.fixture(scope="module")
def liar(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Between, Transformer]]:
    work = tmp_path_factory.mktemp("liar")
    pod = Pod(small_folder, work)
    between = Between(pod.socket.with_name("liar"), pod.socket)
    transformer = Transformer(
        small_folder, pod.predictor_target, work / "log", "--predictor-socket", str(between.path),
        "--check-interval-s", "3600", "--drain-s", "0",
    )  # fmt: skip
    transformer.wait_ready()
    yield between, transformer
    transformer.close()
    between.close()
    pod.close()


@pytest.mark.parametrize("kind", [kind for kind in LIES if kind != "values of another model"])
def test_nonsense_over_the_socket_is_503_or_late_and_never_a_score(
    liar: tuple[Between, Transformer], kind: str
) -> None:
    between, transformer = liar
    body = orjson.dumps(v2(records(3)))
    with httpx.Client(base_url=transformer.url, timeout=30) as client:
        right = client.post(INFER, content=body).json()["outputs"]
        between.lie = LIES[kind]
        try:
            for _ in range(2):
                response = client.post(INFER, content=body)
                assert response.status_code in (503, 504)
                assert response.elapsed.total_seconds() < DEADLINE_S + SLACK_S
                assert "secret" not in response.text
        finally:
            between.lie = None
        eventually(lambda: client.post(INFER, content=body).status_code == 200, within_s=10, what="an answer")
        assert client.post(INFER, content=body).json()["outputs"] == right
    assert transformer.is_ready()
    assert "secret" not in transformer.log.read_text()


def test_values_of_another_model_are_found_out_by_the_golden_leads(
    small_folder: Path, tmp_path: Path, liar: tuple[Between, Transformer]
) -> None:
    """They look right; nothing is served once a golden lead has shown that they are not."""
    between, _ = liar
    between.lie = LIES["values of another model"]
    try:
        transformer = Transformer(
            small_folder, "127.0.0.1:9", tmp_path / "log", "--predictor-socket", str(between.path),
            "--check-interval-s", "0.1", "--drain-s", "0",
        )  # fmt: skip
        try:
            eventually(lambda: transformer.said("not all is well"), what="a complaint")
            response = httpx.post(transformer.url + INFER, content=orjson.dumps(v2(records(3))), timeout=30)
            assert (response.status_code, response.json()["code"]) == (503, "not_ready")
        finally:
            transformer.close()
    finally:
        between.lie = None
