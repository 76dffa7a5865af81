"""Frames survive any cutting of the stream, and what is no frame ends the connection."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lead_scoring.core import frames
from lead_scoring.core.frames import Ask, FrameError, FrameReader, Status


def _matrix(rows: int, columns: int) -> np.ndarray:
    return np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)


def test_a_question_says_what_it_carries():
    matrix = _matrix(3, 4)
    [frame] = FrameReader().feed(frames.question(7, matrix, Ask.CONTRIBUTIONS))
    assert (frame.number, frame.rows, frame.columns, frame.kind) == (7, 3, 4, Ask.CONTRIBUTIONS)
    assert np.array_equal(np.frombuffer(frame.payload, "<f4").reshape(3, 4), matrix)


def test_a_matrix_in_any_memory_order_is_sent_row_after_row():
    matrix = np.asfortranarray(_matrix(3, 4))
    [frame] = FrameReader().feed(frames.question(1, matrix, Ask.MARGIN))
    assert np.frombuffer(frame.payload, "<f4").tolist() == matrix.ravel().tolist()


def test_an_answer_carries_margins_then_contributions():
    margin, shares = np.array([1.5, -2.0], np.float32), _matrix(2, 5)
    [frame] = FrameReader().feed(frames.answer(9, margin, shares))
    values = np.frombuffer(frame.payload, "<f4")
    assert (frame.number, frame.rows, frame.columns, frame.kind) == (9, 2, 5, Status.OK)
    assert values[:2].tolist() == margin.tolist()
    assert values[2:].tolist() == shares.ravel().tolist()


def test_a_refusal_says_why():
    [frame] = FrameReader().feed(frames.refusal(4, Status.REFUSED, "zu groß"))
    assert (frame.number, frame.kind, bytes(frame.payload).decode()) == (4, Status.REFUSED, "zu groß")


def test_a_request_is_called_off_by_its_number():
    [frame] = FrameReader().feed(frames.cancellation(12))
    assert (frame.number, frame.kind, frame.rows, bytes(frame.payload)) == (12, Ask.CANCEL, 0, b"")


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6)), max_size=6), st.data())
def test_any_cutting_of_the_stream_gives_the_same_frames(shapes, data):
    stream = b"".join(frames.question(number, _matrix(*shape), Ask.MARGIN) for number, shape in enumerate(shapes))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader, found = FrameReader(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += [
            (frame.number, (frame.rows, frame.columns), bytes(frame.payload))
            for frame in reader.feed(stream[begin:end])
        ]
    assert found == [(number, shape, _matrix(*shape).tobytes()) for number, shape in enumerate(shapes)]


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_a_payload_beyond_the_limit_is_no_frame(pieces):
    header = (frames.MAX_PAYLOAD_BYTES + 1).to_bytes(4, "little") + bytes(12)
    reader = FrameReader()
    size = -(-len(header) // pieces)
    chunks = [header[begin : begin + size] for begin in range(0, len(header), size)]
    with pytest.raises(FrameError):
        _ = [frame for chunk in chunks for frame in reader.feed(chunk)]
