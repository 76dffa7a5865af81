"""Which doors exist: inference, metadata and health of the one model, over loopback, and no others."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Iterator

import grpc
import heavy_model
import pytest
from running import DEADLINE_S, MODEL, Predictor, infer
from tritonclient.grpc import service_pb2 as pb

REPOSITORY = "inference.model_repository.ModelRepositoryService"
V2 = "inference.GRPCInferenceService"

PATHS = [
    ("POST", "/v2/repository/index"),
    ("POST", f"/v2/repository/models/{MODEL}/load"),
    ("POST", f"/v2/repository/models/{MODEL}/unload"),
    ("GET", "/v2/repository/index"),
    ("POST", f"/v2/%72epository/models/{MODEL}/unload"),
    ("POST", f"/v2/repository/models/{MODEL}/unloa%64"),
    ("POST", f"//v2/repository/models/{MODEL}/unload"),
    ("POST", f"/v2//repository/models/{MODEL}/unload"),
    ("POST", f"/v2/./repository/models/{MODEL}/unload"),
    ("POST", f"/v2/models/{MODEL}/../../repository/models/{MODEL}/unload"),
    ("POST", f"/v2/models/{MODEL}%2f..%2f..%2frepository%2fmodels%2f{MODEL}%2funload"),
    ("POST", f"/v2/repository/models/{MODEL}/unload/"),
    ("POST", f"/v2/repository/models/{MODEL}/unload?x=/infer"),
    ("POST", f"/V2/REPOSITORY/models/{MODEL}/unload"),
    ("POST", f"/v2/models/{MODEL}/infer_stream"),
    ("POST", f"/v2/models/{MODEL}/generate"),
    ("POST", f"/v2/models/{MODEL}/generate_stream"),
    ("POST", f"/v2/models/{MODEL}/versions/1/generate"),
    ("GET", "/v2/docs"),
    ("GET", "/v2/docs/dataplane.json"),
    ("GET", f"/v2/models/{MODEL}/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/metrics"),
    ("GET", "/"),
    ("GET", "/v2/models/another"),
    ("GET", f"/v2/models/{MODEL}/versions/2"),
    ("GET", f"/v2/models/{MODEL}/versions/2/ready"),
    ("POST", f"/v2/models/{MODEL}/versions/2/infer"),
]


@pytest.fixture
def rest(heavy: Predictor) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", heavy.http_port, timeout=DEADLINE_S)
    yield connection
    connection.close()


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_no_other_path_is_served(
    rest: http.client.HTTPConnection, channel: grpc.Channel, method: str, path: str
) -> None:
    rest.request(method, path, b"{}" if method == "POST" else None)
    response = rest.getresponse()
    assert response.status == 404
    response.read()
    assert infer(channel, heavy_model.leads(1))["margin"].shape == (1,)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/v2/models/{MODEL}/infer"),
        ("POST", "/v2/health/live"),
        ("DELETE", f"/v2/models/{MODEL}"),
        ("PUT", "/v2"),
    ],
)
def test_no_other_method_is_served(rest: http.client.HTTPConnection, method: str, path: str) -> None:
    rest.request(method, path)
    assert rest.getresponse().status == 405


@pytest.mark.parametrize(
    ("method", "request_bytes"),
    [
        (f"{V2}/RepositoryIndex", b""),
        (f"{V2}/RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name=MODEL).SerializeToString()),
        (f"{V2}/RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name=MODEL).SerializeToString()),
        (f"{REPOSITORY}/RepositoryIndex", b""),
        (f"{REPOSITORY}/RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name=MODEL).SerializeToString()),
        (f"{REPOSITORY}/RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name=MODEL).SerializeToString()),
        (f"{V2}/ModelStreamInfer", pb.ModelInferRequest(model_name=MODEL).SerializeToString()),
        ("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", b""),
        ("grpc.health.v1.Health/Check", b""),
    ],
)
def test_no_other_call_is_served(channel: grpc.Channel, method: str, request_bytes: bytes) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(f"/{method}")(request_bytes, timeout=DEADLINE_S)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert infer(channel, heavy_model.leads(1))["margin"].shape == (1,)


def test_it_listens_on_loopback_alone(heavy: Predictor) -> None:
    inodes = open_sockets(heavy.process.pid)
    listening = [line.split() for name in ("tcp", "tcp6") for line in read(f"/proc/net/{name}").splitlines()[1:]]
    local = {fields[1] for fields in listening if fields[3] == "0A" and fields[9] in inodes}
    mapped = "0000000000000000FFFF0000"  # gRPC binds 127.0.0.1 as an IPv6 address
    assert {address.partition(":")[0].removeprefix(mapped) for address in local} == {"0100007F"}
    assert {int(address.partition(":")[2], 16) for address in local} == {heavy.http_port, heavy.grpc_port}


def open_sockets(pid: int) -> set[str]:
    found = set()
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def read(path: str) -> str:
    with open(path) as file:
        return file.read()


def test_a_websocket_is_turned_away(heavy: Predictor) -> None:
    with socket.create_connection(("127.0.0.1", heavy.http_port), timeout=DEADLINE_S) as connection:
        connection.sendall(
            b"GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert b" 101 " not in connection.recv(100)
