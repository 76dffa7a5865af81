"""How traffic is divided: what `shift`, `shadow` and `rollback` change and nothing else."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from lead_scoring.errors import StackError

__all__ = ["Split"]


@dataclass(frozen=True, slots=True)
class Split:
    """Shares of the traffic in whole percent.

    Raises:
        StackError: a percentage outside [0, 100], or a shadow beside a canary that has traffic: it would get copies of
            its own requests and could not tell them from real ones.
    """

    stable: str
    canary: str
    canary_percent: int = 0
    shadow_percent: int = 0

    def __post_init__(self) -> None:
        for name, percent in (("CANARY", self.canary_percent), ("PERCENT", self.shadow_percent)):
            if not 0 <= percent <= 100:
                raise StackError(f"{name}: expected a whole number from 0 to 100, got {percent}")
        if self.canary_percent and self.shadow_percent:
            raise StackError(
                f"{self.canary} has {self.canary_percent} % of the traffic, and a shadow has none; roll back first"
            )

    @property
    def shares(self) -> dict[str, int]:
        """Percent by variant, stable first, as `core.hashing.variant_of` takes them; none without traffic."""
        shares = {self.stable: 100 - self.canary_percent, self.canary: self.canary_percent}
        return {variant: share for variant, share in shares.items() if share}

    @property
    def words(self) -> str:
        """The shares as the pods are told in `x-lead-split`: ``v1=60,v2=40``."""
        return ",".join(f"{variant}={share}" for variant, share in self.shares.items())

    def shifted(self, canary_percent: int) -> Split:
        """Give the canary a share of the traffic; a shadow ends."""
        return replace(self, canary_percent=canary_percent, shadow_percent=0)

    def shadowed(self, shadow_percent: int) -> Split:
        """Send the canary copies of a share of the requests."""
        return replace(self, shadow_percent=shadow_percent)

    def rolled_back(self) -> Split:
        """Give everything to the stable variant."""
        return replace(self, canary_percent=0, shadow_percent=0)

    def as_json(self) -> dict[str, Any]:
        """Return what `Split(**…)` takes."""
        return asdict(self)

    def __str__(self) -> str:
        shadow = f", {self.shadow_percent} % copied to {self.canary}" if self.shadow_percent else ""
        return " ".join(f"{variant}={share} %" for variant, share in self.shares.items()) + shadow
