"""Where the process stands between its start and its end, as both servers tell it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mlserver.errors import MLServerError

__all__ = ["Lifecycle", "NoSuchModel", "NotServing", "State"]


class State(Enum):
    """The states, in their order."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    """Not ready any more, but requests are still answered: those already on the wire when the end was asked for."""
    CLOSING = "closing"
    """New requests are refused, those that run are finished."""


class NotServing(MLServerError):
    """The model has not proven itself yet, or the server is about to end (503 / UNAVAILABLE)."""

    def __init__(self, state: State) -> None:
        super().__init__(f"this server is {state.value}; ask another, or come back later", status_code=503)


class NoSuchModel(MLServerError):
    """Another model or version than the one in here (404 / NOT_FOUND)."""

    def __init__(self, name: str, version: str) -> None:
        super().__init__(f"no such model: this server has {name}, version {version}, and no other", status_code=404)


@dataclass
class Lifecycle:
    """One model version from start to end."""

    name: str
    version: str
    state: State = State.STARTING

    @property
    def ready(self) -> bool:
        """Whether new requests should come here."""
        return self.state is State.READY

    def check_model(self, name: str, version: str | None) -> None:
        """Raise `NoSuchModel` for any other model than ours; an empty version is ours."""
        if name != self.name or (version or self.version) != self.version:
            raise NoSuchModel(self.name, self.version)

    def check_serving(self) -> None:
        """Raise `NotServing` before the model is ready and when the doors close."""
        if self.state in (State.STARTING, State.CLOSING):
            raise NotServing(self.state)
