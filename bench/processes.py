"""What a tree of processes has cost so far: CPU seconds by the scheduler's clock, memory by /proc."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

__all__ = ["cpu_s", "descendants", "rss_mb"]

_SCHEDULED: Final = 2
"""With a process id above it, the clock that clock_getcpuclockid(3) gives for another process."""


def descendants(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it ended meanwhile
            children.setdefault(parent, []).append(int(entry.name))
    found, open_ends = [pid], [pid]
    while open_ends:
        for child in children.get(open_ends.pop(), []):
            found.append(child)
            open_ends.append(child)
    return found


def cpu_s(pids: list[int]) -> float:
    """Return user and system CPU seconds of living processes, all their threads included, to the nanosecond."""
    return sum(time.clock_gettime(~pid << 3 | _SCHEDULED) for pid in pids)


def rss_mb(pids: list[int]) -> float:
    """Return the sum of the proportional set sizes in MB: shared pages are counted once over all processes."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024
