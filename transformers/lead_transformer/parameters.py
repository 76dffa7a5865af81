"""The request parameters that we know, whichever protocol carried them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from lead_scoring.core.assembly import seconds
from lead_scoring.core.columns import kind_of
from lead_scoring.core.findings import Report
from lead_transformer.messages import MAX_REASONS, Options

__all__ = ["read_flag", "read_options"]

T = TypeVar("T")

_EARLIEST_S, _LATEST_S = -62_135_596_800, 253_402_300_799  # years 1 to 9999
_MAX_TIME_CHARACTERS = 64


def read_options(parameters: Mapping[str, Any], report: Report) -> Options:
    """Read what we know and leave alone what we don't: other servers' clients send parameters of theirs.

    Args:
        parameters: a JSON object or the like; null counts as not given.
        report: gets a problem for each of our parameters with a value that it can't have.
    """
    if not parameters:
        return _DEFAULT
    return Options(
        explain=read_flag(parameters, "explain", report),
        reasons=_read(
            parameters, "reasons", _count, _DEFAULT.reasons, f"a whole number from 1 to {MAX_REASONS}", report
        ),
        prediction_time=read_flag(parameters, "prediction_time", report),
        as_of=_read(parameters, "as_of", _moment, None, "an RFC 3339 time or seconds since the epoch", report),
    )


def read_flag(
    parameters: Mapping[str, Any], name: str, report: Report, path: str = "$.parameters", *, default: bool = False
) -> bool:
    """Read a boolean."""
    return _read(parameters, name, _flag, default, "true or false", report, path)


_DEFAULT = Options()


def _read(
    parameters: Mapping[str, Any],
    name: str,
    convert: Callable[[Any], T],
    default: T,
    expected: str,
    report: Report,
    path: str = "$.parameters",
) -> T:
    value = parameters.get(name)
    if value is None:
        return default
    try:
        return convert(value)
    except (TypeError, ValueError, OverflowError):
        report.add(
            f"{path}.{name}",
            "invalid_parameter",
            expected=expected,
            got=_shown(value),
            remedy="correct it or leave it out",
        )
        return default


def _shown(value: Any) -> str:
    return f"{value:.12g}" if type(value) in (int, float) else kind_of(value)


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError
    return value


def _count(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    if not 1 <= value <= MAX_REASONS:
        raise ValueError
    return value


def _moment(value: Any) -> float | None:
    if type(value) is str and len(value) <= _MAX_TIME_CHARACTERS:
        value = seconds(value)
    if type(value) not in (int, float):
        raise TypeError
    if not _EARLIEST_S <= value <= _LATEST_S:
        raise ValueError
    return float(value)
