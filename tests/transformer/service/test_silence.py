"""A model server that answers nothing for a while is gone; one that is slow, wrong or starting is not."""

from __future__ import annotations

import pytest
from lead_transformer.predictor import PredictorFault
from lead_transformer.silence import Silence

from lead_scoring.errors import DeadlineExceeded, Overloaded, ServiceError

LATE = DeadlineExceeded("late")
AWAY = PredictorFault("away", kind="away")
STUCK = PredictorFault("stuck", kind="stuck")
NONSENSE = PredictorFault("nonsense", kind="malformed")
REFUSED = PredictorFault("refused", kind="status_invalid_argument")
ANSWER = None


@pytest.mark.parametrize(
    ("history", "seconds"),
    [
        ([], 0),
        ([(0, ANSWER)], 0),
        ([(0, LATE), (9, LATE)], 0),  # it has never answered: it is starting
        ([(0, ANSWER), (1, LATE)], 0),  # one is no silence yet, however long it took
        ([(0, ANSWER), (1, LATE), (9, LATE)], 8),
        ([(0, ANSWER), (1, AWAY), (9, STUCK)], 8),
        ([(0, ANSWER), (1, LATE), (9, LATE), (9, ANSWER)], 0),
        ([(0, ANSWER), (1, LATE), (9, LATE), (9, ANSWER), (10, LATE), (11, AWAY)], 1),
        ([(0, ANSWER), (1, LATE), (9, NONSENSE)], 0),  # ill, but readiness' business: a restart would not help
        ([(0, ANSWER), (1, LATE), (9, REFUSED), (10, LATE)], 0),
        ([(0, NONSENSE), (1, LATE), (2, LATE)], 1),
        ([(0, ANSWER), (1, LATE), (9, Overloaded("busy", retry_after_s=1))], 0),
    ],
)
def test_silence_is_the_time_between_calls_without_an_answer(
    history: list[tuple[float, ServiceError | None]], seconds: float
) -> None:
    silence = Silence(4.0)
    for now, error in history:
        if error is None:
            silence.answered()
        else:
            silence.failed(error, now)
    assert silence.seconds == seconds
    assert silence.is_over_limit == (seconds >= 4.0)
