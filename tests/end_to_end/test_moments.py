"""Times in a lead count from the moment of scoring: the one that the request names, else the request's own."""

from __future__ import annotations

import time
from typing import Any

import pytest

from lead_scoring.core.assembly import seconds
from tests.end_to_end import doors as all_doors
from tests.end_to_end.conftest import Offline
from tests.end_to_end.doors import Doors

NOW, LATER = "2026-11-21T00:00:00Z", "2027-11-21T00:00:00Z"


def probabilities(model: Offline, leads: list[dict[str, Any]], as_of_s: float) -> list[float]:
    return model.score(leads, as_of_s).scores.probability.tolist()


@pytest.fixture(scope="module")
def timed(leads: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leads whose last campaign interaction is recent, some of the rest of their times missing."""
    fresh = [{**lead, "last_campaign_interaction": "2026-11-19T12:00:00Z"} for lead in leads[:30]]
    assert any(lead["custom_feature_10"] is None for lead in fresh)
    return fresh


@pytest.mark.parametrize("door", all_doors.ALL)
def test_a_year_later_the_same_lead_scores_as_offline_says(
    doors: Doors, offline_models: dict[str, Offline], timed: list[dict[str, Any]], door: str
) -> None:
    answers = [doors.ask(door, timed, as_of=moment).columns["probability"] for moment in (NOW, LATER)]
    assert answers == [probabilities(offline_models["1"], timed, seconds(moment)) for moment in (NOW, LATER)]
    assert sum(now != later for now, later in zip(*answers, strict=True)) > len(timed) / 2


@pytest.mark.parametrize("same", ["2026-11-21T02:00:00+02:00", "2026-11-21", int(seconds(NOW))])
def test_a_moment_may_be_said_in_other_words(doors: Doors, timed: list[dict[str, Any]], same: str | int) -> None:
    expected = doors.ask("V1", timed, as_of=NOW).columns["probability"]
    for door in all_doors.ALL:
        assert doors.ask(door, timed, as_of=same).columns["probability"] == expected


@pytest.mark.parametrize("door", all_doors.ALL)
def test_without_a_moment_it_is_the_requests(
    doors: Doors, offline_models: dict[str, Offline], timed: list[dict[str, Any]], door: str
) -> None:
    before_s = time.time()
    found = doors.ask(door, timed).columns["probability"]
    possible = [probabilities(offline_models["1"], timed, moment) for moment in (before_s, time.time())]
    for row, probability in enumerate(found):  # a day may have ended for some of them in between
        assert probability in {moment[row] for moment in possible}
    assert found != probabilities(offline_models["1"], timed, before_s + 365 * 86_400)
