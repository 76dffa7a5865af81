"""Nothing but inference, metadata and health is reachable through Envoy: no loading, no unloading, nothing internal."""

from __future__ import annotations

import http.client
import json
import urllib.request
from typing import Any

import grpc
import orjson
import pytest

from lead_scoring.contract.types import Contract
from tests.end_to_end import payloads
from tests.end_to_end.conftest import MARK
from tests.end_to_end.doors import Doors
from tests.support.stack import Stack

JSON = {"content-type": "application/json"}
MODEL = "lead-scoring"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE"]

REPOSITORY = [
    "/v2/repository/index",
    f"/v2/repository/models/{MODEL}/load",
    f"/v2/repository/models/{MODEL}/unload",
    f"//v2//repository///models/{MODEL}/unload",
    f"/v2/./repository/models/{MODEL}/unload",
    f"/v2/models/../repository/models/{MODEL}/unload",
    f"/v2/models/{MODEL}/infer/../../../repository/models/{MODEL}/unload",
    f"/v2/models/%2e%2e/repository/models/{MODEL}/unload",
    f"/v2/models/%2E%2E%2Frepository/models/{MODEL}/unload",
    f"/v2%2frepository%2fmodels%2f{MODEL}%2funload",
    f"/v2%5crepository%5cmodels%5c{MODEL}%5cunload",
    f"/v2\\repository\\models\\{MODEL}\\unload",
    f"/%76%32/repository/models/{MODEL}/unload",
    f"/v2/%72epository/models/{MODEL}/unload",
    f"/V2/Repository/models/{MODEL}/unload",
    f"/v2/repository/models/{MODEL}/unload/",
    f"/v2/repository/models/{MODEL}/unload?x=/v2/models/{MODEL}/infer",
    f"/v2/repository/models/{MODEL}/unload;/v2/models/{MODEL}/infer",
    f"/v2/repository/models/{MODEL}/unload#/v2/models/{MODEL}/infer",
    f"http://other/v2/repository/models/{MODEL}/unload",
]
INTERNAL = [
    "/", "/metrics", "/metrics/", "/docs", "/redoc", "/openapi.json", "/v2/docs", f"/v2/models/{MODEL}/docs",
    "/v2/docs/dataplane/openapi.json", "/v2/models", "/v2/health", "/healthz", "/ready", "/stats", "/config_dump",
    "/clusters", "/server_info", "/quitquitquit", "/drain_listeners", "/debug", "/favicon.ico",
    f"/v2/models/{MODEL}/stats", f"/v2/models/{MODEL}/config", f"/v2/models/{MODEL}/trace/setting", "/v2/logging",
    "/v2/cudasharedmemory/status", f"/v2/models/{MODEL}/explain", f"/v1/models/{MODEL}:explain",
    f"/v2/models/{MODEL}/generate", "/openai/v1/models",
]  # fmt: skip
UNKNOWN = [
    f"/v2/models/{MARK}", f"/v2/models/{MARK}/ready", f"/v2/models/{MARK}/infer", f"/v1/models/{MARK}",
    f"/v1/models/{MARK}:predict", f"/v2/models/{MODEL}/versions/1", f"/v2/models/{MODEL}/versions/9/infer",
    f"/v2/models/{MODEL}/infer/", f"/v2/models/{MODEL} /infer", f"/v2/models/{MODEL}/Infer",
]  # fmt: skip


def ask(stack: Stack, method: str, path: str, body: bytes = b"{}") -> tuple[int, dict[str, str], bytes]:
    """Send a request line as it stands: other clients would tidy it up."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in {**JSON, "content-length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@pytest.fixture(autouse=True)
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let http.client send what it thinks is no path."""
    monkeypatch.setattr(http.client.HTTPConnection, "_validate_path", lambda *_: None)
    monkeypatch.setattr(http.client.HTTPConnection, "_encode_request", lambda _, request: request.encode("latin-1"))


