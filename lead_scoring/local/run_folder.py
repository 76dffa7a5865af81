"""Where a stack keeps its state: `.run/<port>/`, so that stacks on different ports stand side by side."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lead_scoring.errors import StackError
from lead_scoring.local.split import Split

__all__ = ["RunFolder", "State", "Variant"]

_ATTEMPTS, _PAUSE_S = 10, 0.05


@dataclass(frozen=True, slots=True)
class Variant:
    """One model version that runs."""

    name: str
    role: str
    version: str
    folder: str
    rest_port: int
    grpc_port: int
    predictor_rest_port: int
    predictor_grpc_port: int


@dataclass(frozen=True, slots=True)
class State:
    """What runs where."""

    host: str
    port: int
    model: str
    pid: int
    started_at: float
    variants: tuple[Variant, ...]
    pids: dict[str, int]

    def variant(self, role: str) -> Variant:
        """Return the variant that is `stable` or `canary`."""
        return next(variant for variant in self.variants if variant.role == role)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of the stack on one port."""

    root: Path

    @property
    def routes(self) -> Path:
        """What Envoy watches; alone in its folder, since every rename there makes Envoy read it."""
        return self.root / "xds" / "routes.json"

    @property
    def bootstrap(self) -> Path:
        """Envoy's own configuration."""
        return self.root / "envoy.json"

    @property
    def admin_address(self) -> Path:
        """Written by Envoy: where its admin interface listens."""
        return self.root / "envoy-admin-address"

    @property
    def logs(self) -> Path:
        """One file per process, and Envoy's access log."""
        return self.root / "logs"

    @property
    def lead(self) -> Path:
        """The request body of the printed curl."""
        return self.root / "lead.json"

    def prepare(self) -> None:
        """Make the folders and forget what an earlier stack left."""
        for folder in (self.routes.parent, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        for stale in (self.admin_address, self.root / "state.json", self.root / "split.json", *self.logs.glob("*.log")):
            stale.unlink(missing_ok=True)

    def save_state(self, state: State) -> None:
        """Write what runs where."""
        self._replace(self.root / "state.json", asdict(state))

    def load_state(self) -> State:
        """Return what runs where.

        Raises:
            StackError: no stack runs on this port.
        """
        if not self.running:
            raise StackError(f"no stack runs on port {self.root.name}; start one with: make run PORT={self.root.name}")
        raw = self._load("state.json")
        return State(**{**raw, "variants": tuple(Variant(**variant) for variant in raw["variants"])})

    def save_split(self, split: Split, version: str, routes: dict[str, Any]) -> None:
        """Write a split and put its routes in force: Envoy sees the whole file or the one before."""
        self._replace(self.root / "split.json", {"version": version, "split": split.as_json()})
        self._replace(self.routes, routes)

    def load_split(self) -> tuple[Split, str]:
        """Return the split that was written last, and its version."""
        raw = self._load("split.json")
        return Split(**raw["split"]), raw["version"]

    @property
    def running(self) -> bool:
        """Whether a runner holds this folder and has said what runs where."""
        try:
            with self._locked("stack.lock", fcntl.LOCK_SH | fcntl.LOCK_NB):
                return False
        except BlockingIOError:
            return (self.root / "state.json").exists()
        except FileNotFoundError:
            return False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for as long as the stack runs; the kernel lets go when the runner ends, however it ends.

        Raises:
            StackError: another runner holds it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with ExitStack() as holding:
            for attempt in range(_ATTEMPTS):
                try:
                    holding.enter_context(self._locked("stack.lock", fcntl.LOCK_EX | fcntl.LOCK_NB))
                    break
                except BlockingIOError as error:
                    if attempt == _ATTEMPTS - 1:
                        raise StackError(f"a stack runs on port {self.root.name} already") from error
                    time.sleep(_PAUSE_S)  # it may be a question of `running`, which takes an instant
            yield

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Let one command change the split at a time; others wait."""
        with self._locked("split.lock", fcntl.LOCK_EX):
            yield

    @contextmanager
    def _locked(self, name: str, how: int) -> Iterator[None]:
        lock = os.open(self.root / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, how)
            yield
        finally:
            os.close(lock)

    def _load(self, name: str) -> Any:
        try:
            return json.loads((self.root / name).read_bytes())
        except (OSError, ValueError) as error:
            raise StackError(f"{self.root / name} can't be read: {error}") from error

    def _replace(self, path: Path, document: dict[str, Any]) -> None:
        workspace = self.root / f"{path.name}.{os.getpid()}.tmp"
        workspace.write_text(json.dumps(document, indent=2) + "\n")
        workspace.replace(path)
