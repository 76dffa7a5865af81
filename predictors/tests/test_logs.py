"""A log line is JSON and says where something went wrong, never with what."""

from __future__ import annotations

import json
import logging
import sys

from lead_predictor.logs import JsonFormatter

SECRET = "jane.doe@example.org"  # noqa: S105 - what a client might send


def line(message: str, *, error: Exception | None = None, **fields: object) -> dict[str, object]:
    record = logging.LogRecord("lead_predictor", logging.INFO, __file__, 1, message, (), None)
    record.fields = fields
    if error is not None:
        try:
            raise error
        except Exception:
            record.exc_info = sys.exc_info()
    text = JsonFormatter().format(record)
    assert "\n" not in text
    assert SECRET not in text
    found: dict[str, object] = json.loads(text)
    return found


def test_a_line_has_time_level_logger_message_and_fields() -> None:
    found = line('it\'s "ready"\nnow', version="1", seconds=0.5)
    assert found.pop("time")
    assert found == {
        "level": "INFO", "logger": "lead_predictor", "message": 'it\'s "ready"\nnow', "version": "1", "seconds": 0.5
    }  # fmt: skip


def test_an_exception_is_told_without_its_message() -> None:
    found = line("a call failed", error=ValueError(f"could not convert string to float: {SECRET!r}"))
    assert found["exception"] == "ValueError"
    (place,) = found["at"]  # type: ignore[misc]
    assert place.endswith("line")
