"""Thousands of spoilt requests through the real gateway: nothing breaks, hangs or grows, and no answer is wrong.

`FUZZ_REQUESTS=100000 FUZZ_SEED=7` make it longer and other.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import orjson
import pytest
from lead_transformer import v1_json

from lead_scoring.core.assembly import from_records, seconds
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.errors import InvalidLeads
from lead_scoring.packaging import booster, folder, offline
from tests.end_to_end import payloads
from tests.hostile.corpus import PROTOCOLS, corpus
from tests.hostile.fuzz import Fuzzer, main, oracles
from tests.hostile.mutation import spoilt
from tests.hostile.oracle import Answer, Oracle, Question, Unacceptable
from tests.hostile.pods import running
from tests.support.stack import SHIPPED, Stack, alive, until

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "20000"))
SEED = int(os.environ.get("FUZZ_SEED", "20261121"))
ROOM_BYTES = 48 * 2**20
"""What arenas, caches and the collector may take between a fifth of the requests and all of them."""


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return Oracle(SHIPPED / "lead-scoring" / "1")


@pytest.mark.timeout(900)
def test_nothing_breaks_hangs_or_grows_and_every_answer_is_right(stack: Stack) -> None:
    fuzzer = Fuzzer("127.0.0.1", stack.port, oracles(stack.repository), seed=SEED)
    pids = stack.pids()
    warm = REQUESTS // 5
    asyncio.run(fuzzer.run(range(warm)))
    before = running(stack.state.pids.values())
    report = asyncio.run(fuzzer.run(range(warm, REQUESTS)))
    print(report)  # noqa: T201 (the figure)
    assert report.faults == []
    assert sum(report.sent.values()) == REQUESTS
    after = running(stack.state.pids.values())
    assert {pid: after[pid] - before[pid] for pid in after if after[pid] - before[pid] > ROOM_BYTES} == {}
    assert stack.pids() == pids
    assert all(map(alive, pids))
    # No door was left out, and both ends of it were visited: many refusals, many answers that were checked.
    for protocol in PROTOCOLS:
        assert report.sent[protocol] > REQUESTS / 20
        assert 0.1 * report.sent[protocol] < report.answered[protocol] < 0.9 * report.sent[protocol]
    for role in ("stable", "canary"):
        until(partial(is_idle, stack, role), "nothing left in flight")
    for log in stack.folder.logs.iterdir():
        words = log.read_text(errors="replace")
        assert '"internal' not in words, log
        assert "Traceback" not in words, log


def is_idle(stack: Stack, role: str) -> bool:
    found = [value for name, value in stack.metrics(role).items() if name.startswith("lead_requests_in_flight")]
    assert len(found) == 1
    return found == [0]


def test_a_number_and_a_seed_make_the_same_request_again(oracle: Oracle) -> None:
    fuzzers = [Fuzzer("127.0.0.1", 1, {"1": oracle}, seed=3) for _ in range(2)]
    numbers = range(0, 3000, 7)
    assert [fuzzers[0].case(number) for number in numbers] == [fuzzers[1].case(number) for number in numbers]
    assert len({repr(fuzzers[0].case(number)) for number in numbers}) > 0.8 * len(numbers)


@pytest.fixture(scope="module")
def leads(oracle: Oracle) -> list[dict[str, Any]]:
    return [dict(lead.lead) for lead in oracle.contract.golden.leads[:100]]


@pytest.fixture(scope="module")
def right(oracle: Oracle, leads: list[dict[str, Any]]) -> Answer:
    """What offline scoring says, which is the service's own code."""
    verified = folder.read_verified(SHIPPED / "lead-scoring" / "1")
    model = booster.margins(booster.load(verified.contract, verified.model))
    batch = from_records(FeaturePlan.of(oracle.contract), leads, max_leads=len(leads))
    scored = offline.score(oracle.contract, model, batch, seconds(oracle.contract.golden.as_of))
    columns = {
        "score": scored.scores.score.tolist(),
        "probability": scored.scores.probability.tolist(),
        "confidence": scored.scores.confidence.tolist(),
        "features_used": scored.encoded.used.tolist(),
        "lead_id": [lead["lead_id"] for lead in leads],
    }
    return Answer("1", columns, 0.0)


def ask(oracle: Oracle, leads: list[dict[str, Any]]) -> Question:
    document = payloads.records(oracle.contract, leads, as_of=oracle.contract.golden.as_of)
    return oracle.read_v1(orjson.dumps(document))


def test_the_oracle_says_what_offline_scoring_says(oracle: Oracle, leads: list[dict[str, Any]], right: Answer) -> None:
    """Two readings of the contract, written apart, and one model."""
    assert oracle.faults(ask(oracle, leads), right) == []


@pytest.mark.parametrize("name", ["score", "probability", "features_used", "lead_id"])
def test_the_oracle_sees_one_wrong_value_among_a_hundred(
    oracle: Oracle, leads: list[dict[str, Any]], right: Answer, name: str
) -> None:
    column = list(right.columns[name])
    column[57] = {"score": 6 - column[57] if name == "score" and column[57] != 3 else 1}.get(
        name, f"{column[57]}x" if name == "lead_id" else column[57] + 1e-6
    )
    faults = oracle.faults(ask(oracle, leads), replace(right, columns={**right.columns, name: column}))
    assert [fault.partition(":")[0] for fault in faults] == [name]


def test_the_oracle_sees_an_answer_for_too_few(oracle: Oracle, leads: list[dict[str, Any]], right: Answer) -> None:
    cut = {name: column[:-1] for name, column in right.columns.items()}
    assert len(oracle.faults(ask(oracle, leads), replace(right, columns=cut))) == len(cut)


@pytest.mark.parametrize(
    "change",
    [
        {"industry": None},
        {"website_sessions": 1.5},
        {"account_revenue": "1"},
        {"lead_id": ""},
        {"custom_feature_1": -5},
    ],
)
def test_the_oracle_knows_what_must_not_be_answered(
    oracle: Oracle, leads: list[dict[str, Any]], right: Answer, change: dict[str, Any]
) -> None:
    bad = [*leads[:-1], {**leads[-1], **change}]
    try:
        faults = oracle.faults(ask(oracle, bad), right)
    except Unacceptable:
        return
    assert faults[0].startswith("answered although")


def test_nothing_that_the_oracle_finds_sound_is_refused(oracle: Oracle) -> None:
    """The other way round: of what the oracle reads and finds sound, the service's own code refuses nothing."""
    made, judged = corpus(oracle.contract), 0
    for number in range(2000):
        case = spoilt(Random(number), made)
        if case.protocol != "v1" or case.headers != {"content-type": "application/json"}:
            continue
        try:
            question = oracle.read_v1(case.body)
            nothing = Answer("1", {}, 1.8e9)
            sound = not oracle.faults(question, nothing)
        except Exception:  # noqa: S112 (not sound)
            continue
        if sound:
            try:
                request = v1_json.decode(case.body)
            except InvalidLeads as error:
                assert all(problem.path.startswith("$.parameters.") for problem in error.problems)  # noqa: PT017
                continue
            judged += 1
            batch = from_records(FeaturePlan.of(oracle.contract), request.records, max_leads=500)
            assert batch.report.total == 0, (number, case.body)
    assert judged > 50


def test_wrong_usage_is_said() -> None:
    for words in (["--requests", "0"], ["--target", "here"]):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 2
