"""What the processes write, on the terminal: warnings, or everything."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["follow", "is_warning"]

_WARNING = re.compile(
    rb'\[(warning|error|critical)\]|"level": ?"(WARN|ERROR|CRIT)|^(WARN|ERROR|CRITICAL|Traceback)', re.IGNORECASE
)
_MAX_CHUNK_BYTES = 256 * 1024


def is_warning(line: bytes) -> bool:
    """Return whether a line of Envoy's or ours says that something is wrong; being told to end is not."""
    return _WARNING.search(line) is not None and b"caught ENVOY_SIGTERM" not in line


async def follow(
    logs: Mapping[str, Path],
    say: Callable[[str], None],
    *,
    everything: bool,
    from_now: bool = False,
    every_s: float = 0.2,
) -> None:
    """Pass on new lines with the name of their process in front, until cancelled.

    Args:
        logs: file by name; a file that doesn't exist yet is waited for.
        say: gets one line at a time.
        everything: all lines instead of warnings and errors.
        from_now: leave out what is there already.
        every_s: how often to look.
    """
    width = max(map(len, logs), default=0)
    offsets = {name: path.stat().st_size if from_now and path.exists() else 0 for name, path in logs.items()}
    while True:
        for name, path in logs.items():
            for line in _new_lines(path, offsets, name):
                if everything or is_warning(line):
                    say(f"{name:{width}} | {line.decode('utf-8', 'replace')}")
        await asyncio.sleep(every_s)


def _new_lines(path: Path, offsets: dict[str, int], name: str) -> list[bytes]:
    try:
        with path.open("rb") as file:
            file.seek(offsets[name])
            data = file.read(_MAX_CHUNK_BYTES)
    except FileNotFoundError:
        return []
    whole, newline, _ = data.rpartition(b"\n")
    offsets[name] += len(whole) + len(newline)
    if not newline and len(data) == _MAX_CHUNK_BYTES:
        offsets[name] += len(data)  # one endless line: let it go
    return whole.split(b"\n") if newline else []
