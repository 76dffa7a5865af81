# mypy: untyped-calls-exclude="kubernetes"
"""The Kubernetes API server: plain JSON objects in and out, every call with a deadline, nothing retried here.

The official client does credentials, TLS and HTTP; objects stay the dictionaries that the API gives, because most of
them are custom resources. Errors::

    ApiServerError
    ├── Unreachable   no answer in time, or the connection broke
    ├── Expired       410: the resourceVersion is too old, list again
    └── Refused       any other answer than 2xx: 403, 404 (no such object, or its CRD is not installed), 409, 422, 5xx
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import urllib3
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import load_incluster_config, load_kube_config
from kubernetes.utils.keepalive import tcp_keepalive_socket_options
from kubernetes.watch.watch import iter_resp_lines

from lead_controller.names import FIELD_MANAGER

__all__ = [
    "AUTOSCALER",
    "DEPLOYMENT",
    "ENDPOINT_SLICE",
    "EVENT",
    "GRPC_ROUTE",
    "HTTP_ROUTE",
    "INFERENCE_SERVICE",
    "KINDS",
    "LEASE",
    "POLICY",
    "ROLLOUT",
    "ApiServer",
    "ApiServerError",
    "Expired",
    "Kind",
    "Refused",
    "Unreachable",
    "connect",
]

_CONNECT_S = 2.0
_CALL_S = 5.0
_CONNECTIONS = 16  # one a watch, and a few for everything else


class ApiServerError(Exception):
    """The API server did not do what was asked."""


class Unreachable(ApiServerError):
    """No answer in time, or the connection broke."""


class Refused(ApiServerError):
    """An answer other than 2xx."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Expired(ApiServerError):
    """The resourceVersion is too old: list again."""


