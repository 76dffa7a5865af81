"""The fast way to the predictor in front of a socket that answers, delays, lies, hangs and goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lead_transformer.predictor import PredictorFault
from lead_transformer.socket_predictor import SocketPredictor

from lead_scoring.core import frames
from lead_scoring.core.frames import Frame, FrameReader, Status
from lead_scoring.errors import DeadlineExceeded

WIDTH = 4
ENOUGH_S = 20.0


@dataclass
class Door:
    """A socket server whose answers a test chooses; the margin of a row is its first value."""

    path: str
    respond: Callable[[Frame], bytes | None]
    asked: list[int] = field(default_factory=list)
    called_off: list[int] = field(default_factory=list)
    retries: int = 0
    reads: bool = True
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        incoming = FrameReader()
        while self.reads and (data := await reader.read(1 << 16)):
            for frame in incoming.feed(data):
                if frame.kind == frames.Ask.CANCEL:
                    self.called_off.append(frame.number)
                    continue
                self.asked.append(frame.number)
                if (answer := self.respond(frame)) is not None:
                    writer.write(answer)
        if not self.reads:
            await asyncio.sleep(ENOUGH_S)


def right(frame: Frame) -> bytes:
    matrix = np.frombuffer(frame.payload, "<f4").reshape(frame.rows, frame.columns)
    shares = None
    if frame.kind == frames.Ask.CONTRIBUTIONS:
        shares = np.zeros((frame.rows, frame.columns + 1), np.float32)
        shares[:, 0] = matrix[:, 0]
    return frames.answer(frame.number, matrix[:, 0].copy(), shares)


class NoMetadata:
    async def close(self) -> None:
        """Nothing to let go of."""


@asynccontextmanager
async def opened(
    path: Path, respond: Callable[[Frame], bytes | None] = right
) -> AsyncIterator[tuple[Door, SocketPredictor]]:
    door = Door(str(path / "s"), respond)

    def retried() -> None:
        door.retries += 1

    server = await asyncio.start_unix_server(door.serve, door.path)
    predictor = SocketPredictor(door.path, NoMetadata(), retried=retried)  # type: ignore[arg-type]
    try:
        yield door, predictor
    finally:
        await predictor.close()
        server.close()
        for writer in door.writers:
            writer.close()


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: Any, **named: Any) -> None:
        asyncio.run(test(*args, **named))

    return run


def _matrix(*firsts: float) -> np.ndarray:
    matrix = np.zeros((len(firsts), WIDTH), np.float32)
    matrix[:, 0] = firsts
    return matrix


async def _ask(predictor: SocketPredictor, *firsts: float, timeout_s: float = ENOUGH_S, explain: bool = False) -> Any:
    return await predictor.predict(_matrix(*firsts), explain=explain, timeout_s=timeout_s, traceparent=None)


@in_a_loop
async def test_answers_in_any_order_reach_who_asked(tmp_path: Path) -> None:
    held: list[Frame] = []

    def last_first(frame: Frame) -> bytes | None:
        held.append(frame)
        return b"".join(right(frame) for frame in reversed(held)) if len(held) == 50 else None

    async with opened(tmp_path, last_first) as (_, predictor):
        found = await asyncio.gather(*(_ask(predictor, float(number), number + 0.5) for number in range(50)))
    assert [prediction.margin.tolist() for prediction in found] == [[n, n + 0.5] for n in range(50)]


@in_a_loop
async def test_contributions_come_with_their_margins(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, predictor):
        prediction = await _ask(predictor, 1.0, 2.0, explain=True)
    assert prediction.contributions.shape == (2, WIDTH + 1)
    assert prediction.contributions.sum(axis=1).tolist() == prediction.margin.tolist()


@pytest.mark.parametrize(
    ("respond", "kind"),
    [
        pytest.param(lambda f: frames.refusal(f.number, Status.REFUSED, "secret"), "refused", id="refused"),
        pytest.param(lambda f: frames.refusal(f.number, Status.FAILED, "secret"), "failed", id="failed"),
        pytest.param(lambda f: frames.answer(f.number, np.zeros(9, np.float32)), "malformed", id="another length"),
        pytest.param(lambda f: frames.answer(f.number, np.full(f.rows, np.nan, np.float32)), "not_finite", id="NaN"),
        pytest.param(lambda f: frames._HEADER.pack(3, f.number, f.rows, 0, 0) + b"abc", "malformed", id="odd bytes"),
        pytest.param(lambda _: b"\xff" * 64, "away", id="no frame"),
    ],
)
@in_a_loop
async def test_nonsense_is_a_fault_of_its_kind(tmp_path: Path, respond: Callable[[Frame], bytes], kind: str) -> None:
    async with opened(tmp_path, respond) as (door, predictor):
        with pytest.raises(PredictorFault) as caught:
            await _ask(predictor, 1.0)
        assert caught.value.kind == kind
        assert "secret" not in str(caught.value)
        door.respond = right
        assert (await _ask(predictor, 5.0)).margin.tolist() == [5.0]


@in_a_loop
async def test_silence_ends_at_the_deadline_and_the_next_one_is_answered(tmp_path: Path) -> None:
    async with opened(tmp_path, lambda _: None) as (door, predictor):
        with pytest.raises(DeadlineExceeded):
            await _ask(predictor, 1.0, timeout_s=0.05)
        door.respond = right
        assert (await _ask(predictor, 2.0)).margin.tolist() == [2.0]


@in_a_loop
async def test_an_answer_that_comes_too_late_reaches_nobody_else(tmp_path: Path) -> None:
    late: list[Frame] = []
    async with opened(tmp_path, late.append) as (door, predictor):
        with pytest.raises(DeadlineExceeded):
            await _ask(predictor, 1.0, timeout_s=0.05)
        door.respond = lambda frame: right(late[0]) + right(frame)
        assert (await _ask(predictor, 2.0)).margin.tolist() == [2.0]


@in_a_loop
async def test_a_cancelled_caller_leaves_nothing_behind(tmp_path: Path) -> None:
    async with opened(tmp_path, lambda _: None) as (door, predictor):
        tasks = [asyncio.create_task(_ask(predictor, 1.0)) for _ in range(20)]
        while len(door.asked) < 20:  # noqa: ASYNC110 (nothing signals it)
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True)
        )
        assert predictor._connection is not None
        assert predictor._connection._waiting == {}
        while door.called_off != door.asked:  # noqa: ASYNC110 (nothing signals it)
            await asyncio.sleep(0.01)


@in_a_loop
async def test_a_request_whose_time_is_up_is_called_off_and_an_answered_one_is_not(tmp_path: Path) -> None:
    async with opened(tmp_path) as (door, predictor):
        await _ask(predictor, 1.0)
        door.respond = lambda _: None
        with pytest.raises(DeadlineExceeded):
            await _ask(predictor, 2.0, timeout_s=0.05)
        while not door.called_off:  # noqa: ASYNC110 (nothing signals it)
            await asyncio.sleep(0.01)
        assert door.called_off == door.asked[1:]


@in_a_loop
async def test_a_connection_lost_fails_all_that_wait_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path, lambda _: None) as (door, predictor):
        tasks = [asyncio.create_task(_ask(predictor, 1.0)) for _ in range(5)]
        while len(door.asked) < 5:  # noqa: ASYNC110 (nothing signals it)
            await asyncio.sleep(0.01)
        door.writers[0].close()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert {getattr(end, "kind", end) for end in ends} == {"away"}
        door.respond = right
        assert (await _ask(predictor, 3.0)).margin.tolist() == [3.0]


@in_a_loop
async def test_nobody_there_is_told_after_one_retry(tmp_path: Path) -> None:
    async with opened(tmp_path) as (door, predictor):
        predictor._path += "-absent"
        with pytest.raises(PredictorFault) as caught:
            await _ask(predictor, 1.0)
        assert (caught.value.kind, door.retries) == ("away", 1)


@in_a_loop
async def test_those_who_come_while_it_connects_share_the_connection(tmp_path: Path) -> None:
    async with opened(tmp_path) as (door, predictor):
        await asyncio.gather(*(_ask(predictor, 1.0) for _ in range(30)))
        assert len(door.writers) == 1


@in_a_loop
async def test_what_a_stuck_server_does_not_take_is_bounded(tmp_path: Path) -> None:
    async with opened(tmp_path) as (door, predictor):
        door.reads = False
        large = np.zeros((500_000, WIDTH), np.float32)  # 8 MB

        async def ask() -> str:
            try:
                await predictor.predict(large, explain=False, timeout_s=0.1, traceparent=None)
            except PredictorFault as fault:
                return fault.kind
            except DeadlineExceeded:
                return "late"
            return "answered"

        ends = [await ask() for _ in range(4)]
        assert "answered" not in ends
        assert "stuck" in ends  # let go, so that what piled up is freed


@in_a_loop
async def test_a_frame_that_breaks_off_spoils_no_later_answer(tmp_path: Path) -> None:
    """What follows it can't be told from what it lacks: a connection that answers nobody any more is given up."""

    def cut(frame: Frame) -> bytes:
        return right(frame)[:-1]

    async with opened(tmp_path, cut) as (door, predictor):
        with pytest.raises(DeadlineExceeded):
            await predictor.predict(np.ones((2, WIDTH), np.float32), explain=False, timeout_s=0.5, traceparent=None)
        door.respond = right
        for value in (3.0, 4.0):
            matrix = np.full((2, WIDTH), value, np.float32)
            found = await predictor.predict(matrix, explain=False, timeout_s=ENOUGH_S, traceparent=None)
            assert found.margin.tolist() == [value, value]
        assert len(door.writers) == 2


@in_a_loop
async def test_more_values_than_leads_are_malformed(tmp_path: Path) -> None:
    def long(frame: Frame) -> bytes:
        return frames.answer(frame.number, np.zeros(frame.rows + 1, np.float32))[:8] + right(frame)[8:] + bytes(4)

    async with opened(tmp_path, long) as (_, predictor):
        with pytest.raises(PredictorFault) as caught:
            await predictor.predict(np.ones((2, WIDTH), np.float32), explain=False, timeout_s=5, traceparent=None)
        assert caught.value.kind == "malformed"
