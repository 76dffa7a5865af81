"""Which replica acts: a Lease that the leader renews and everybody else waits for.

The client's own election can neither give a Lease back nor bound a call, and goes by the wall clock, hence this one.
As in client-go, a candidate goes by when *it* last saw the Lease change, so that clocks may differ, and a leader that
could not renew for two thirds of the duration counts itself deposed before anybody else may take over.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from lead_controller.apiserver import LEASE, ApiServer, ApiServerError, Refused

__all__ = ["Election"]

_log = logging.getLogger(__name__)


class Election:
    """Runs for the Lease from a thread of its own. Safe to use from many threads."""

    def __init__(
        self, server: ApiServer, name: str, identity: str, *, duration_s: float, changed: Callable[[], None]
    ) -> None:
        """Be nobody yet; `changed` is called, from the thread, on winning and on losing.

        `duration_s`: a Lease not renewed for so long may be taken; whole seconds.
        """
        self.identity = identity
        self._server = server
        self._name = name
        self._duration_s = duration_s
        self._changed = changed
        self._renewed_at: float | None = None
        self._seen: tuple[str, float] = ("", 0.0)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="election", daemon=True)
        self.problem = ""

    @property
    def leading(self) -> bool:
        """Whether this replica may write, now."""
        return self.remaining_s() > 0

    def remaining_s(self) -> float:
        """Return for how long this replica may still write without renewing; 0 for a follower.

        A write must be given up by then: afterwards it could overtake those of a new leader.
        """
        renewed_at = self._renewed_at
        return 0.0 if renewed_at is None else max(0.0, renewed_at + self._duration_s * 2 / 3 - time.monotonic())

    def start(self) -> None:
        """Start running for it."""
        self._thread.start()

    def release(self) -> None:
        """Give the Lease back, so that the next leader need not wait; for at most about a second.

        Only after the last write: from here on somebody else writes.
        """
        self._stopping.set()
        self._thread.join(timeout=0.3)
        if not self.leading:
            return
        self._renewed_at = None
        try:
            lease = self._server.get(LEASE, self._name, timeout_s=0.5)
            if lease["spec"].get("holderIdentity") == self.identity:
                lease["spec"] = {**lease["spec"], "holderIdentity": None, "leaseDurationSeconds": 1}
                self._server.replace(LEASE, lease, timeout_s=0.5)
                _log.info("lease released")
        except ApiServerError as error:
            _log.warning("lease not released: it has to expire", extra={"fields": {"error": str(error)}})

    def _run(self) -> None:
        led = False
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                if self._acquire():
                    self._renewed_at = started
                elif self._renewed_at is not None:  # taken by somebody else
                    self._renewed_at = None
                self.problem = ""
            except ApiServerError as error:
                if str(error) != self.problem:
                    _log.warning("can't reach the lease", extra={"fields": {"lease": self._name, "error": str(error)}})
                self.problem = str(error)
            except Exception:
                _log.exception("election failed")
                self.problem = "an error of the controller: see its log"
            if self.leading != led:
                led = not led
                _log.info("leading" if led else "not leading", extra={"fields": {"identity": self.identity}})
                self._changed()
            self._stopping.wait(self._duration_s / 6 * random.uniform(0.8, 1.2))  # noqa: S311  # nosec B311

    def _acquire(self) -> bool:
        """Renew the Lease or take it if it is free or has expired; return whether it is ours."""
        timeout_s = self._duration_s / 6
        try:
            lease = self._server.get(LEASE, self._name, timeout_s=timeout_s)
        except Refused as refused:
            if refused.status != 404:
                raise
            return self._try(self._server.create, self._claim(None), timeout_s)
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity")
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, time.monotonic())
        expired = time.monotonic() - self._seen[1] > (spec.get("leaseDurationSeconds") or self._duration_s)
        if holder and holder != self.identity and not expired:
            return False
        return self._try(self._server.replace, self._claim(lease), timeout_s)

    def _try(self, write: Callable[..., dict[str, Any]], lease: dict[str, Any], timeout_s: float) -> bool:
        try:
            write(LEASE, lease, timeout_s=timeout_s)
        except Refused as refused:
            if refused.status != 409:
                raise
            return False  # somebody was faster
        return True

    def _claim(self, lease: dict[str, Any] | None) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = (lease or {}).get("spec") or {}
        spec = {
            **old,
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._duration_s)),
            "renewTime": now,
        }
        if old.get("holderIdentity") != self.identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = (old.get("leaseTransitions") or 0) + (1 if lease else 0)
        base = lease or {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": {"name": self._name}}
        return {**base, "spec": spec}
