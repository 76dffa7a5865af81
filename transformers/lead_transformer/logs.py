"""Structured logs: one JSON object a line on stdout, never a payload, a feature's value or a client's free text."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections import deque
from datetime import UTC, datetime
from typing import Any, BinaryIO

import orjson

__all__ = ["JsonFormatter", "LineWriter", "Throttle", "configure", "timestamp"]

_CAPACITY = 20_000
_INTERVAL_S = 0.1


def timestamp(seconds: float) -> str:
    """Return seconds since the epoch as RFC 3339 with milliseconds, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


class LineWriter:
    """Writes lines from a thread of its own, ten times a second: a slow reader of stdout never stops the event loop.

    When more than 20,000 lines are waiting the oldest are dropped, and counted.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """Start the thread."""
        self.dropped = 0
        self._stream = stream
        self._lines: deque[bytes] = deque()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Take a line without its newline."""
        if len(self._lines) >= _CAPACITY:
            self._lines.popleft()
            self.dropped += 1
        self._lines.append(line)

    def close(self) -> None:
        """Write what is left, for at most a second."""
        self._closing.set()
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while not self._closing.wait(_INTERVAL_S):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = self._lines
        taken = [lines.popleft() for _ in range(len(lines))]
        if taken:
            try:
                self._stream.write(b"\n".join(taken) + b"\n")
                self._stream.flush()
            except (OSError, ValueError):
                self.dropped += len(taken)  # nobody reads any more


class JsonFormatter(logging.Formatter):
    """Time, level, logger, message, the record's `fields`, and of an exception its type and where it happened.

    An exception's own message is left out: it may quote what a client sent.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line: dict[str, Any] = {
            "time": timestamp(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            line["at"] = [
                f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return orjson.dumps(line, default=str).decode()


class _Handler(logging.Handler):
    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.write(self.format(record).encode())
        except Exception:
            self.handleError(record)


class Throttle:
    """Lets one message of a kind through per second, and says how many it held back."""

    def __init__(self, interval_s: float = 1.0) -> None:
        """Start with everything let through."""
        self._interval_s = interval_s
        self._last: dict[str, tuple[float, int]] = {}

    def admit(self, kind: str) -> int | None:
        """Return how many were held back since the last one, or None to hold this one back too."""
        now = time.monotonic()
        last, held = self._last.get(kind, (-self._interval_s, 0))
        if now - last < self._interval_s:
            self._last[kind] = (last, held + 1)
            return None
        self._last[kind] = (now, 0)
        return held


def configure(level: str) -> LineWriter:
    """Send every logger's records to stdout as JSON, the SDK's and uvicorn's included; return the writer."""
    writer = LineWriter(sys.stdout.buffer)
    handler = _Handler(writer)
    handler.setFormatter(JsonFormatter())
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.ERROR)  # the libraries' own deprecations
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(logging.WARNING)
    logging.getLogger("lead_transformer").setLevel(level)
    for name in ("kserve", "kserve.trace", "uvicorn", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [logging.NullHandler()]  # the SDK sets up its own where it finds none
        logger.propagate = True
        logger.setLevel(logging.WARNING)
    # Hostile bytes would write a line each; they are counted as rejections.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return writer
