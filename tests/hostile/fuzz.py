"""Send thousands of spoilt requests through the real gateway and hold every answer against the bytes that were sent.

What must hold: no status of 500 and above and no INTERNAL or UNKNOWN, an answer to each within seconds, every refusal
in the documented form, and every answer the one that the very bytes of the request call for (`oracle`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import grpc
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tests.end_to_end.payloads import LENGTH
from tests.hostile.corpus import Case, Corpus, corpus
from tests.hostile.mutation import spoilt, spoilt_bytes
from tests.hostile.oracle import Answer, Oracle
from tests.hostile.wire import Pipeline, Response, request_bytes
from tests.support.stack import SHIPPED, running_stack

CONNECTIONS = 6
BUNCH = 8
PATIENCE_S = 5.0
"""Within this, every request has its answer: the gateway gives up on a pod after one second."""
TRIES = 8
MAX_FAULTS = 20
BUSY = {503, 504}
"""This machine may be too busy; then the same request is sent again, and is a fault if that never helps."""
BUSY_RPC = {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
REFUSED_RPC = {"INVALID_ARGUMENT", "NOT_FOUND"}
LEGAL_IN_HTTP = {501, 505}
"""A transfer coding or version of HTTP that a proxy lacks: what RFC 9110 asks of it, and no fault of ours."""
DTYPES = {"INT32": "i", "FP64": "d"}

_EPILOG = """example:
  python -m tests.hostile.fuzz --requests 100000 --seed 7
  python -m tests.hostile.fuzz --requests 1 --first 4711 --seed 7 --target 127.0.0.1:8080   # one request again

