"""Plans made true: the writes of a plan, in its order, each only while this replica leads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from lead_controller.apiserver import (
    GRPC_ROUTE,
    HTTP_ROUTE,
    KINDS,
    POLICY,
    ROLLOUT,
    ApiServer,
    Kind,
    Refused,
)
from lead_controller.election import Election
from lead_controller.model import Json, Plan, Reference, Strip

__all__ = ["Applied", "Deposed", "Writer"]

_log = logging.getLogger(__name__)

_CALL_S = 5.0
_ROUTES = (HTTP_ROUTE, GRPC_ROUTE)


class Deposed(Exception):
    """Another replica leads, or nobody does: nothing further may be written."""


@dataclass
class Applied:
    """What became of a plan."""

    writes: list[Reference] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """What was refused, and why; the rest was written nevertheless."""
    held: bool = False
    """Whether a route or its policy was refused: then the shares are not what was planned."""


class Writer:
    """Writes plans to the API server."""

    def __init__(self, server: ApiServer, election: Election, *, written: Callable[[Kind, Json], None]) -> None:
        """`written` is told every object that a write answered with."""
        self._server = server
        self._election = election
        self._written = written

    def write(self, plan: Plan) -> Applied:
        """Create, strip, apply, delete, then write the status.

        A refused write doesn't hold up the others, with one exception: routes and their policy go in the plan's order,
        so that a split never runs without its sticky hash. After a refused policy no route is written, after a refused
        route no policy.

        Raises:
            Deposed: another replica leads; some of the plan may be written.
            Unreachable: the API server doesn't answer; likewise.
        """
        applied = Applied()
        refused: set[Kind] = set()
        for body in plan.create:
            self._attempt(applied, Reference.of(body), "create", partial(self._create, body))
        for strip in plan.strip:
            self._attempt(applied, strip.about, "strip", partial(self._strip, strip))
        for body in plan.apply:
            kind = KINDS[body["kind"]]
            if (kind in _ROUTES and POLICY in refused) or (kind == POLICY and refused.intersection(_ROUTES)):
                applied.errors.append(f"{kind.kind} held back")
            elif not self._attempt(applied, Reference.of(body), "apply", partial(self._apply, kind, body)):
                refused.add(kind)
        applied.held = not refused.isdisjoint((*_ROUTES, POLICY))
        for reference in plan.delete:
            self._attempt(applied, reference, "delete", partial(self._delete, reference))
        return applied

    def write_status(self, rollout: Json, status: Json) -> None:
        """Make `status` the whole status of the ModelRollout, but only of the one that was planned for.

        Raises:
            Deposed, Unreachable, Refused: it was not written.
        """
        identity = {key: rollout["metadata"][key] for key in ("name", "namespace", "uid")}
        body = {"apiVersion": ROLLOUT.api_version, "kind": ROLLOUT.kind, "metadata": identity, "status": status}
        self._written(ROLLOUT, self._server.apply(ROLLOUT, body, subresource="status", timeout_s=self.timeout_s()))

    def timeout_s(self) -> float:
        """Return how long the next write may take.

        Raises:
            Deposed: not at all.
        """
        remaining_s = self._election.remaining_s()
        if remaining_s < 0.05:
            raise Deposed
        return min(_CALL_S, remaining_s)

    def _attempt(self, applied: Applied, about: Reference, verb: str, write: Callable[[float], None]) -> bool:
        fields = {"kind": about.kind, "name": about.name}
        try:
            write(self.timeout_s())
        except Refused as refused:
            _log.warning("%s refused", verb, extra={"fields": {**fields, "error": str(refused)}})
            applied.errors.append(f"{verb} {about.kind} {about.name}: {refused}")
            return False
        _log.info(verb, extra={"fields": fields})
        applied.writes.append(about)
        return True

    def _create(self, body: Json, timeout_s: float) -> None:
        kind = KINDS[body["kind"]]
        try:
            self._written(kind, self._server.create(kind, body, timeout_s=timeout_s))
        except Refused as refused:
            if refused.status != 409:  # it exists: that is what was wanted
                raise

    def _strip(self, strip: Strip, timeout_s: float) -> None:
        kind = KINDS[strip.about.kind]
        self._written(kind, self._server.merge(kind, strip.about.name, strip.merge_patch, timeout_s=timeout_s))

    def _apply(self, kind: Kind, body: Json, timeout_s: float) -> None:
        self._written(kind, self._server.apply(kind, body, timeout_s=timeout_s))

    def _delete(self, reference: Reference, timeout_s: float) -> None:
        self._server.delete(KINDS[reference.kind], reference.name, uid=reference.uid, timeout_s=timeout_s)