@dataclass(frozen=True)
class Kind:
    """A namespaced kind of object."""

    api_version: str
    kind: str
    plural: str

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Return the URL path of all objects, of one, or of a subresource of one."""
        prefix = "/apis" if "/" in self.api_version else "/api"
        parts = [prefix, self.api_version, "namespaces", namespace, self.plural, name, subresource]
        return "/".join(part for part in parts if part)


INFERENCE_SERVICE = Kind("serving.kserve.io/v1beta1", "InferenceService", "inferenceservices")
ROLLOUT = Kind("lead-scoring.io/v1alpha1", "ModelRollout", "modelrollouts")
ENDPOINT_SLICE = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
HTTP_ROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
GRPC_ROUTE = Kind("gateway.networking.k8s.io/v1", "GRPCRoute", "grpcroutes")
POLICY = Kind("gateway.envoyproxy.io/v1alpha1", "BackendTrafficPolicy", "backendtrafficpolicies")
AUTOSCALER = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
EVENT = Kind("events.k8s.io/v1", "Event", "events")

KINDS = {
    kind.kind: kind
    for kind in (
        INFERENCE_SERVICE,
        ROLLOUT,
        ENDPOINT_SLICE,
        DEPLOYMENT,
        HTTP_ROUTE,
        GRPC_ROUTE,
        POLICY,
        AUTOSCALER,
        LEASE,
        EVENT,
    )
}


class ApiServer:
    """The objects of one namespace. Safe to use from many threads."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    def list(self, kind: Kind, selectors: Mapping[str, str]) -> tuple[list[dict[str, Any]], str]:
        """Return the objects that the selectors match, and the resourceVersion to watch from."""
        answer = self._call("GET", kind.path(self.namespace), query=dict(selectors))
        # A list leaves apiVersion and kind of its items out.
        items = [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in answer.get("items") or []]
        return items, answer.get("metadata", {}).get("resourceVersion", "")

    def watch(
        self, kind: Kind, selectors: Mapping[str, str], resource_version: str, *, timeout_s: int
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (ADDED, MODIFIED or DELETED, object) until the server ends the watch after `timeout_s`.

        Raises:
            Expired: the resourceVersion is too old.
        """
        query = {
            **selectors,
            "watch": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout_s),
        }
        # Somewhat later than the server ends it, a connection that says nothing is dead.
        response = self._open("GET", kind.path(self.namespace), query=query, timeout=(_CONNECT_S, timeout_s + 5.0))
        try:
            for line in iter_resp_lines(response):
                if not line:
                    continue
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise _error(event["object"].get("code", 0), event["object"].get("message", ""))
                if event["type"] != "BOOKMARK":
                    yield event["type"], event["object"]
        except (urllib3.exceptions.HTTPError, OSError, orjson.JSONDecodeError) as error:
            raise Unreachable(str(error)) from error
        finally:
            response.close()

    def get(self, kind: Kind, name: str, *, timeout_s: float = _CALL_S) -> dict[str, Any]:
        """Return one object."""
        return self._call("GET", kind.path(self.namespace, name), timeout_s=timeout_s)

    def create(self, kind: Kind, body: dict[str, Any], *, timeout_s: float = _CALL_S) -> dict[str, Any]:
        """Create an object; 409 if there is one of its name."""
        query = {"fieldManager": FIELD_MANAGER}
        return self._call("POST", kind.path(self.namespace), query=query, body=body, timeout_s=timeout_s)

    def replace(self, kind: Kind, body: dict[str, Any], *, timeout_s: float = _CALL_S) -> dict[str, Any]:
        """Replace an object; 409 if it is no longer the one of the body's resourceVersion."""
        path = kind.path(self.namespace, body["metadata"]["name"])
        return self._call("PUT", path, query={"fieldManager": FIELD_MANAGER}, body=body, timeout_s=timeout_s)

    def apply(
        self, kind: Kind, body: dict[str, Any], *, subresource: str = "", timeout_s: float = _CALL_S
    ) -> dict[str, Any]:
        """Apply an object server-side: fields of ours become what the body says, whoever changed them."""
        path = kind.path(self.namespace, body["metadata"]["name"], subresource)
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        content = "application/apply-patch+yaml"
        return self._call("PATCH", path, query=query, body=body, content_type=content, timeout_s=timeout_s)

    def merge(self, kind: Kind, name: str, body: dict[str, Any], *, timeout_s: float = _CALL_S) -> dict[str, Any]:
        """Change fields of an object that is nobody else's: a JSON merge patch."""
        path = kind.path(self.namespace, name)
        content = "application/merge-patch+json"
        query = {"fieldManager": FIELD_MANAGER}
        return self._call("PATCH", path, query=query, body=body, content_type=content, timeout_s=timeout_s)

    def delete(self, kind: Kind, name: str, *, uid: str = "", timeout_s: float = _CALL_S) -> None:
        """Delete an object, given a uid only that one; nothing to do if it is gone."""
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            self._call("DELETE", kind.path(self.namespace, name), body=body, timeout_s=timeout_s)
        except Refused as refused:
            if refused.status != 404:
                raise

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: dict[str, Any] | None = None,
        content_type: str = "application/json",
        timeout_s: float = _CALL_S,
    ) -> dict[str, Any]:
        timeout = (min(_CONNECT_S, timeout_s), timeout_s)
        response = self._open(method, path, query=query or {}, body=body, content_type=content_type, timeout=timeout)
        try:
            answer = orjson.loads(response.data)
        except (urllib3.exceptions.HTTPError, OSError, orjson.JSONDecodeError) as error:
            raise Unreachable(str(error)) from error
        return answer if isinstance(answer, dict) else {}

    def _open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        timeout: tuple[float, float],
        body: dict[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> urllib3.HTTPResponse:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        request = self._client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = self._client.call_api(*request, _request_timeout=timeout)
            if not 200 <= answer.status <= 299:
                raise _error(answer.status, _message(answer.read()))
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error
        response: urllib3.HTTPResponse = answer.response
        return response


def _error(status: int, message: str) -> ApiServerError:
    return Expired(message) if status == 410 else Refused(status, message)


def _message(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body[:200].decode(errors="replace").strip()


def connect(namespace: str, *, kubeconfig: Path | None) -> ApiServer:
    """Return the API server that `kubeconfig` names, or without one the cluster that this pod runs in.

    Raises:
        kubernetes.config.ConfigException: neither is to be had.
    """
    configuration = Configuration(connection_pool_maxsize=_CONNECTIONS)
    if kubeconfig is None:
        load_incluster_config(client_configuration=configuration)
    else:
        load_kube_config(config_file=os.fspath(kubeconfig), client_configuration=configuration)
    configuration.retries = False  # the loop and the watches retry: one layer does
    # A peer that vanished is noticed in 20 s.
    configuration.socket_options = tcp_keepalive_socket_options(idle=10, interval=5, count=2)
    client = ApiClient(configuration)
    client.user_agent = FIELD_MANAGER
    return ApiServer(client, namespace)
