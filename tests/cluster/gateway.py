"""The release as its clients meet it: through the cluster's gateway, by host name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from bench.connections import Response, build_request
from bench.generator import Shot, run_closed
from lead_scoring.contract.types import Contract
from tests.cluster.questions import MODEL, ask_about
from tests.end_to_end.doors import Doors
from tests.end_to_end.payloads import generated

__all__ = ["Gateway", "header_of"]

VARIANT = "x-lead-variant"
KEY = "x-lead-key"
INFER = f"/v2/models/{MODEL}/infer"


@dataclass(frozen=True)
class Gateway:
    """Where to send requests, and under which names."""

    url: str
    rest_host: str
    grpc_host: str

    @property
    def host(self) -> str:
        """Return the gateway's address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Return its port."""
        return urlsplit(self.url).port or 80

    @property
    def target(self) -> str:
        """Return address and port, as gRPC wants them."""
        return f"{self.host}:{self.port}"

    def doors(self, contract: Contract) -> Doors:
        """Open every way into the service."""
        return Doors(self.url, self.target, contract, rest_host=self.rest_host, grpc_host=self.grpc_host)

    def request(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
        """Return the bytes of a POST."""
        return build_request(path, body, dict(headers or {}), host=self.rest_host)

    def variants(self, requests: Mapping[str, bytes], *, connections: int = 16) -> dict[str, str]:
        """Send every request once; return the variant that answered by the request's key.

        Raises:
            AssertionError: one was not answered with 200.
        """
        seen: dict[str, str] = {}

        def note(key: str) -> Callable[[Response], str | None]:
            def check(response: Response) -> str | None:
                seen[key] = header_of(response, VARIANT)
                return None if response.status == 200 else f"{key}: {response.status} {response.body[:300]!r}"

            return check

        shots = [Shot(request, note(key)) for key, request in requests.items()]
        outcome = asyncio.run(run_closed(self.host, self.port, shots, connections=connections, requests=len(shots)))
        assert not outcome.wrong, outcome.wrong[:5]
        return seen

    def asked(self, keys: Sequence[str]) -> dict[str, str]:
        """Let one lead be scored once per key; return the answering variants by key."""
        return self.variants(self.inferences(keys))

    def inferences(self, keys: Sequence[str], headers: Mapping[str, str] | None = None) -> dict[str, bytes]:
        """Return a request for one and the same lead by key; an empty key isn't sent."""
        return {key: self.request(INFER, _body(), {**(headers or {}), **({KEY: key} if key else {})}) for key in keys}

    def until_variants(
        self, requests: Mapping[str, bytes], so: Callable[[dict[str, str]], Any], what: str, *, within_s: float = 60
    ) -> float:
        """Ask until the answering variants are as wanted twice in a row (each of Envoy's threads has its own routes).

        Refusals count as not yet. Returns the seconds until then.
        """
        begin = time.monotonic()
        streak, found = 0, {}
        while True:
            try:
                found = self.variants(requests)
                streak = streak + 1 if so(found) else 0
            except AssertionError as refused:
                streak, found = 0, {"refused": str(refused)}
            took = time.monotonic() - begin
            if streak == 2:
                return took
            assert took < within_s, f"not within {within_s:g} s: {what}: {found}"
            time.sleep(0.02)

    def until_asked(
        self, keys: Sequence[str], so: Callable[[dict[str, str]], Any], what: str, *, within_s: float = 60
    ) -> float:
        """Ask with keys until the answering variants are as wanted; see `until_variants`."""
        return self.until_variants(self.inferences(keys), so, what, within_s=within_s)


@cache
def _body() -> bytes:
    return ask_about(generated(1, seed=1), {})[0].body


def header_of(response: Response, name: str) -> str:
    """Return a header of an answer, empty if it isn't there."""
    mark = response.head.find(f"\r\n{name}:".encode())
    if mark < 0:
        return ""
    begin = mark + len(name) + 3
    end = response.head.find(b"\r\n", begin)
    return response.head[begin : end if end >= 0 else None].decode().strip()
