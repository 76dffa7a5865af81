"""kubectl as people type it, with its answers as objects."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.stack import until

__all__ = ["Kubectl", "Refused"]

_TIMEOUT_S = 120


class Refused(Exception):
    """A command failed; says what it printed."""


@dataclass(frozen=True)
class Kubectl:
    """Runs kubectl in one namespace."""

    namespace: str

    def __call__(self, *words: str, stdin: str | None = None, timeout_s: float = _TIMEOUT_S) -> str:
        """Run a command and return what it printed.

        Raises:
            Refused: it failed.
        """
        return run(["kubectl", "--namespace", self.namespace, *words], stdin=stdin, timeout_s=timeout_s)

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects."""
        self("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Return one object."""
        found: dict[str, Any] = json.loads(self("get", kind, name, "-o", "json"))
        return found

    def find(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return one object, None if it isn't there."""
        text = self("get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def items(self, kind: str, *selector: str) -> list[dict[str, Any]]:
        """Return all objects of a kind, those with all of these labels (`key=value`)."""
        chosen = ["-l", ",".join(selector)] if selector else []
        found: list[dict[str, Any]] = json.loads(self("get", kind, *chosen, "-o", "json"))["items"]
        return found

    def patch(self, kind: str, name: str, *operations: dict[str, Any]) -> None:
        """Apply a JSON patch."""
        self("patch", kind, name, "--type=json", "-p", json.dumps(list(operations)))

    def merge(self, kind: str, name: str, document: dict[str, Any]) -> None:
        """Apply a merge patch."""
        self("patch", kind, name, "--type=merge", "-p", json.dumps(document))

    def until(
        self, kind: str, name: str, so: Callable[[dict[str, Any]], bool], what: str, *, within_s: float = 180
    ) -> dict[str, Any]:
        """Wait until an object is there and something is so of it; return it."""
        last: dict[str, Any] = {}

        def check() -> bool:
            last.clear()
            last.update(self.find(kind, name) or {})
            return bool(last) and so(last)

        until(check, f"{kind}/{name} {what}", within_s=within_s, every_s=0.25)
        return last


def run(command: Sequence[str], *, stdin: str | None = None, timeout_s: float = _TIMEOUT_S, folder: Any = None) -> str:
    """Run a command and return what it printed.

    Raises:
        Refused: it failed.
    """
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=folder
    )
    if done.returncode:
        raise Refused(f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}".strip())
    return done.stdout