Without --target it starts a stack of its own on the shipped versions, and ends it. Requests are numbered; a number and
a seed make the same request again.
exit codes: 0 every answer was right, 1 something was not (told on stdout), 2 usage"""


@dataclass
class Report:
    """What came of it.

    Attributes:
        sent, answered: requests and those that got scores, by protocol.
        statuses: how often each status came, by protocol.
        busy: requests sent again because the machine was busy.
        faults: everything that must not be, the first few in words.
        slowest_s: the longest that an answer took.
    """

    sent: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    statuses: Counter[tuple[str, str]] = field(default_factory=Counter)
    busy: int = 0
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        lines = [f"{sum(self.sent.values())} requests in {self.seconds:.0f} s, slowest answer {self.slowest_s:.2f} s, "  # noqa: ISC004
                 f"{self.busy} sent again because the machine was busy"]  # fmt: skip
        for protocol, count in sorted(self.sent.items()):
            told = ", ".join(f"{status}: {n}" for (of, status), n in sorted(self.statuses.items()) if of == protocol)
            lines.append(f"  {protocol:7} {count:7} sent, {self.answered[protocol]:6} scored and checked; {told}")
        lines += [f"FAULT {fault}" for fault in self.faults]
        return "\n".join(lines)


class Fuzzer:
    """Makes requests by number, sends them, judges the answers."""

    def __init__(self, host: str, port: int, oracles: Mapping[str, Oracle], *, seed: int) -> None:
        self._host, self._port, self._oracles, self._seed = host, port, oracles, seed
        contract = next(iter(oracles.values())).contract
        name = contract.model.name
        self._paths = {"v1": f"/v1/models/{name}:predict"}
        self._infer = f"/v2/models/{name}/infer"
        self._corpus: Corpus = corpus(contract)
        self._goods = self._corpus.goods()
        self.report = Report()

    def case(self, number: int) -> tuple[Case, bytes | None]:
        """Return a request by its number; with it the whole text if that is spoilt too, head and all."""
        random = Random(f"{self._seed}:{number}")
        if number < len(self._goods) or random.random() < 0.02:
            return self._goods[number % len(self._goods)], None
        if random.random() < 0.04:
            good = random.choice([found for found in self._goods if found.protocol != "grpc"])
            whole = self._whole(good)
            head = whole.index(b"\r\n\r\n") + 4
            return good, spoilt_bytes(random, whole[:head]) + whole[head:]
        return spoilt(random, self._corpus), None

    async def run(self, numbers: Sequence[int], progress: Callable[[int], None] = lambda _done: None) -> Report:
        """Send all; stop early when there are many faults."""
        begin = time.perf_counter()
        rest: asyncio.Queue[tuple[int, Case]] = asyncio.Queue(maxsize=200)
        rpc: asyncio.Queue[tuple[int, Case]] = asyncio.Queue(maxsize=200)
        raw: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(maxsize=50)
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"{self._host}:{self._port}", options=options) as channel:
            method = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer", request_serializer=bytes, response_deserializer=bytes
            )
            workers = [asyncio.create_task(self._ask_rest(rest)) for _ in range(CONNECTIONS)]
            workers += [asyncio.create_task(self._ask_rpc(method, rpc)) for _ in range(CONNECTIONS)]
            workers += [asyncio.create_task(self._ask_raw(raw)) for _ in range(2 * CONNECTIONS)]
            try:
                for done, number in enumerate(numbers):
                    case, whole = self.case(number)
                    if whole is not None:
                        await _put(raw, (number, whole), workers)
                    else:
                        await _put(rpc if case.protocol == "grpc" else rest, (number, case), workers)
                    progress(done)
                    if len(self.report.faults) >= MAX_FAULTS:
                        break
                for queue in (rest, rpc, raw):
                    await _joined(queue, workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        self.report.seconds += time.perf_counter() - begin
        return self.report

    def _whole(self, case: Case) -> bytes:
        return request_bytes(self._paths.get(case.protocol, self._infer), case.body, case.headers)

    async def _ask_rest(self, queue: asyncio.Queue[tuple[int, Case]]) -> None:
        connection = Pipeline(self._host, self._port)
        while True:
            bunch = [await queue.get()]
            while len(bunch) < BUNCH and not queue.empty():
                bunch.append(queue.get_nowait())
            taken, tries = len(bunch), 0
            while bunch:
                again: list[tuple[int, Case]] = []
                answered = 0
                try:
                    async for response in connection.ask(
                        [self._whole(case) for _, case in bunch], timeout_s=PATIENCE_S
                    ):
                        number, case = bunch[answered]
                        answered += 1
                        if response.status in BUSY and tries < TRIES:
                            again.append((number, case))
                            self.report.busy += 1
                        else:
                            self._judge_rest(number, case, response)
                except TimeoutError:
                    self._fault(*bunch[answered], "no answer")
                    answered += 1
                if not answered:
                    tries += 1
                    if tries > TRIES:
                        self._fault(*bunch[0], "the connection is closed without an answer")
                        answered = 1
                bunch = again + bunch[answered:]
                if again:
                    tries += 1
                    await asyncio.sleep(0.1 * tries)
            for _ in range(taken):
                queue.task_done()

    async def _ask_rpc(self, method: Any, queue: asyncio.Queue[tuple[int, Case]]) -> None:
        while True:
            number, case = await queue.get()
            for tries in range(TRIES + 1):
                began = time.perf_counter()
                try:
                    answer, code = await method(case.body, timeout=PATIENCE_S), "OK"
                except grpc.aio.AioRpcError as error:
                    answer, code = error, error.code().name
                seconds = time.perf_counter() - began
                if code not in BUSY_RPC or tries == TRIES or seconds >= PATIENCE_S:
                    self._judge_rpc(number, case, answer, code, seconds)
                    break
                self.report.busy += 1
                await asyncio.sleep(0.1 * (tries + 1))
            queue.task_done()

    async def _ask_raw(self, queue: asyncio.Queue[tuple[int, bytes]]) -> None:
        """Send what may be no HTTP; the gateway answers, closes, or waits for more, as it must."""
        while True:
            number, whole = await queue.get()
            status = "closed"
            try:
                reader, writer = await asyncio.open_connection(self._host, self._port)
                writer.write(whole)
                async with asyncio.timeout(0.5):
                    head = await reader.readuntil(b"\r\n")
                    status = head.split(b" ", 2)[1].decode("latin-1")
            except TimeoutError:
                status = "waits"
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.transport.abort()
            self.report.sent["http"] += 1
            self.report.statuses["http", status] += 1
            if status.isdigit() and int(status) >= 500 and int(status) not in BUSY | LEGAL_IN_HTTP:
                self._fault(number, Case("http", whole), f"status {status}")
            queue.task_done()

    def _judge_rest(self, number: int, case: Case, response: Response) -> None:
        self._count(case, str(response.status), response.seconds)
        try:
            length = int(response.headers.get(LENGTH, len(response.body)))
            document = json.loads(response.body[:length])
        except ValueError:
            self._fault(number, case, f"status {response.status} with a body that is no JSON")
            return
        if response.status == 200:
            self._judge(number, case, lambda: _read_rest(document, response.body[length:]))
        elif not 400 <= response.status < 500 or case.good:
            self._fault(number, case, f"status {response.status}: {document.get('error')}")
        elif not document.get("error"):
            self._fault(number, case, "a refusal without a reason")

    def _judge_rpc(self, number: int, case: Case, answer: Any, code: str, seconds: float) -> None:
        self._count(case, code, seconds)
        if code == "OK":
            self._judge(number, case, lambda: _read_message(pb.ModelInferResponse.FromString(answer)))
        elif code not in REFUSED_RPC or case.good:
            self._fault(number, case, f"{code}: {answer.details()}")
        elif not answer.details():
            self._fault(number, case, "a refusal without a reason")

    def _judge(self, number: int, case: Case, read: Callable[[], Answer]) -> None:
        """Hold scores against what the request's own bytes say."""
        self.report.answered[case.protocol] += 1
        try:
            answer = read()
            oracle = self._oracles[answer.version]
        except Exception as error:
            self._fault(number, case, f"an answer that can't be read: {error!r}")
            return
        try:
            if case.protocol == "v1":
                question = oracle.read_v1(case.body)
            elif case.protocol == "grpc":
                question = oracle.read_message(case.body)
            else:
                told = {name.lower(): value for name, value in case.headers.items()}
                question = oracle.read_v2(case.body, told.get(LENGTH))
        except Exception as error:
            self._fault(number, case, f"answered although: {error!r}")
            return
        for fault in oracle.faults(question, answer):
            self._fault(number, case, fault)

    def _count(self, case: Case, status: str, seconds: float) -> None:
        self.report.sent[case.protocol] += 1
        self.report.statuses[case.protocol, status] += 1
        self.report.slowest_s = max(self.report.slowest_s, seconds)

    def _fault(self, number: int, case: Case, what: str) -> None:
        self.report.faults.append(f"request {number}, {case.protocol}: {what}; {case.headers} {case.body[:300]!r}")


