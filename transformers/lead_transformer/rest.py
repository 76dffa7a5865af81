"""The REST door: scoring and metadata, a few harmless paths of the SDK's own application, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import orjson

from lead_scoring.contract.types import Contract
from lead_scoring.errors import NotReady, RequestError
from lead_transformer import content_encoding, error_bodies, metadata, request_ids, v1_json, v2_json
from lead_transformer.calls import VARIANT_HEADER, Call, Calls
from lead_transformer.lifecycle import Lifecycle
from lead_transformer.messages import Answer, ScoreRequest
from lead_transformer.service import Service
from lead_transformer.silence import Silence

__all__ = ["BodyLimits", "RestApp"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = dict[bytes, bytes]

_JSON = "application/json"
_V2_TYPES = frozenset((_JSON, "application/octet-stream", "application/vnd.sagemaker-triton.binary+json"))
_V1_TYPES = frozenset((_JSON,))


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """`bytes`, before and after decompression; `receive_s`, the time that a body may take to arrive."""

    bytes: int
    receive_s: float


@dataclass(frozen=True, slots=True)
class _Dialect:
    """What differs between V2 and V1."""

    protocol: str
    media_types: frozenset[str]
    decode: Callable[[bytes, Mapping[str, str]], ScoreRequest]
    encode: Callable[[ScoreRequest, Answer], tuple[bytes, list[tuple[str, str]]]]


_V2 = _Dialect("v2-rest", _V2_TYPES, v2_json.decode, v2_json.encode)
_V1 = _Dialect(
    "v1",
    _V1_TYPES,
    lambda body, _headers: v1_json.decode(body),
    lambda request, answer: (v1_json.encode(request, answer), [("content-type", _JSON)]),
)


class RestApp:
    """An ASGI application. Paths are compared as they were sent: a path that needs decoding is none of ours."""

    def __init__(
        self,
        service: Service,
        calls: Calls,
        lifecycle: Lifecycle,
        silence: Silence,
        sdk_app: Any,
        *,
        limits: BodyLimits,
        max_leads: int,
        variant: str,
        software_version: str,
    ) -> None:
        """Lay out the paths.

        Args:
            service: answers requests.
            calls: begins and ends them.
            lifecycle: tells readiness.
            silence: tells whether the model server answers anything.
            sdk_app: the SDK's ASGI application, for liveness, readiness, the model list and metrics.
            limits: of bodies.
            max_leads: for the metadata.
            variant: for the response header.
            software_version: for the metadata.
        """
        self._service = service
        self._calls = calls
        self._lifecycle = lifecycle
        self._silence = silence
        self._sdk_app = sdk_app
        self._limits = limits
        self._variant = (VARIANT_HEADER.encode(), variant.encode())
        self._routes = self._lay_out(service.contract, max_leads, software_version)

    def _lay_out(self, contract: Contract, max_leads: int, software_version: str) -> dict[bytes, tuple[str, Handler]]:
        name, version = contract.model.name, contract.model.version
        described = metadata.model(contract)
        described["parameters"]["max_leads"] = max_leads
        model, server = orjson.dumps(described), orjson.dumps(metadata.server(version=software_version))
        routes: dict[str, tuple[str, Handler]] = {
            "/": ("GET", self._sdk_app),
            "/health/predictor": ("GET", self._predictor_live),
            "/metrics": ("GET", self._sdk_app),
            "/v1/models": ("GET", self._sdk_app),
            f"/v1/models/{name}": ("GET", self._when_ready),
            f"/v1/models/{name}:predict": ("POST", self._scoring(_V1)),
            "/v2": ("GET", self._document(server)),
            "/v2/health/live": ("GET", self._sdk_app),
            "/v2/health/ready": ("GET", self._when_ready),
            "/v2/models": ("GET", self._sdk_app),
        }
        for root in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{version}"):
            routes[root] = ("GET", self._document(model))
            routes[f"{root}/ready"] = ("GET", self._model_ready)
            routes[f"{root}/infer"] = ("POST", self._scoring(_V2))
        return {path.encode(): route for path, route in routes.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        found = self._routes.get(scope["raw_path"])
        if found is None:
            await self._refuse(scope, send, self._unknown(), [])
            return
        method, handler = found
        if scope["method"] != method:
            error = RequestError(f"this path: expected {method}, got another method", status=405, reason="wrong_method")
            await self._refuse(scope, send, error, [(b"allow", method.encode())])
            return
        await handler(scope, receive, send)

    def _unknown(self) -> RequestError:
        model = self._service.contract.model
        return RequestError(
            f"not found: this server has the model {model.name!r}, version {model.version!r}, "
            "with its metadata, ready and infer, and health; correct the path",
            status=404,
            reason="unknown_path",
        )

    async def _refuse(self, scope: Scope, send: Send, error: RequestError, more: list[tuple[bytes, bytes]]) -> None:
        """Answer what is no call at all."""
        given = dict(scope["headers"]).get(request_ids.HEADER.encode())
        request_id = request_ids.choose(None if given is None else given.decode("latin-1"))
        self._calls.metrics.rejections[error.reason] += 1
        status, headers, body = error_bodies.to_http(error, request_id)
        await self._respond(send, status, headers, body, request_id, more)

    def _document(self, body: bytes) -> Handler:
        async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
            await self._respond(send, 200, [("content-type", _JSON)], body, None)

        return answer

    async def _when_ready(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the SDK say that all is well; say ourselves, without an error in the log, that it is not (yet)."""
        if self._lifecycle.ready:
            await self._sdk_app(scope, receive, send)
        else:
            status, headers, body = error_bodies.to_http(
                NotReady("not ready; come back later"), request_ids.choose(None)
            )
            await self._respond(send, status, headers, body, None)

    async def _model_ready(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        ready = self._lifecycle.ready
        body = orjson.dumps({"name": self._service.contract.model.name, "ready": ready})
        await self._respond(send, 200 if ready else 503, [("content-type", _JSON)], body, None)

    async def _predictor_live(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Say whether the model server should go on or be started anew: its liveness, as only its caller can tell."""
        silent, live = round(self._silence.seconds, 3), not self._silence.is_over_limit
        body = orjson.dumps({"live": live, "silent_s": silent})
        await self._respond(send, 200 if live else 503, [("content-type", _JSON)], body, None)

    def _scoring(self, dialect: _Dialect) -> Handler:
        async def score(scope: Scope, receive: Receive, send: Send) -> None:
            headers: Headers = dict(scope["headers"])

            def header(name: str) -> str | None:
                value = headers.get(name.encode())
                return None if value is None else value.decode("latin-1")

            call = self._calls.begin(dialect.protocol, header, began=time.perf_counter())
            try:
                status, response_headers, body, error = await self._score(dialect, call, header, receive)
                await self._respond(send, status, response_headers, body, call.request_id)
            except asyncio.CancelledError:
                self._calls.end_cancelled(
                    call
                )  # nobody is there any more: there is nothing to return and no one to tell
            else:
                self._calls.end(call, str(status), failed=status >= 500, error=error)

        return score

    async def _score(
        self, dialect: _Dialect, call: Call, header: Callable[[str], str | None], receive: Receive
    ) -> tuple[int, list[tuple[str, str]], bytes, str | None]:
        unread = True
        try:
            _check_media_type(header("content-type"), dialect.media_types)
            self._service.check(call)
            body = await self._read(header, receive)
            unread = False
            binary_header = header(v2_json.HEADER_LENGTH)
            told = {} if binary_header is None else {v2_json.HEADER_LENGTH: binary_header}
            request, answer = await self._service.score(call, lambda: dialect.decode(body, told))
            began = time.perf_counter()
            encoded, headers = dialect.encode(request, answer)
            call.stages.append(time.perf_counter() - began)
        except Exception as error:
            word = self._calls.note(error, call)
            status, headers, encoded = error_bodies.to_http(error, call.request_id)
            if status == 408 or (unread and header("expect") is not None):
                # What comes next on this connection might be the body or, where it waits to be asked for, might not.
                headers.append(("connection", "close"))
            return status, headers, encoded, word
        return 200, headers, encoded, None

    async def _read(self, header: Callable[[str], str | None], receive: Receive) -> bytes:
        """Return the whole body, decompressed.

        Raises:
            RequestError: 413 for a body that is, or says it is, too large; 408 for one that takes too long.
        """
        limit = self._limits.bytes
        length = header("content-length")
        if length is not None and (not length.isdecimal() or int(length) > limit):
            raise _too_large(limit)
        try:
            async with asyncio.timeout(self._limits.receive_s):
                message = await receive()
                body: bytes = message.get("body", b"")
                if message.get("more_body", False):
                    body = await _read_rest(body, receive, limit)
        except TimeoutError:
            raise RequestError(
                f"the body: expected within {self._limits.receive_s:g} s; send it faster",
                status=408,
                reason="slow_request",
            ) from None
        if len(body) > limit:
            raise _too_large(limit)
        encoding = header("content-encoding")
        return body if encoding is None else content_encoding.decompress(body, encoding, limit=limit)

    async def _respond(
        self,
        send: Send,
        status: int,
        headers: list[tuple[str, str]],
        body: bytes,
        request_id: str | None,
        more: list[tuple[bytes, bytes]] | None = None,
    ) -> None:
        told = [(name.encode(), value.encode()) for name, value in headers]
        told.append((b"content-length", str(len(body)).encode()))
        told.append(self._variant)
        if request_id is not None:
            told.append((b"x-request-id", request_id.encode()))
        if more:
            told += more
        if self._lifecycle.draining:
            told.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": told})
        await send({"type": "http.response.body", "body": body})


async def _read_rest(first: bytes, receive: Receive, limit: int) -> bytes:
    chunks, size = [first], len(first)
    while size <= limit:
        message = await receive()
        chunk = message.get("body", b"")
        chunks.append(chunk)
        size += len(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
    raise _too_large(limit)


def _check_media_type(given: str | None, accepted: frozenset[str]) -> None:
    if given is None or given in accepted:
        return
    if given.partition(";")[0].strip().lower() not in accepted:
        raise RequestError(
            f"Content-Type: expected {' or '.join(sorted(accepted))}, got another; correct it",
            status=415,
            reason="wrong_media_type",
        )


def _too_large(limit: int) -> RequestError:
    return RequestError(
        f"the body: expected at most {limit} bytes, got more; send fewer leads at a time",
        status=413,
        reason="body_too_large",
    )
