"""What comes out is right: as offline, the same through every door, in whatever company."""

from __future__ import annotations

import itertools
import math
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lead_scoring.core.assembly import seconds
from lead_scoring.core.explanation import top_reasons
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.packaging import booster
from tests.end_to_end import doors as all_doors
from tests.end_to_end.conftest import COUNT, Offline
from tests.end_to_end.doors import Answer, Doors
from tests.end_to_end.payloads import bits_of

AS_OF = "2026-11-21T00:00:00Z"

Leads = list[dict[str, Any]]


@pytest.fixture(scope="module")
def right(offline_models: dict[str, Offline], leads: Leads, served: str) -> list[tuple[Any, ...]]:
    """What the served version says of all leads through one door: what every other answer must be, to the bit."""
    return rows(offline_models[served], leads, served)


def rows(model: Offline, leads: Leads, version: str) -> list[tuple[Any, ...]]:
    return bits_of(model.score(leads, seconds(AS_OF)), version)


def in_batches(doors: Doors, door: str, leads: Leads, size: int) -> list[tuple[Any, ...]]:
    parts = [leads[at : at + size] for at in range(0, len(leads), size)]
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda part: doors.ask(door, part, as_of=AS_OF).bits(), parts)
        return list(itertools.chain.from_iterable(answers))


@pytest.mark.parametrize("door", all_doors.ALL)
@pytest.mark.parametrize("size", [7, 500])
def test_a_thousand_leads_score_as_offline_through_every_door(
    doors: Doors, leads: Leads, right: list[tuple[Any, ...]], door: str, size: int
) -> None:
    found = in_batches(doors, door, leads, size)
    assert [row[0] for row in found] == [row[0] for row in right]
    apart = [abs(float.fromhex(a[1]) - float.fromhex(b[1])) for a, b in zip(found, right, strict=True)]
    assert max(apart) <= 1e-6
    assert found == right  # and to the bit: margins come from the same XGBoost


def test_the_thousand_leads_are_worth_asking(right: list[tuple[Any, ...]]) -> None:
    assert len(right) == COUNT
    assert {row[0] for row in right} == {1, 2, 3, 4, 5}
    assert len({row[1] for row in right}) > COUNT * 0.9
    assert len({row[3] for row in right}) > 10


def test_a_thousand_leads_alone_score_as_in_a_batch(
    doors: Doors, leads: Leads, right: list[tuple[Any, ...]], served: str
) -> None:
    """Each lead in a request of its own, dealt to the doors in turn, so that every door gets its share."""
    turn = itertools.islice(itertools.cycle(all_doors.ALL), int(served), None)
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda lead, door: doors.ask(door, [lead], as_of=AS_OF).bits()[0], leads, turn)
        assert list(found) == right


def test_the_versions_differ(offline_models: dict[str, Offline], leads: Leads) -> None:
    first, second = (rows(offline_models[version], leads, "?") for version in ("1", "2"))
    assert sum(a[1] != b[1] for a, b in zip(first, second, strict=True)) > COUNT * 0.9


def test_a_lead_scores_the_same_in_any_company_and_order(
    doors: Doors, leads: Leads, right: list[tuple[Any, ...]]
) -> None:
    @settings(max_examples=25, deadline=None)
    @given(st.randoms(use_true_random=False), st.integers(1, 40), st.sampled_from(all_doors.ALL))
    def check(chance: random.Random, size: int, door: str) -> None:
        chosen = [chance.randrange(COUNT) for _ in range(size)]  # the same lead may come twice
        answer = doors.ask(door, [leads[number] for number in chosen], as_of=AS_OF)
        assert answer.bits() == [right[number] for number in chosen]

    check()


