"""What a kubelet does all the while: ask on a connection of its own whether a pod is ready, from another process.

`python -m tests.hostile.prober PORT PATH` asks until its standard input ends, then says how that went, as JSON.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.stack import ROOT

__all__ = ["Probes", "probing"]

INTERVAL_S = 0.05
GIVE_UP_S = 30.0


@dataclass
class Probes:
    """How they went: status (0 for none) and seconds of each."""

    answers: list[tuple[int, float]] = field(default_factory=list)

    @property
    def statuses(self) -> set[int]:
        return {status for status, _ in self.answers}

    @property
    def slowest_s(self) -> float:
        return max(seconds for _, seconds in self.answers)


@contextmanager
def probing(port: int, path: str) -> Iterator[Probes]:
    """Probe while the block runs; the answers are there after it."""
    found = Probes()
    command = [sys.executable, "-m", "tests.hostile.prober", str(port), path]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    try:
        process.stdout.readline()  # it has begun
        yield found
        said, _ = process.communicate(timeout=2 * GIVE_UP_S)
        found.answers = [tuple(answer) for answer in json.loads(said)]
    finally:
        process.kill()
        process.wait()


def probe(port: int, path: str) -> tuple[int, float]:
    began = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=GIVE_UP_S) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
            status = int(connection.recv(4096)[9:12])
    except (OSError, ValueError):
        status = 0
    return status, time.monotonic() - began


def main(port: int, path: str) -> None:
    answers = [probe(port, path)]
    print(flush=True)  # noqa: T201 (tells who started it)
    while not select.select([sys.stdin], [], [], INTERVAL_S)[0]:
        answers.append(probe(port, path))
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
