"""Where the process stands between its start and its end, as all its doors tell it."""

from __future__ import annotations

from dataclasses import dataclass

from lead_scoring.errors import NotReady

__all__ = ["Lifecycle"]


@dataclass(slots=True)
class Lifecycle:
    """Three facts; being ready is all of them.

    Attributes:
        verified: the golden leads scored right, the last time that there was an answer. Nothing is served otherwise.
        healthy: the predictor answers the deep checks.
        draining: the end has begun: what comes is answered, but no more should come.
    """

    verified: bool = False
    healthy: bool = False
    draining: bool = False

    @property
    def ready(self) -> bool:
        """Whether new requests should come here."""
        return self.verified and self.healthy and not self.draining

    def check_serving(self) -> None:
        """Refuse to answer what can't be answered right.

        Raises:
            NotReady: the golden leads have not scored right.
        """
        if not self.verified:
            raise NotReady("the model is not ready yet; come back later")
