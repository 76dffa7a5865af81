"""Traffic that is shifted, copied and taken back while it flows, on the real stack."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from lead_scoring.core.hashing import variant_of
from lead_scoring.local import control
from lead_scoring.local.split import Split
from tests.local.traffic import Answer, Question, open_loop, questions
from tests.support.stack import Stack, until

RATE_HZ = 50
BUSY = {"status 504", "DEADLINE_EXCEEDED"}
"""What a request gets when this machine is too busy for it: no fault of a shift, so the experiment is repeated."""


@pytest.fixture
def rolled_back(stack: Stack) -> Iterator[Stack]:
    """The real stack, everything with stable before and after."""
    control.rollback(stack.folder)
    yield stack
    control.rollback(stack.folder)


@pytest.fixture(scope="module")
def asked(stack: Stack) -> list[Question]:
    return questions(stack)


@dataclass
class History:
    """Which split was in force when."""

    splits: list[Split]
    begun_s: list[float] = field(default_factory=lambda: [0.0])
    confirmed_s: list[float] = field(default_factory=lambda: [0.0])

    def during(self, begin_s: float, end_s: float) -> list[Split]:
        """Return the splits that may have chosen for a request sent and answered at these times."""
        replaced_s = [*self.confirmed_s[1:], float("inf")]
        slack_s = 0.25  # from Envoy's main thread to its workers, on a busy machine
        return [
            split
            for split, begun_s, gone_s in zip(self.splits, self.begun_s, replaced_s, strict=True)
            if begun_s <= end_s and gone_s + slack_s >= begin_s
        ]


async def shifting(stack: Stack, asked: list[Question], percents: list[int]) -> tuple[list[Answer], History]:
    """Shift every 300 ms while traffic flows."""
    history = History([stack.folder.load_split()[0]])
    done = asyncio.Event()
    sending = asyncio.create_task(open_loop(stack, asked, rate_hz=RATE_HZ, until=done.is_set))
    try:
        for percent in percents:
            await asyncio.sleep(0.3)
            history.begun_s.append(time.monotonic())
            history.splits.append((await asyncio.to_thread(control.shift, stack.folder, percent, wait_s=60)).after)
            history.confirmed_s.append(time.monotonic())
        await asyncio.sleep(0.3)
    finally:
        done.set()
        answers = await sending
    return answers, history


def unhurried(run: object) -> tuple[list[Answer], History]:
    """Run the experiment, again if the machine was too busy for some of its requests."""
    for _ in range(3):
        answers, history = asyncio.run(run())  # type: ignore[operator]
        if not any(fault for answer in answers for fault in answer.faults if any(busy in fault for busy in BUSY)):
            break
    return answers, history


def test_shifts_every_300_ms_drop_nothing_and_every_lead_falls_where_its_hash_says(
    rolled_back: Stack, asked: list[Question]
) -> None:
    percents = [5, 50, 20, 100, 40, 0, 95, 1, 60, 30, 75, 10, 90, 25, 0, 50]
    answers, history = unhurried(lambda: shifting(rolled_back, asked, percents))
    assert len(answers) > RATE_HZ * 0.3 * len(percents)
    assert Counter(fault for answer in answers for fault in answer.faults) == {}
    for answer in answers:
        possible = {variant_of(answer.key, split.shares) for split in history.during(answer.sent_s, answer.done_s)}
        assert answer.variant in possible
    for protocol in ("rest", "grpc"):
        assert {answer.variant for answer in answers if answer.protocol == protocol} == {"v1", "v2"}
    alone = [answer for answer in answers if len(history.during(answer.sent_s, answer.done_s)) == 1]
    assert len(alone) > len(percents)  # the check above is not satisfied by overlap alone


def test_the_same_key_gets_the_same_variant_for_as_long_as_the_split_stands(
    rolled_back: Stack, asked: list[Question]
) -> None:
    control.shift(rolled_back.folder, 40, wait_s=60)
    answers, _ = unhurried(lambda: shifting(rolled_back, asked, [40] * 8))
    assert Counter(fault for answer in answers for fault in answer.faults) == {}
    by_key: dict[str, set[str]] = {}
    for answer in answers:
        by_key.setdefault(answer.key, set()).add(answer.variant)
    assert by_key == {key: {variant_of(key, {"v1": 60, "v2": 40})} for key in by_key}
    assert max(Counter(answer.key for answer in answers).values()) > 1


def test_a_shadow_answers_nobody_and_counts_every_copy(rolled_back: Stack, asked: list[Question]) -> None:
    async def run() -> tuple[list[Answer], History]:
        stop_at = time.monotonic() + 3
        return await open_loop(rolled_back, asked, rate_hz=RATE_HZ, until=lambda: time.monotonic() > stop_at), History(
            []
        )

    control.shadow(rolled_back.folder, 100, wait_s=60)
    before = rolled_back.metrics("canary")
    answers, _ = unhurried(run)
    assert Counter(fault for answer in answers for fault in answer.faults) == {}
    assert {answer.variant for answer in answers} == {"v1"}

    def counted(*, shadow: bool) -> float:
        after, label = rolled_back.metrics("canary"), f'shadow="{str(shadow).lower()}"'
        names = [name for name in after if name.startswith("lead_requests_total{") and label in name]
        return sum(after[name] - before.get(name, 0.0) for name in names)

    until(lambda: counted(shadow=True) >= len(answers), "all copies are counted")
    assert counted(shadow=False) == 0


def test_a_rollback_is_in_force_within_a_second(rolled_back: Stack, asked: list[Question]) -> None:
    control.shift(rolled_back.folder, 100, wait_s=60)
    begin_s = 0.0

    async def run() -> tuple[list[Answer], History]:
        nonlocal begin_s
        done = asyncio.Event()
        sending = asyncio.create_task(open_loop(rolled_back, asked, rate_hz=RATE_HZ, until=done.is_set))
        await asyncio.sleep(0.5)
        begin_s = time.monotonic()
        await asyncio.to_thread(control.rollback, rolled_back.folder)
        await asyncio.sleep(2)
        done.set()
        return await sending, History([])

    answers, _ = asyncio.run(run())
    assert not [fault for answer in answers for fault in answer.faults if not any(busy in fault for busy in BUSY)]
    assert {answer.variant for answer in answers if answer.done_s < begin_s} == {"v2"}
    late = [answer for answer in answers if answer.sent_s > begin_s + 1 and answer.status == "ok"]
    assert {answer.variant for answer in late} == {"v1"}


def test_changes_are_in_force_when_the_command_returns(rolled_back: Stack) -> None:
    with httpx.Client(base_url=rolled_back.url, timeout=60) as client:
        for percent, variant in itertools.islice(itertools.cycle([(100, "v2"), (0, "v1")]), 10):
            took_s = control.shift(rolled_back.folder, percent, wait_s=60).took_s
            assert took_s < 1.0
            answer = client.get("/v2/health/live")
            assert (answer.status_code, answer.headers["x-lead-variant"]) == (200, variant)
