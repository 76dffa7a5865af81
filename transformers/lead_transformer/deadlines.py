"""How long a request may take: the least that its caller, the gateway and we ourselves allow."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ENVOY_HEADER", "Allowance", "envoy_allowance_s"]

ENVOY_HEADER = "x-envoy-expected-rq-timeout-ms"
"""What Envoy tells its upstreams: milliseconds until it gives up on this attempt."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Our own limit, and what is kept back from others' so that the answer still arrives in time; both in seconds."""

    limit_s: float
    margin_s: float

    def seconds(self, *allowed_s: float | None) -> float:
        """Return the seconds that a request may take from now; 0 or less if there is no point in starting.

        Args:
            allowed_s: what caller and gateway allow, None where they say nothing.
        """
        found = self.limit_s
        for allowed in allowed_s:
            if allowed is not None and allowed - self.margin_s < found:
                found = allowed - self.margin_s
        return found


def envoy_allowance_s(value: str | bytes | None) -> float | None:
    """Read Envoy's header; None if it is absent or no positive whole number of at most nine digits."""
    if not value or len(value) > 9 or not (value.isascii() and value.isdigit()):
        return None
    return int(value) / 1000 or None
