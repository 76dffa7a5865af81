"""Ports of loopback that nobody uses."""

from __future__ import annotations

import random
import socket

from lead_scoring.errors import StackError

__all__ = ["check_free", "free_ports"]

_RANGE = range(20_000, 32_000)
"""Below the ports that Linux takes for outgoing connections (from 32768), so that none of those can get in between."""


def free_ports(count: int, *, seed: int | None = None) -> list[int]:
    """Return `count` different ports on which nothing listens now.

    Raises:
        StackError: there are not so many.
    """
    found: list[int] = []
    candidates = list(_RANGE)
    random.Random(seed).shuffle(candidates)  # noqa: S311 # nosec B311 - nothing secret
    for port in candidates:
        if _is_free("127.0.0.1", port):
            found.append(port)
            if len(found) == count:
                return found
    raise StackError(f"fewer than {count} free ports on loopback")


def check_free(host: str, port: int) -> None:
    """Check that the stack's own port can be had.

    Raises:
        StackError: something listens there, or we may not.
    """
    try:
        _bind(host, port)
    except OverflowError as error:
        raise StackError(f"PORT: expected a number from 1 to 65535, got {port}") from error
    except PermissionError as error:
        raise StackError(f"port {port} needs privileges; choose one above 1023 with PORT=") from error
    except OSError as error:
        raise StackError(f"port {port} is taken; end what listens there or choose another with PORT=") from error


def _is_free(host: str, port: int) -> bool:
    try:
        _bind(host, port)
    except OSError:
        return False
    return True


def _bind(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that wait out their end don't count
        probe.bind((host, port))
        probe.listen(1)
