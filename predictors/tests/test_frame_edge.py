"""The fast door of a real process: right answers whatever shares a prediction, refusals, bad bytes, drain."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb
from running import Predictor, running

from lead_scoring.core import frames
from lead_scoring.core.frames import Ask, Frame, FrameReader, Status

WIDTH = 50


@pytest.fixture(scope="module")
def door(heavy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The socket of a running predictor of the heavy model."""
    path = str(tmp_path_factory.mktemp("door") / "s")
    Path(path).write_text("left over from an earlier life")
    ports = ("--http-port", "0", "--grpc-port", "0")
    with running(heavy_folder, tmp_path_factory.mktemp("cwd"), *ports, "--socket", path):
        yield path


def _matrix(rows: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, WIDTH)).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    return matrix


def _exchange(path: str, *questions: bytes, answers: int | None = None) -> list[tuple[Frame, bytes]]:
    """Send frames in one write; return the answers with their payloads, in the order of the questions' numbers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(path)
        connection.sendall(b"".join(questions))
        reader, found = FrameReader(), []
        while len(found) < (len(questions) if answers is None else answers):
            data = connection.recv(1 << 20)
            if not data:
                break
            found += [(frame, bytes(frame.payload)) for frame in reader.feed(data)]
    return sorted(found, key=lambda pair: pair[0].number)


@pytest.mark.parametrize("rows", [1, 64, 65, 500, 2000])
def test_margins_are_the_boosters_own(door: str, heavy_booster: xgb.Booster, rows: int) -> None:
    matrix = _matrix(rows, seed=rows)
    [(frame, payload)] = _exchange(door, frames.question(1, matrix, Ask.MARGIN))
    expected = heavy_booster.inplace_predict(matrix, predict_type="margin", validate_features=False)
    assert (frame.kind, frame.rows) == (Status.OK, rows)
    assert np.array_equal(np.frombuffer(payload, "<f4"), expected)


def test_neighbours_in_a_shared_prediction_change_no_bit(door: str, heavy_booster: xgb.Booster) -> None:
    matrices = [_matrix(rows, seed=rows) for rows in (1, 3, 500, 2, 64, 130, 1, 7)]
    answers = _exchange(door, *(frames.question(n, matrix, Ask.MARGIN) for n, matrix in enumerate(matrices)))
    for (_, payload), matrix in zip(answers, matrices, strict=True):
        expected = heavy_booster.inplace_predict(matrix, predict_type="margin", validate_features=False)
        assert np.array_equal(np.frombuffer(payload, "<f4"), expected)


def test_contributions_add_up_to_the_margins(door: str) -> None:
    [(frame, payload)] = _exchange(door, frames.question(1, _matrix(40), Ask.CONTRIBUTIONS))
    values = np.frombuffer(payload, "<f4")
    assert (frame.kind, frame.rows, frame.columns) == (Status.OK, 40, WIDTH + 1)
    assert np.abs(values[40:].reshape(40, WIDTH + 1).sum(axis=1, dtype=np.float64) - values[:40]).max() < 1e-5


def test_a_margin_does_not_wait_for_an_explanation(door: str) -> None:
    long, short = frames.question(1, _matrix(500), Ask.CONTRIBUTIONS), frames.question(2, _matrix(1), Ask.MARGIN)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(door)
        connection.sendall(long + short)
        reader, first = FrameReader(), None
        while first is None:
            first = next(iter(reader.feed(connection.recv(1 << 20))), None)
    assert first.number == 2


def test_an_explanation_that_is_called_off_ends(door: str) -> None:
    """The later of two equal explanations is answered, the earlier one is not: it would have come first."""
    first, second = (frames.question(number, _matrix(300), Ask.CONTRIBUTIONS) for number in (1, 2))
    [(frame, _)] = _exchange(door, first, frames.cancellation(1), second, answers=1)
    assert frame.number == 2


def test_nothing_is_computed_for_a_client_that_has_gone(door: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(door)
        connection.sendall(b"".join(frames.question(n, _matrix(500), Ask.CONTRIBUTIONS) for n in range(120)))
    [(frame, _)] = _exchange(door, frames.question(1, _matrix(500), Ask.CONTRIBUTIONS))
    assert frame.kind == Status.OK  # within the time-out: taking turns with 120 others would take minutes


def test_calling_off_what_nobody_asked_does_nothing(door: str) -> None:
    [(frame, _)] = _exchange(door, frames.cancellation(7), frames.question(1, _matrix(1), Ask.MARGIN), answers=1)
    assert frame.kind == Status.OK


@pytest.mark.parametrize(
    ("rows", "columns", "kind", "size"),
    [
        pytest.param(1, WIDTH, 9, 4 * WIDTH, id="unknown kind"),
        pytest.param(1, WIDTH - 1, Ask.MARGIN, 4 * (WIDTH - 1), id="too narrow"),
        pytest.param(0, WIDTH, Ask.MARGIN, 0, id="no rows"),
        pytest.param(2, WIDTH, Ask.MARGIN, 4 * WIDTH, id="fewer bytes than rows"),
        pytest.param(5001, WIDTH, Ask.MARGIN, 4, id="too many rows"),
    ],
)
def test_what_is_no_question_is_refused_and_the_next_one_answered(
    door: str, rows: int, columns: int, kind: int, size: int
) -> None:
    wrong = frames._HEADER.pack(size, 1, rows, columns, kind) + bytes(size)
    (refused, message), (answered, _) = _exchange(door, wrong, frames.question(2, _matrix(1), Ask.MARGIN))
    assert refused.kind == Status.REFUSED
    assert message
    assert answered.kind == Status.OK


def test_bytes_that_are_no_frame_end_only_their_connection(door: str) -> None:
    assert _exchange(door, b"\xff" * 64, answers=1) == []
    [(frame, _)] = _exchange(door, frames.question(1, _matrix(1), Ask.MARGIN))
    assert frame.kind == Status.OK


def test_a_client_that_goes_away_leaves_the_others_alone(door: str) -> None:
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(door)
            connection.sendall(frames.question(1, _matrix(500), Ask.MARGIN)[:-100])
    [(frame, _)] = _exchange(door, frames.question(1, _matrix(1), Ask.MARGIN))
    assert frame.kind == Status.OK


def test_nobody_else_may_connect(door: str) -> None:
    assert stat.S_IMODE(os.stat(door).st_mode) == 0o660


def test_sigterm_answers_what_was_asked(folder: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with running(folder, tmp_path, "--http-port", "0", "--grpc-port", "0", "--socket", path) as predictor:
        answered = asyncio.run(_ask_until_the_end(predictor, path))
        assert predictor.ended() == 0
        assert not Path(path).exists()
    assert answered > 100


def test_a_socket_that_cannot_be_made_says_so(folder: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "absent" / "s")
    predictor = Predictor(folder, "--http-port", "0", "--grpc-port", "0", "--socket", path, cwd=tmp_path)
    try:
        assert predictor.ended() == 5
        assert "socket" in predictor.stderr
    finally:
        predictor.kill()


async def _ask_until_the_end(predictor: Predictor, path: str) -> int:
    """Ask one after the other on eight connections; SIGTERM after a while; count the right answers."""
    done = 0

    async def ask(number: int) -> None:
        nonlocal done
        reader, writer = await asyncio.open_unix_connection(path)
        matrix = np.full((1, 8), float(number), np.float32)
        while True:
            try:
                writer.write(frames.question(number, matrix, Ask.MARGIN))
                data = await reader.read(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                assert done >= 100  # told by a closed connection that it is over, and not before
                return
            [frame] = FrameReader().feed(data)
            assert (frame.kind, frame.number) == (Status.OK, number)
            done += 1
            if done == 100:
                predictor.terminate()

    await asyncio.gather(*(ask(number) for number in range(8)))
    return done
