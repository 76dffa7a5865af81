"""What the controller sees: a copy of each kind of object that it reads, kept true by list and watch.

Every copy lists, watches for about half a minute, and lists again. So nothing missed stays missed, whatever a watch
lost, and an expired resourceVersion needs no treatment of its own. The client's own informer has no deadlines and
reconnects without a pause, hence this one.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from lead_controller.apiserver import (
    AUTOSCALER,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    GRPC_ROUTE,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    POLICY,
    ROLLOUT,
    ApiServer,
    ApiServerError,
    Expired,
    Kind,
    Refused,
)
from lead_controller.backoff import Backoff
from lead_controller.model import Json
from lead_controller.names import MANAGED_BY, PART_OF, labels

__all__ = ["Cache", "Scope", "Watches", "scopes"]

_log = logging.getLogger(__name__)

_RETRY_FIRST_S = 0.2
_RETRY_MOST_S = 10.0


class Cache:
    """The objects of one kind that the selectors match, by name. Safe to use from many threads.

    Only a newer state replaces an older one, so a copy can be told at once what a write answered, and a watch that lags
    behind does not undo it.
    """

    def __init__(self, kind: Kind, selectors: Mapping[str, str], changed: Callable[[], None]) -> None:
        """Start empty; `changed` is called, from any thread, whenever an object is new, different or gone."""
        self.kind = kind
        self.selectors = selectors
        self.synced = False
        self.problem = ""
        self._changed = changed
        self._lock = threading.Lock()
        self._objects: dict[str, Json] = {}

    def objects(self) -> list[Json]:
        """Return the objects by name; they are shared: nobody changes them."""
        with self._lock:
            return [self._objects[name] for name in sorted(self._objects)]

    def get(self, name: str) -> Json | None:
        """Return an object, or None."""
        with self._lock:
            return self._objects.get(name)

    def replace(self, objects: list[Json], resource_version: str) -> None:
        """Take a whole list of that resourceVersion; what was written since it was made stays."""
        listed = {item["metadata"]["name"]: item for item in objects}
        as_of = int(resource_version or 0)
        with self._lock:
            before = self._objects
            since = {name: item for name, item in before.items() if _version(item) > as_of}
            self._objects = {**listed, **since}
            different = _versions(before) != _versions(self._objects)
            first, self.synced = not self.synced, True
        if first or different:
            self._changed()

    def put(self, item: Json) -> None:
        """Take an object unless a newer one is known."""
        name = item["metadata"]["name"]
        with self._lock:
            known = self._objects.get(name)
            if known is not None and _version(known) >= _version(item):
                return
            self._objects[name] = item
        self._changed()

    def remove(self, item: Json) -> None:
        """Forget an object, unless a newer one of its name has come since."""
        name = item["metadata"]["name"]
        with self._lock:
            known = self._objects.get(name)
            if known is None or _version(known) > _version(item):
                return
            del self._objects[name]
        self._changed()


def _versions(objects: Mapping[str, Json]) -> dict[str, int]:
    return {name: _version(item) for name, item in objects.items()}


def _version(item: Json) -> int:
    # Opaque for long, comparable as a number since Kubernetes 1.35, and in fact always.
    return int(item["metadata"].get("resourceVersion") or 0)


@dataclass(frozen=True)
class Scope:
    """A kind, and which of its objects."""

    kind: Kind
    selector: Literal["fieldSelector", "labelSelector"]
    value: str


def scopes(inference_service: str) -> list[Scope]:
    """Return what the planner reads."""
    name = f"metadata.name={inference_service}"
    served = f"serving.kserve.io/inferenceservice={inference_service}"  # KServe's Services hand it to their slices
    ours = ",".join(f"{label}={labels(inference_service)[label]}" for label in (MANAGED_BY, PART_OF))
    return [
        Scope(INFERENCE_SERVICE, "fieldSelector", name),
        Scope(ROLLOUT, "fieldSelector", name),
        Scope(ENDPOINT_SLICE, "labelSelector", served),
        Scope(DEPLOYMENT, "labelSelector", served),
        Scope(HTTP_ROUTE, "labelSelector", ours),
        Scope(GRPC_ROUTE, "labelSelector", ours),
        Scope(POLICY, "labelSelector", ours),
        Scope(AUTOSCALER, "labelSelector", ours),
    ]


class Watches:
    """A cache and a thread for each scope."""

    def __init__(
        self, server: ApiServer, scopes: Iterable[Scope], *, watch_s: float, failed: Callable[[Kind], None]
    ) -> None:
        """See nothing yet.

        `watch_s`: everything is listed again at least so often, in seconds. `failed` is told of each failure, from any
        thread.
        """
        self.changed = threading.Event()
        """Set whenever an object is new, different or gone."""
        self._server = server
        self._watch_s = watch_s
        self._failed = failed
        self.caches = {
            scope.kind: Cache(scope.kind, {scope.selector: scope.value}, self.changed.set) for scope in scopes
        }

    @property
    def synced(self) -> bool:
        """Whether every kind has been listed once: before that, nothing may be concluded from what is missing."""
        return all(cache.synced for cache in self.caches.values())

    def missing(self) -> str:
        """Return what has not been seen yet and why, or an empty text."""
        unseen = [cache for cache in self.caches.values() if not cache.synced]
        return "; ".join(f"{cache.kind.kind}: {cache.problem or 'not listed yet'}" for cache in unseen)

    def put(self, kind: Kind, item: Json) -> None:
        """Take an object that a write answered with, ahead of its watch."""
        self.caches[kind].put(item)

    def start(self) -> None:
        """Start a thread for each kind; they end with the process."""
        for cache in self.caches.values():
            threading.Thread(target=self._run, args=(cache,), name=f"watch-{cache.kind.plural}", daemon=True).start()

    def _run(self, cache: Cache) -> None:
        backoff = Backoff(first_s=_RETRY_FIRST_S, most_s=_RETRY_MOST_S)
        while True:
            started = time.monotonic()
            try:
                self._follow(cache)
            except Expired:
                _log.info("watch expired: listing again", extra={"fields": {"kind": cache.kind.kind}})
            except ApiServerError as error:
                self._report(cache, error)
            except Exception:
                _log.exception("watch failed", extra={"fields": {"kind": cache.kind.kind}})
                cache.problem = "an error of the controller: see its log"
            if time.monotonic() - started >= 1.0 and not cache.problem:
                backoff.succeeded()
            else:  # also for a server that ends watches at once
                time.sleep(backoff.failed())

    def _follow(self, cache: Cache) -> None:
        """List, then watch until the server ends it."""
        timeout_s = max(1, round(self._watch_s * random.uniform(0.8, 1.0)))  # noqa: S311  # nosec B311
        objects, resource_version = self._server.list(cache.kind, cache.selectors)
        cache.replace(objects, resource_version)
        if cache.problem:
            _log.info("seen again", extra={"fields": {"kind": cache.kind.kind}})
            cache.problem = ""
        events = self._server.watch(cache.kind, cache.selectors, resource_version, timeout_s=timeout_s)
        for change, item in events:
            if change == "DELETED":
                cache.remove(item)
            else:
                cache.put(item)

    def _report(self, cache: Cache, error: ApiServerError) -> None:
        self._failed(cache.kind)
        problem = str(error)
        if isinstance(error, Refused) and error.status == 404:
            problem = f"the API server does not know {cache.kind.api_version} {cache.kind.kind}: is its CRD installed?"
        if isinstance(error, Refused) and error.status == 403:
            problem = f"may not list or watch {cache.kind.plural}: {error}"
        if problem != cache.problem:  # once, not at every attempt
            _log.warning("can't see a kind of object", extra={"fields": {"kind": cache.kind.kind, "problem": problem}})
        cache.problem = problem
