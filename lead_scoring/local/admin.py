"""Envoy's admin interface: which routes are in force, which pods it holds healthy, draining."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

from lead_scoring.errors import StackError

__all__ = ["Admin", "is_ready"]

_TIMEOUT_S = 2.0


class Admin:
    """A client of the admin interface whose address Envoy wrote to a file."""

    def __init__(self, address_file: Path) -> None:
        self._address_file = address_file

    def routes_version(self) -> str:
        """Return the version of the routes that Envoy took over last; empty before the first."""
        stats = self._get("/stats?filter=rds.*version_text&type=TextReadouts&format=json")
        values = [
            stat["value"] for stat in json.loads(stats)["stats"] if stat.get("name", "").endswith(".version_text")
        ]
        return str(values[0]) if values else ""

    def rejected_routes(self) -> int:
        """Return how many route files Envoy has refused so far, for their form or for what they say."""
        return self._counter("rds.*update_(failure|rejected)", ("update_failure", "update_rejected"))

    def active_requests(self) -> int:
        """Return how many requests of clients are being answered."""
        return self._counter("^http.ingress.downstream_rq_active$", ("downstream_rq_active",))

    def healthy_clusters(self) -> set[str]:
        """Return the names of the clusters whose every endpoint passed its last health checks."""
        found = set()
        for cluster in json.loads(self._get("/clusters?format=json")).get("cluster_statuses", []):
            hosts = cluster.get("host_statuses", [])
            if hosts and all(_is_healthy(host["health_status"]) for host in hosts):
                found.add(cluster["name"])
        return found

    def drain(self) -> None:
        """Tell clients to take their next request elsewhere, then close the listener."""
        self._request("POST", "/drain_listeners?graceful")

    def _counter(self, pattern: str, endings: tuple[str, ...]) -> int:
        stats = json.loads(self._get(f"/stats?filter={pattern}&format=json"))["stats"]
        return sum(int(stat["value"]) for stat in stats if stat.get("name", "").endswith(endings))

    def _get(self, path: str) -> bytes:
        return self._request("GET", path)

    def _request(self, method: str, path: str) -> bytes:
        try:
            host, _, port = self._address_file.read_text().strip().rpartition(":")
            connection = http.client.HTTPConnection(host, int(port), timeout=_TIMEOUT_S)
            try:
                connection.request(method, path)
                answer = connection.getresponse()
                body = answer.read()
            finally:
                connection.close()
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise StackError(f"Envoy's admin interface does not answer: {error}") from error
        if answer.status != http.client.OK:
            raise StackError(f"Envoy's admin interface refused {method} {path}: {answer.status}")
        return body


def is_ready(host: str, port: int, *, path: str = "/v2/health/ready", timeout_s: float = _TIMEOUT_S) -> bool:
    """Return whether a server says over REST that it is ready; one that can't be reached is not."""
    try:
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return False
    return answer.status == http.client.OK


def _is_healthy(status: dict[str, Any]) -> bool:
    flags = {key: value for key, value in status.items() if key != "eds_health_status"}
    return not any(flags.values())
