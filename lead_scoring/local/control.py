"""Changing a stack that runs: shift, shadow, roll back, look, stop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lead_scoring.errors import StackError
from lead_scoring.local import routes
from lead_scoring.local.admin import Admin, is_ready
from lead_scoring.local.run_folder import RunFolder, State, Variant
from lead_scoring.local.split import Split

__all__ = ["Change", "rollback", "shadow", "shift", "status", "stop"]

_LOOK_EVERY_S = 0.005
_IN_FORCE_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Change:
    """A split that is in force."""

    before: Split
    after: Split
    took_s: float


def shift(folder: RunFolder, canary_percent: int, *, wait_s: float = 10.0) -> Change:
    """Give the canary a share of the traffic, sticky by key: a key that it has at 5 % it still has at 20 %.

    Raises:
        StackError: no stack runs, or the canary would get more and is not ready within `wait_s`; nothing changes then.
    """
    return _change(folder, lambda split: split.shifted(canary_percent), wait_s=wait_s)


def shadow(folder: RunFolder, percent: int, *, wait_s: float = 10.0) -> Change:
    """Send the canary copies of a share of the requests; clients see only what stable answers.

    Raises:
        StackError: no stack runs, or the canary has traffic of its own or is not ready within `wait_s`; nothing changes
            then.
    """
    return _change(folder, lambda split: split.shadowed(percent), wait_s=wait_s)


def rollback(folder: RunFolder) -> Change:
    """Give everything to stable, at once and whatever state the canary is in.

    Raises:
        StackError: no stack runs.
    """
    return _change(folder, lambda split: split.rolled_back(), wait_s=0.0)


def status(folder: RunFolder) -> dict[str, Any]:
    """Return what runs where, what is ready and how traffic is split, as JSON.

    Raises:
        StackError: no stack runs.
    """
    state = folder.load_state()
    split, version = folder.load_split()
    admin = Admin(folder.admin_address)
    healthy = admin.healthy_clusters()
    return {
        "url": f"http://{state.host}:{state.port}",
        "model": state.model,
        "pid": state.pid,
        "up_s": round(time.time() - state.started_at, 1),
        "split": split.shares,
        "shadow_percent": split.shadow_percent,
        "in_force": admin.routes_version() == version,
        "variants": [
            {
                "name": found.name,
                "role": found.role,
                "version": found.version,
                "ready": _is_ready(found, healthy),
                "percent": split.shares.get(found.name, 0),
                "rest_port": found.rest_port,
                "grpc_port": found.grpc_port,
            }
            for found in state.variants
        ],
        "processes": [{"name": name, "pid": pid} for name, pid in state.pids.items()],
    }


def stop(folder: RunFolder, *, wait_s: float = 60.0) -> None:
    """End a stack as Ctrl-C does and wait until it is gone.

    Raises:
        StackError: no stack runs, or it is still there after `wait_s`.
    """
    os.kill(folder.load_state().pid, signal.SIGTERM)
    if not _comes_true(lambda: not folder.running, wait_s, every_s=0.05):
        raise StackError(f"the stack still runs after {wait_s:g} s")


def _change(folder: RunFolder, change: Callable[[Split], Split], *, wait_s: float) -> Change:
    state = folder.load_state()
    with folder.changing():
        before, version = folder.load_split()
        after = change(before)
        if after.canary_percent > before.canary_percent or after.shadow_percent > before.shadow_percent:
            _await_canary(folder, state, wait_s)
        begin = time.monotonic()
        _put_in_force(folder, state, before, after, int(version))
        return Change(before=before, after=after, took_s=time.monotonic() - begin)


def _await_canary(folder: RunFolder, state: State, wait_s: float) -> None:
    canary = state.variant("canary")
    admin = Admin(folder.admin_address)
    if not _comes_true(lambda: _is_ready(canary, admin.healthy_clusters()), wait_s, every_s=0.1):
        raise StackError(f"{canary.name} is not ready (waited {wait_s:g} s); nothing was changed, see {folder.logs}")


def _put_in_force(folder: RunFolder, state: State, before: Split, after: Split, version: int) -> None:
    """Write the routes and wait until Envoy has taken them over; if it refuses, write back what was in force.

    Raises:
        StackError: it refused, or did not take them over in time.
    """
    admin = Admin(folder.admin_address)
    refused_before = admin.rejected_routes()
    wanted = str(version + 1)
    folder.save_split(after, wanted, routes.routes(model=state.model, split=after, version=wanted))

    def decided() -> bool:
        return admin.routes_version() == wanted or admin.rejected_routes() > refused_before

    _comes_true(decided, _IN_FORCE_WITHIN_S, every_s=_LOOK_EVERY_S)
    if admin.routes_version() == wanted:
        return
    refused = admin.rejected_routes() > refused_before
    back = str(version + 2)
    folder.save_split(before, back, routes.routes(model=state.model, split=before, version=back))
    reason = "refused the routes" if refused else f"did not take over the routes within {_IN_FORCE_WITHIN_S:g} s"
    raise StackError(f"Envoy {reason}; those in force before were written back, see {folder.logs / 'envoy.log'}")


def _is_ready(variant: Variant, healthy: set[str]) -> bool:
    clusters = {routes.cluster_name(variant.name, grpc=grpc) for grpc in (False, True)}
    return clusters <= healthy and is_ready("127.0.0.1", variant.rest_port)


def _comes_true(condition: Callable[[], bool], within_s: float, *, every_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every_s)
    return True