@pytest.mark.parametrize("path", [*REPOSITORY, *INTERNAL, *UNKNOWN])
def test_what_is_not_offered_is_refused_by_any_method(stack: Stack, path: str) -> None:
    for method in METHODS:
        status, headers, body = ask(stack, method, path)
        assert status in (400, 404, 405), (method, status)
        assert "x-lead-variant" not in headers  # Envoy itself says so; no pod was asked
        assert MARK.encode() not in body
        assert not body or list(json.loads(body)) == ["error"]


@pytest.mark.parametrize(
    ("right", "path"),
    [
        ("POST", f"/v2/models/{MODEL}/infer"),
        ("POST", f"/v1/models/{MODEL}:predict"),
        ("GET", f"/v2/models/{MODEL}"),
        ("GET", f"/v2/models/{MODEL}/ready"),
        ("GET", "/v2"),
        ("GET", "/v2/health/live"),
        ("GET", "/v2/health/ready"),
        ("GET", "/v1/models"),
    ],
)
def test_what_is_offered_takes_its_own_method_alone(stack: Stack, right: str, path: str) -> None:
    for method in METHODS:
        status, headers, _ = ask(stack, method, path)
        if method == right:
            assert "x-lead-variant" in headers
        else:
            assert status in (400, 404, 405)
            assert "x-lead-variant" not in headers


def test_each_version_refuses_the_same_when_asked_past_envoy(stack: Stack) -> None:
    """A route that let the repository API through by mistake would still meet a closed door."""
    for variant in stack.state.variants:
        for path in REPOSITORY[:3]:
            for method in ("GET", "POST"):
                request = urllib.request.Request(
                    f"http://127.0.0.1:{variant.rest_port}{path}", data=b"{}", method=method
                )
                with pytest.raises(urllib.error.HTTPError) as refused:
                    urllib.request.urlopen(request, timeout=60)  # noqa: S310 - our own transformer
                assert refused.value.code in (404, 405)


@pytest.mark.parametrize(
    "method",
    [
        "/inference.GRPCInferenceService/RepositoryIndex",
        "/inference.GRPCInferenceService/RepositoryModelIndex",
        "/inference.GRPCInferenceService/RepositoryModelLoad",
        "/inference.GRPCInferenceService/RepositoryModelUnload",
        "/inference.GRPCInferenceService//RepositoryModelUnload",
        "/inference.GRPCInferenceService/ModelInfer/../RepositoryModelUnload",
        "/inference.GRPCInferenceService/ModelStreamInfer",
        "/inference.model_repository.ModelRepositoryService/ModelRepositoryModelUnload",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.channelz.v1.Channelz/GetServers",
        "/grpc.health.v1.Health/Check",
    ],
)
def test_grpc_has_no_other_methods(doors: Doors, method: str) -> None:
    unload = b"\x12\x0c" + MODEL.encode()  # RepositoryModelUnloadRequest(model_name="lead-scoring")
    error = doors.raw_refusal(method, unload)
    assert error is not None
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


def test_nothing_was_unloaded(doors: Doors, leads: list[dict[str, Any]]) -> None:
    assert doors.http.get(f"/v2/models/{MODEL}/ready").status_code == 200
    assert doors.ask("gRPC raw", leads[:2]).columns["variant"] == ["v1"] * 2


def test_another_model_or_version_is_not_found_over_grpc(
    doors: Doors, contract: Contract, few: list[dict[str, Any]]
) -> None:
    message = payloads.typed_message(contract, few)
    message.model_version = "1"
    assert doors.refusal(message) is None
    for name, version in ((MARK, ""), (MODEL, "9"), (MODEL, MARK), ("", "")):
        message.model_name, message.model_version = name, version
        error = doors.refusal(message)
        assert error is not None
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert "'lead-scoring', version '1'" in error.details()
        assert MARK not in error.details()


def test_metadata_of_another_model_are_not_found(doors: Doors) -> None:
    for path in (f"/v2/models/{MARK}", f"/v2/models/{MARK}/ready"):
        assert doors.http.get(path).status_code == 404
    body = orjson.dumps({"inputs": []})
    assert doors.post(f"/v2/models/{MARK}/infer", body, JSON).status_code == 404