def test_explanations_are_exact_sorted_and_the_same_through_every_door(
    doors: Doors, leads: Leads, offline_models: dict[str, Offline], served: str
) -> None:
    some, model = leads[:40], offline_models[served]
    answers = {door: doors.ask(door, some, as_of=AS_OF, explain=True, reasons=20) for door in all_doors.ALL}
    first = answers["V1"]
    for answer in answers.values():
        assert answer.bits("reasons") == first.bits("reasons")

    scored = model.score(some, seconds(AS_OF))
    shares = booster.contributions(model.model, scored.encoded.matrix)
    slope, intercept = model.contract.calibration.slope, model.contract.calibration.intercept
    log_odds = np.array([math.log(p / (1 - p)) for p in first.columns["probability"]])
    assert slope * shares.sum(axis=1) + intercept == pytest.approx(log_odds, abs=1e-4)
    by_name = {name: slope * shares[:, column] for column, name in enumerate(FeaturePlan.of(model.contract).names)}
    expected = top_reasons(list(by_name), shares, slope=slope, count=20)
    for row, reasons in enumerate(first.columns["reasons"]):
        strengths = [abs(reason["contribution"]) for reason in reasons]
        assert strengths == sorted(strengths, reverse=True)
        assert len({reason["feature"] for reason in reasons}) == len(reasons) == len(expected[row])
        for reason in reasons:
            assert reason["contribution"] == pytest.approx(by_name[reason["feature"]][row], abs=1e-5)
            assert reason["direction"] == ("raises" if reason["contribution"] > 0 else "lowers")
        # what isn't listed is weaker than what is
        rest = sum(by_name.values())[row] - sum(reason["contribution"] for reason in reasons)
        others = [abs(share[row]) for name, share in by_name.items() if name not in {r["feature"] for r in reasons}]
        assert max(others) <= strengths[-1] + 1e-5
        assert abs(rest) <= sum(others) + 1e-4


def test_reasons_are_as_many_as_asked_for_the_strongest_first(doors: Doors, leads: Leads) -> None:
    many = doors.ask("gRPC raw", leads[:5], as_of=AS_OF, explain=True, reasons=20).columns["reasons"]
    for count in (1, 3):
        few = doors.ask("V2 JSON", leads[:5], as_of=AS_OF, explain=True, reasons=count).columns["reasons"]
        assert few == [reasons[:count] for reasons in many]
    by_default = doors.ask("V2 binary", leads[:5], as_of=AS_OF, outputs=["reasons"]).columns
    assert by_default == {"reasons": [reasons[:5] for reasons in many]}


def test_confidence_is_least_at_the_edge_of_a_bucket(
    doors: Doors, leads: Leads, offline_models: dict[str, Offline], served: str
) -> None:
    answer = doors.ask("V2 packed binary", leads[:500], as_of=AS_OF)
    edges = np.array(offline_models[served].contract.buckets.edges)
    probability, confidence = (np.array(answer.columns[name]) for name in ("probability", "confidence"))
    assert ((confidence >= 0) & (confidence <= 1)).all()
    odds = np.log(probability / (1 - probability))
    distance = np.abs(odds[:, None] - np.log(edges / (1 - edges))).min(axis=1)
    near, far = distance < np.quantile(distance, 0.2), distance > np.quantile(distance, 0.8)
    assert confidence[near].mean() < confidence[far].mean() - 0.1


@pytest.mark.parametrize("door", all_doors.ALL)
def test_an_answer_says_who_gave_it_and_when(doors: Doors, leads: Leads, served: str, door: str) -> None:
    answer = doors.ask(door, leads[:3], as_of=AS_OF, prediction_time=True, headers={"x-lead-key": "account-17"})
    assert answer.columns["model_version"] == [served] * 3
    assert answer.columns["variant"] == [f"v{served}"] * 3
    assert answer.model_version == served
    assert answer.headers["x-lead-variant"] == f"v{served}"
    assert all(time_ms > 0 for time_ms in answer.columns["prediction_time_ms"])
    told = answer.parameters
    assert told["total_leads"] == 3
    assert float(told["processing_time_ms"]) > 0
    assert seconds(told["timestamp"]) > seconds("2026-01-01")
    assert told["request_id"] == answer.headers["x-request-id"]
    assert len(told["request_id"]) >= 16


@pytest.mark.parametrize("door", [door for door in all_doors.ALL if door != "V1"])
def test_an_id_comes_back_and_a_request_id_is_the_gateways(doors: Doors, leads: Leads, door: str) -> None:
    sent = {"x-request-id": "the-clients-own"}
    answers = [doors.ask(door, leads[:1], id="crm-4711", headers=sent, as_of=AS_OF) for _ in range(2)]
    assert [answer.id for answer in answers] == ["crm-4711"] * 2
    ids = {answer.parameters["request_id"] for answer in answers}
    assert len(ids) == 2  # a client's isn't trusted: it would let one request pass for another in the logs
    assert "the-clients-own" not in ids
    assert doors.ask(door, leads[:1], as_of=AS_OF).id == ""


@pytest.mark.parametrize("door", [door for door in all_doors.ALL if door != "V1"])
def test_outputs_come_as_chosen(doors: Doors, leads: Leads, door: str) -> None:
    chosen = ["lead_id", "probability", "score"]
    answer: Answer = doors.ask(door, leads[:4], outputs=chosen, as_of=AS_OF)
    assert list(answer.columns) == chosen
    assert answer.columns["lead_id"] == [lead["lead_id"] for lead in leads[:4]]
