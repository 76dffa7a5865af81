"""Watch a pair start, from a container of its pod that shares its processes: prints seconds until ready as JSON.

The clock of both starts when the kernel started the first of the two processes, and stops at the first 200 of
`/v2/health/ready`, which scores golden leads through both.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from pathlib import Path

MODULES = ("lead_transformer", "lead_predictor")
DEADLINE_S = 300.0
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> dict[str, object]:
    """Return wall-clock and CPU seconds until ready.

    Raises:
        SystemExit: it isn't ready within the deadline.
    """
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if ready():
            now = time.clock_gettime(time.CLOCK_BOOTTIME)
            found = {module: times(module) for module in MODULES}
            return {
                "wall_s": round(now - min(started for started, _, _ in found.values()), 2),
                "cpu_s": {module: round(used, 2) for module, (_, used, _) in found.items()},
                "waited_for_cpu_s": {module: round(waited, 2) for module, (_, _, waited) in found.items()},
            }
        time.sleep(0.02)
    raise SystemExit("not ready in time")


def ready() -> bool:
    """Ask once."""
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=5)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def times(module: str) -> tuple[float, float, float]:
    """Return when a module's process started, in seconds since boot, its CPU seconds, and its wait for a core."""
    for folder in Path("/proc").glob("[0-9]*"):
        words = (folder / "cmdline").read_bytes().split(b"\0")
        if [b"-m", module.encode()] in [words[i : i + 2] for i in range(4)]:
            fields = (folder / "stat").read_text().rpartition(") ")[2].split()
            user, system, started = int(fields[11]), int(fields[12]), int(fields[19])
            waits = (int((task / "schedstat").read_text().split()[1]) for task in (folder / "task").iterdir())
            return started / TICKS, (user + system) / TICKS, sum(waits) / 1e9
    raise SystemExit(f"no process runs {module}")


if __name__ == "__main__":
    json.dump(main(), sys.stdout)