def _read_rest(document: dict[str, Any], tail: bytes) -> Answer:
    about = document["parameters"]
    moment = datetime.fromisoformat(about["timestamp"]).timestamp()
    if "predictions" in document:
        rows = document["predictions"]
        return Answer(about["model_version"], {name: [row[name] for row in rows] for name in rows[0]}, moment)
    columns = {}
    for output in document["outputs"]:
        if "data" in output:
            columns[output["name"]] = output["data"]
        else:
            size = output["parameters"]["binary_data_size"]
            columns[output["name"]], tail = _unpack(output["datatype"], tail[:size]), tail[size:]
        if output["shape"] != [len(columns[output["name"]])]:
            raise ValueError("shape and data disagree")
    if tail:
        raise ValueError("bytes left over")
    return Answer(document["model_version"], _with_reasons(columns), moment)


def _read_message(message: Any) -> Answer:
    columns: dict[str, list[Any]] = {}
    contents = {"INT32": "int_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents"}
    for position, output in enumerate(message.outputs):
        if message.raw_output_contents:
            columns[output.name] = _unpack(output.datatype, message.raw_output_contents[position])
        else:
            values = list(getattr(output.contents, contents[output.datatype]))
            columns[output.name] = [value.decode() for value in values] if output.datatype == "BYTES" else values
        if list(output.shape) != [len(columns[output.name])]:
            raise ValueError("shape and data disagree")
    moment = datetime.fromisoformat(message.parameters["timestamp"].string_param).timestamp()
    return Answer(message.model_version, _with_reasons(columns), moment)


