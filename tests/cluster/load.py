"""Open-loop load through the gateway in a process of its own: REST and gRPC in turn, every answer checked.

Run as a program it reads a `Plan` as JSON from its first line of input, says `going` when it has begun, and ends when
its input does; then it prints a `Report`.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import grpc
import orjson
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from bench.connections import Connection, Response
from tests.cluster.gateway import KEY, VARIANT, Gateway, header_of
from tests.cluster.questions import MODEL, Question, ask_about
from tests.end_to_end.payloads import generated
from tests.support.stack import ROOT

__all__ = ["Plan", "Report", "under_load"]

RATE_HZ = 60
LATEST_S = 1.0
"""A generator further behind its schedule than this measured itself: the run is void."""
MOST_BUSY = 0.01
_ANSWER_S = 10.0
_METHOD = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True)
class Plan:
    """What to send where, how often, and which version each variant runs."""

    url: str
    rest_host: str
    grpc_host: str
    versions: dict[str, str]
    rate_hz: float = RATE_HZ
    leads: int = 300
    at_least: int = 300
    """Fewest requests of a run, however soon what it accompanies is over."""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Report:
    """What came of it: answers by protocol and variant, every fault with its moment, and how late the generator was."""

    sent: int
    answers: dict[str, int]
    faults: list[str]
    busy: int
    """Requests that a pod turned away itself, in its own words, because the machine gave it too little to work with."""
    late_s: float
    seconds: float
    slowest_s: float

    def share(self, variant: str) -> float:
        """Return a variant's share of the answers."""
        mine = sum(count for name, count in self.answers.items() if name.endswith(f" {variant}"))
        return mine / max(1, sum(self.answers.values()))

    def expect_no_loss(self, *, at_least: int) -> None:
        """Fail if a request was lost, or if the run says nothing."""
        assert self.late_s < LATEST_S, f"void: the generator fell {self.late_s:.2f} s behind"
        assert self.sent >= at_least, f"void: only {self.sent} requests in {self.seconds:.0f} s"
        assert not self.faults, (len(self.faults), self.sent, self.faults[:20])
        assert self.busy <= self.sent * MOST_BUSY, f"void: {self.busy} of {self.sent} met pods without CPU"
        assert sum(self.answers.values()) + self.busy == self.sent
        assert {name.split()[0] for name in self.answers} == {"REST", "gRPC"}


class _Loader:
    def __init__(self, plan: Plan, questions: Sequence[Question]) -> None:
        self._plan = plan
        self._questions = questions
        self._gateway = Gateway(plan.url, plan.rest_host, plan.grpc_host)
        self._requests = [
            self._gateway.request(f"/v2/models/{MODEL}/infer", q.body, {KEY: q.key, **plan.headers}) for q in questions
        ]
        self._idle: list[Connection] = []
        self._answers: Counter[str] = Counter()
        self._faults: list[str] = []
        self._busy = 0
        self._slowest = 0.0

    async def run(self, stop: Callable[[], bool]) -> Report:
        options = [("grpc.enable_retries", 0), ("grpc.default_authority", self._plan.grpc_host)]
        tasks: set[asyncio.Task[None]] = set()
        late = 0.0
        async with grpc.aio.insecure_channel(self._gateway.target, options=options) as channel:
            infer = channel.unary_unary(
                _METHOD, request_serializer=bytes, response_deserializer=pb.ModelInferResponse.FromString
            )
            sys.stdout.write("going\n")
            sys.stdout.flush()
            begin = time.monotonic()
            number = 0
            while not stop() or number < self._plan.at_least:
                intended = begin + number / self._plan.rate_hz
                if (wait := intended - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                late = max(late, time.monotonic() - intended)
                # each lead takes turns between the protocols, since the number of leads is even
                which = number % len(self._questions)
                rest = (number + number // len(self._questions)) % 2 == 0
                one = self._rest(which, intended) if rest else self._grpc(infer, which, intended)
                task = asyncio.create_task(one)
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                number += 1
            await asyncio.gather(*tasks)
            elapsed = time.monotonic() - begin
        for connection in self._idle:
            connection.close()
        return Report(number, dict(self._answers), self._faults, self._busy, late, elapsed, self._slowest)

    async def _rest(self, which: int, intended: float) -> None:
        connection = self._idle.pop() if self._idle else Connection(self._gateway.host, self._gateway.port)
        try:
            response = await connection.send(self._requests[which], timeout_s=_ANSWER_S)
        except (OSError, TimeoutError) as error:
            self._fault("REST", which, f"{type(error).__name__}: {error}")
            return
        if b"\r\nconnection: close" in response.head:
            connection.close()  # as the gateway asks when somebody changes its listener
        else:
            self._idle.append(connection)
        if response.status == 503 and b'"code":"overloaded"' in response.body:
            self._busy += 1
            return
        if response.status != 200:
            self._fault("REST", which, f"{response.status} {response.body[:200]!r}")
            return
        self._check("REST", which, header_of(response, VARIANT), _of_rest(response), intended)

    async def _grpc(self, infer: Any, which: int, intended: float) -> None:
        question = self._questions[which]
        metadata = [(KEY, question.key), *((name.lower(), value) for name, value in self._plan.headers.items())]
        call = infer(question.message, timeout=_ANSWER_S, metadata=metadata)
        try:
            answer = await call
            told = dict(await call.initial_metadata())
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and "too many requests" in (error.details() or ""):
                self._busy += 1
                return
            self._fault("gRPC", which, f"{error.code().name} {error.details()}")
            return
        self._check("gRPC", which, str(told.get(VARIANT, "")), _of_grpc(answer), intended)

    def _check(self, protocol: str, which: int, header: str, told: Mapping[str, Any], intended: float) -> None:
        right = self._questions[which].right.get(header)
        if told["variant"] != header or right is None:
            self._fault(protocol, which, f"variant {told['variant']!r} under header {header!r}")
        elif (told["score"], told["probability"]) != right:
            self._fault(protocol, which, f"{header} said {told['score']}, {told['probability']}, not {right}")
        else:
            self._answers[f"{protocol} {header}"] += 1
            self._slowest = max(self._slowest, time.monotonic() - intended)

    def _fault(self, protocol: str, which: int, what: str) -> None:
        self._faults.append(f"{time.strftime('%X')} {protocol} {self._questions[which].key}: {what}")


def _of_rest(response: Response) -> dict[str, Any]:
    return {output["name"]: output["data"][0] for output in orjson.loads(response.body)["outputs"]}


def _of_grpc(answer: Any) -> dict[str, Any]:
    fields = {"INT32": "int_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents"}
    found = {output.name: getattr(output.contents, fields[output.datatype])[0] for output in answer.outputs}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}


@contextmanager
def under_load(plan: Plan) -> Iterator[Report]:
    """Keep the gateway under load while the block runs, and for `at_least` requests; then the report is filled in."""
    report = Report(0, {}, [], 0, 0.0, 0.0, 0.0)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.load"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(asdict(plan)) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "going\n"
        yield report
        rest, _ = process.communicate(timeout=60)
        vars(report).update(json.loads(rest))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def main() -> None:
    """Load until the input ends."""
    plan = Plan(**json.loads(sys.stdin.readline()))
    questions = ask_about(generated(plan.leads, seed=5), plan.versions)
    ended = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    report = asyncio.run(_Loader(plan, questions).run(ended.is_set))
    json.dump(asdict(report), sys.stdout)


if __name__ == "__main__":
    main()