def _with_reasons(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    if "reasons" in columns:
        columns["reasons"] = [json.loads(text) for text in columns["reasons"]]
    return columns


def _unpack(datatype: str, raw: bytes) -> list[Any]:
    if datatype != "BYTES":
        form = DTYPES[datatype]
        return list(struct.unpack(f"<{len(raw) // struct.calcsize(form)}{form}", raw))
    texts, offset = [], 0
    while offset < len(raw):
        (size,) = struct.unpack_from("<I", raw, offset)
        texts.append(raw[offset + 4 : offset + 4 + size].decode())
        offset += 4 + size
    return texts


async def _put(queue: asyncio.Queue[Any], item: Any, workers: Sequence[asyncio.Task[None]]) -> None:
    """Put an item; raise what a worker raised, instead of waiting for one that is no more."""
    while queue.full():
        _raise_if_dead(workers)
        await asyncio.sleep(0.01)
    queue.put_nowait(item)


async def _joined(queue: asyncio.Queue[Any], workers: Sequence[asyncio.Task[None]]) -> None:
    joining = asyncio.create_task(queue.join())
    while not joining.done():
        _raise_if_dead(workers)
        await asyncio.wait({joining}, timeout=0.1)


def _raise_if_dead(workers: Sequence[asyncio.Task[None]]) -> None:
    for worker in workers:
        if worker.done():
            worker.result()


def oracles(repository: Path, model: str = "lead-scoring") -> dict[str, Oracle]:
    """Return what knows the right answers of every version in a repository."""
    folders = sorted(path.parent for path in (repository / model).glob("*/contract.json"))
    found = [Oracle(folder) for folder in folders]
    return {oracle.contract.model.version: oracle for oracle in found}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        "python -m tests.hostile.fuzz",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--requests", type=int, default=20_000, help="how many (20000)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other requests (1)")
    parser.add_argument("--first", type=int, default=0, help="number of the first request (0)")
    parser.add_argument("--target", help="host:port of a running stack; its versions must be those of --repository")
    parser.add_argument("--repository", type=Path, default=SHIPPED, help="the model repository (the shipped one)")
    options = parser.parse_args(arguments)
    if options.requests < 1 or (options.target and options.target.count(":") != 1):
        parser.error("expected --requests of 1 or more and --target host:port")
    with ExitStack() as exits:
        if options.target:
            host, port = options.target.split(":")
        else:
            work = Path(exits.enter_context(tempfile.TemporaryDirectory()))
            stack = exits.enter_context(running_stack(work, options.repository))
            host, port = "127.0.0.1", str(stack.port)
        fuzzer = Fuzzer(host, int(port), oracles(options.repository), seed=options.seed)
        numbers = range(options.first, options.first + options.requests)
        report = asyncio.run(fuzzer.run(numbers, _progress(options.requests)))
    sys.stdout.write(f"{report}\n")
    return 1 if report.faults else 0


def _progress(total: int) -> Callable[[int], None]:
    begin = last = time.monotonic()

    def tell(done: int) -> None:
        nonlocal last
        if time.monotonic() - last > 5:
            last = time.monotonic()
            sys.stderr.write(f"{done} of {total} requests, {done / (last - begin):.0f} a second\n")

    return tell


if __name__ == "__main__":
    sys.exit(main())
