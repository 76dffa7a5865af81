"""What Envoy lets through, what it adds, what it refuses: a real Envoy before servers that say what reached them."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from lead_scoring.core.hashing import variant_of
from lead_scoring.errors import StackError
from lead_scoring.local import control
from lead_scoring.local.envoy import MAX_BODY_BYTES
from lead_scoring.local.ports import free_ports
from lead_scoring.local.routes import GRPC_METHODS, ROUTE_TIMEOUT_S
from tests.local.gateway import INFER, MODEL, Gateway, running_gateway
from tests.support.stack import until

KEYS = [f"lead-{number}" for number in range(2500)] + ["", "ä ö ü", "x" * 500, "a@example.com"]


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.url, timeout=30) as client:
        yield client


@pytest.fixture
def stub(gateway: Gateway) -> Iterator[GRPCInferenceServiceStub]:
    options = [("grpc.enable_retries", 0), ("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{gateway.port}", options=options) as channel:
        yield GRPCInferenceServiceStub(channel)


def infer(stub: GRPCInferenceServiceStub, **metadata: str) -> tuple[str, dict[str, str]]:
    """Return the variant that answered and the initial metadata."""
    headers = [(name.replace("_", "-"), value) for name, value in metadata.items()]
    answer, call = stub.ModelInfer.with_call(pb.ModelInferRequest(model_name=MODEL), timeout=30, metadata=headers)
    return answer.model_version, dict(call.initial_metadata())


def infer_works(stub: GRPCInferenceServiceStub) -> bool:
    try:
        return bool(infer(stub)[0])
    except grpc.RpcError:
        return False


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", INFER),
        ("GET", f"/v2/models/{MODEL}"),
        ("GET", f"/v2/models/{MODEL}/ready"),
        ("GET", "/v2"),
        ("GET", "/v2/health/live"),
        ("GET", "/v2/health/ready"),
        ("POST", f"/v1/models/{MODEL}:predict"),
        ("GET", "/v1/models"),
        ("GET", f"/v1/models/{MODEL}"),
        ("POST", f"//v2///models/{MODEL}/infer"),
        ("POST", f"/v2/models/x/../{MODEL}/infer"),
    ],
)
def test_the_paths_of_the_protocols_reach_stable(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(
        method, client.base_url.join(path) if not path.startswith("//") else f"{client.base_url}{path}"
    )
    assert (answer.status_code, answer.headers["x-lead-variant"]) == (200, "v1")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v2/repository/index", 404),
        ("POST", f"/v2/repository/models/{MODEL}/unload", 404),
        ("POST", f"/v2/repository/models/{MODEL}/load", 404),
        ("POST", f"/v2//repository/models/{MODEL}/unload", 404),
        ("POST", f"/v2/models/../repository/models/{MODEL}/unload", 404),
        ("POST", f"/v2/models/%2e%2e/repository/models/{MODEL}/unload", 404),
        ("POST", f"/v2%2Frepository/models/{MODEL}/unload", 400),
        ("POST", f"/v2%5Crepository/models/{MODEL}/unload", 400),
        ("POST", f"/v2/models/{MODEL}%2Finfer", 400),
        ("GET", "/metrics", 404),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
        ("GET", "/", 404),
        ("GET", INFER, 404),
        ("DELETE", f"/v2/models/{MODEL}", 404),
        ("POST", "/v2/models/another/infer", 404),
        ("POST", f"{INFER}/", 404),
        ("POST", f"/v1/models/{MODEL}:explain", 404),
        ("POST", "/inference.GRPCInferenceService/ModelInfer", 404),
    ],
)
def test_anything_else_is_refused_by_the_gateway(gateway: Gateway, method: str, path: str, status: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)  # httpx would tidy the path up
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == status
    assert not body or list(json.loads(body)) == ["error"]
    assert gateway.stable.received == gateway.canary.received == []


def test_grpc_speaks_on_the_same_port_and_repository_methods_do_not_exist(
    gateway: Gateway, stub: GRPCInferenceServiceStub
) -> None:
    assert infer(stub)[0] == "v1"
    assert stub.ServerLive(pb.ServerLiveRequest(), timeout=30).live
    gateway.stable.received.clear()
    for method, request in (
        ("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name=MODEL)),
        ("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name=MODEL)),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            getattr(stub, method)(request, timeout=30)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert method not in GRPC_METHODS
    assert gateway.stable.received == []


def test_a_pod_is_told_its_variant_and_the_split_and_a_client_cannot_say_otherwise(
    gateway: Gateway, client: httpx.Client, stub: GRPCInferenceServiceStub
) -> None:
    control.shift(gateway.folder, 40)
    lies = {"x-lead-variant": "v9", "x-lead-split": "v9=100"}
    for key in KEYS[:50]:
        assert client.post(INFER, headers={**lies, "x-lead-key": key}).status_code == 200
        infer(stub, x_lead_variant="v9", x_lead_split="v9=100", x_lead_key=key)
    for echo in (gateway.stable, gateway.canary):
        assert len(echo.received) > 10
        for headers in echo.received:
            assert (headers["x-lead-variant"], headers["x-lead-split"]) == (echo.variant, "v1=60,v2=40")


def test_a_client_cannot_stretch_timeouts_or_ask_for_retries(gateway: Gateway, client: httpx.Client) -> None:
    client.post(INFER, headers={"x-envoy-upstream-rq-timeout-ms": "60000", "x-envoy-expected-rq-timeout-ms": "60000",
                                "x-envoy-max-retries": "9", "x-envoy-retry-on": "5xx"})  # fmt: skip
    (headers,) = gateway.stable.received
    assert headers["x-envoy-expected-rq-timeout-ms"] == "1000"
    assert "x-envoy-upstream-rq-timeout-ms" not in headers
    assert "x-envoy-max-retries" not in headers


def test_the_time_that_is_left_reaches_the_pod_over_grpc_too(gateway: Gateway, stub: GRPCInferenceServiceStub) -> None:
    infer(stub)
    (headers,) = gateway.stable.received
    assert headers["x-envoy-expected-rq-timeout-ms"] == "1000"


def test_every_request_has_an_id_of_the_gateway(gateway: Gateway, client: httpx.Client) -> None:
    answer = client.post(INFER, headers={"x-request-id": "a@example.com"})
    (headers,) = gateway.stable.received
    assert answer.headers["x-request-id"] == headers["x-request-id"] != "a@example.com"


def test_answers_say_nothing_of_the_servers(client: httpx.Client) -> None:
    for answer in (client.post(INFER), client.get("/nowhere")):
        assert not {"server", "x-envoy-upstream-service-time", "x-powered-by"} & answer.headers.keys()


def test_a_slow_pod_costs_a_second_and_no_retry(
    gateway: Gateway, client: httpx.Client, stub: GRPCInferenceServiceStub
) -> None:
    gateway.stable.delay_s = 5.0
    begin = time.monotonic()
    answer = client.post(INFER)
    took_s = time.monotonic() - begin
    assert answer.status_code == 504
    assert answer.json() == {"error": "the service did not answer in time"}
    assert took_s >= ROUTE_TIMEOUT_S * 0.9
    assert took_s < 4.5
    with pytest.raises(grpc.RpcError) as refused:
        infer(stub)
    assert refused.value.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
    assert refused.value.details() == "the service did not answer in time"
    assert len(gateway.stable.received) == 2


def test_a_large_body_is_refused_before_a_pod_sees_it(
    gateway: Gateway, client: httpx.Client, stub: GRPCInferenceServiceStub
) -> None:
    assert client.post(INFER, content=bytes(MAX_BODY_BYTES - 1024)).status_code == 200
    gateway.stable.received.clear()
    answer = client.post(INFER, content=bytes(MAX_BODY_BYTES + 1))
    assert (answer.status_code, answer.json()) == (413, {"error": "the request body is too large"})
    with pytest.raises(grpc.RpcError):
        stub.ModelInfer(pb.ModelInferRequest(model_name=MODEL, raw_input_contents=[bytes(MAX_BODY_BYTES)]), timeout=30)
    assert gateway.stable.received == []


def test_headers_without_end_are_refused(gateway: Gateway, client: httpx.Client) -> None:
    assert client.post(INFER, headers={"x-filler": "x" * 40_000}).status_code == 431
    assert client.post(INFER, headers={f"x-filler-{n}": "x" for n in range(100)}).status_code == 431
    assert gateway.stable.received == []


def test_headers_that_drip_are_cut_off(gateway: Gateway) -> None:
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as raw:
        raw.sendall(f"POST {INFER} HTTP/1.1\r\nhost: x\r\n".encode())
        answer = raw.recv(65536)
    assert answer.split()[1:2] in ([b"408"], [])
    assert time.monotonic() - begin < 9.5  # at 10 s the limit for whole requests would do it


def test_two_thousand_keys_fall_where_the_hash_says_over_both_protocols(
    gateway: Gateway, client: httpx.Client, stub: GRPCInferenceServiceStub
) -> None:
    control.shift(gateway.folder, 30)
    shares = {"v1": 70, "v2": 30}
    answers = {key: client.post(INFER, headers={"x-lead-key": key.encode()}) for key in KEYS}
    assert {answer.status_code for answer in answers.values()} == {200}
    keys = [key for key in KEYS if key]  # an empty header is no key: the choice is then random
    assert {key: answers[key].json()["variant"] for key in keys} == {key: variant_of(key, shares) for key in keys}
    assert all(answer.headers["x-lead-variant"] == answer.json()["variant"] for answer in answers.values())
    for key in KEYS[:500]:
        variant, metadata = infer(stub, x_lead_key=key)
        assert variant == metadata["x-lead-variant"] == variant_of(key, shares)


def test_a_growing_share_keeps_every_key_it_has(gateway: Gateway, client: httpx.Client) -> None:
    before: set[str] = set()
    for percent in (5, 20, 40, 99, 100):
        control.shift(gateway.folder, percent)
        chosen = {
            key for key in KEYS[:400] if client.post(INFER, headers={"x-lead-key": key}).json()["variant"] == "v2"
        }
        assert before < chosen
        before = chosen
    assert len(before) == 400


def test_without_a_key_requests_are_spread_by_share(gateway: Gateway, client: httpx.Client) -> None:
    control.shift(gateway.folder, 50)
    count = sum(client.post(INFER).json()["variant"] == "v2" for _ in range(1000))
    assert abs(count - 500) < 5 * 250**0.5  # five standard deviations


def test_a_shadow_gets_the_same_request_with_the_name_of_the_primary(
    gateway: Gateway, client: httpx.Client, stub: GRPCInferenceServiceStub
) -> None:
    control.shadow(gateway.folder, 100)
    for number in range(20):
        assert (
            client.post(INFER, headers={"x-lead-key": KEYS[number]}, content=bytes(2_000_000)).json()["variant"] == "v1"
        )
        assert infer(stub, x_lead_key=KEYS[number])[0] == "v1"
    until(lambda: len(gateway.canary.received) == 40, "all copies arrive")
    assert len(gateway.stable.received) == 40
    by_id = {headers["x-request-id"]: headers for headers in gateway.stable.received}
    for copy in gateway.canary.received:
        original = by_id[copy["x-request-id"]]
        names = [":path", ":body-bytes", "host", "x-lead-variant", "x-lead-key", "x-lead-split"]
        assert [copy.get(name) for name in names] == [original.get(name) for name in names]
        assert copy["x-lead-variant"] == "v1"


def test_a_shadow_of_a_part_gets_a_part(gateway: Gateway, client: httpx.Client) -> None:
    control.shadow(gateway.folder, 30)
    for _ in range(500):
        client.post(INFER)
    control.rollback(gateway.folder)
    client.post(INFER)
    assert len(gateway.stable.received) == 501
    assert 0.30 * 500 - 5 * 105**0.5 < len(gateway.canary.received) < 0.30 * 500 + 5 * 105**0.5


def test_a_slow_shadow_costs_the_client_nothing(gateway: Gateway, client: httpx.Client) -> None:
    control.shadow(gateway.folder, 100)
    gateway.canary.delay_s = 30.0
    answers = [client.post(INFER) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert max(answer.elapsed.total_seconds() for answer in answers) < ROUTE_TIMEOUT_S


@contextmanager
def upstream_that(closes_after: bytes) -> Iterator[int]:
    """Listen on a free port and hang up on every connection once it has sent this."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                received = b""
                while closes_after not in received:
                    received += connection.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(30)


@pytest.mark.parametrize(("listens", "attempts"), [(False, 2), (True, 1)])
def test_one_retry_and_only_if_no_pod_can_have_seen_the_request(tmp_path: Path, listens: bool, attempts: int) -> None:
    with upstream_that(closes_after=b"the body") as port:
        wanted = port if listens else free_ports(1)[0]

        def point_stable_there(bootstrap: dict[str, Any]) -> None:
            for cluster in bootstrap["static_resources"]["clusters"]:
                del cluster["health_checks"]  # they would find out first
                if cluster["name"] == "v1-rest":
                    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
                    endpoint["endpoint"]["address"]["socket_address"]["port_value"] = wanted

        with running_gateway(tmp_path, point_stable_there) as gateway:
            answer = httpx.post(gateway.url + INFER, content=b"the body", timeout=30)
            assert (answer.status_code, answer.json()) == (503, {"error": "the service is unavailable; try again"})
            log = gateway.folder.logs / "access.log"
            until(lambda: answer.headers["x-request-id"] in log.read_text(), "the request is logged")
            assert json.loads(log.read_text().splitlines()[-1])["attempts"] == attempts


def test_shift_refuses_a_canary_that_is_not_ready_and_changes_nothing(gateway: Gateway, client: httpx.Client) -> None:
    gateway.canary.ready = False
    for change in (control.shift, control.shadow):
        with pytest.raises(StackError, match="v2 is not ready"):
            change(gateway.folder, 25, wait_s=0.3)
    assert control.status(gateway.folder)["split"] == {"v1": 100}
    assert {client.post(INFER).json()["variant"] for _ in range(50)} == {"v1"}
    gateway.canary.ready = True
    assert control.shift(gateway.folder, 25, wait_s=60).after.shares == {"v1": 75, "v2": 25}


def test_a_sick_canary_gets_less_or_nothing_without_being_asked(gateway: Gateway) -> None:
    control.shift(gateway.folder, 50)
    gateway.canary.ready = False
    until(lambda: gateway.is_healthy("v1"), "Envoy notices")
    assert control.shift(gateway.folder, 10, wait_s=0).after.canary_percent == 10
    assert control.rollback(gateway.folder).after.canary_percent == 0
    gateway.canary.ready = True
    until(lambda: gateway.is_healthy("v1", "v2"), "Envoy notices")


def test_no_request_reaches_a_pod_that_is_not_ready(
    gateway: Gateway, client: httpx.Client, stub: GRPCInferenceServiceStub
) -> None:
    gateway.stable.ready = False
    until(lambda: gateway.is_healthy("v2"), "Envoy notices")
    answer = client.post(INFER)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"error": "the service is unavailable; try again"}
    with pytest.raises(grpc.RpcError) as refused:
        infer(stub)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert gateway.stable.received == gateway.canary.received == []
    gateway.stable.ready = True
    until(lambda: client.post(INFER).status_code == 200, "Envoy notices")
    until(lambda: infer_works(stub), "Envoy notices over gRPC")


def test_routes_that_envoy_refuses_are_taken_back(
    gateway: Gateway, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = control.routes.routes

    def broken(**facts: object) -> dict[str, object]:
        found = real(**facts)  # type: ignore[arg-type]
        if len(facts["split"].shares) > 1:  # type: ignore[attr-defined]
            found["resources"][0]["virtual_hosts"][0]["routes"][0]["route"]["timeout"] = "soon"
        return found

    monkeypatch.setattr(control.routes, "routes", broken)
    with pytest.raises(StackError, match="Envoy refused the routes"):
        control.shift(gateway.folder, 50)
    assert control.status(gateway.folder)["split"] == {"v1": 100}
    until(lambda: bool(control.status(gateway.folder)["in_force"]), "the old routes are back")
    assert {client.post(INFER).json()["variant"] for _ in range(20)} == {"v1"}


def test_the_access_log_has_every_request_and_nothing_that_clients_sent(gateway: Gateway, client: httpx.Client) -> None:
    log = gateway.folder.logs / "access.log"
    personal = "a%40example.com"
    answer = client.post(f"{INFER}?who={personal}", headers={"x-lead-key": personal, "user-agent": personal})
    client.get(f"/{personal}")
    request_id = answer.headers["x-request-id"]
    until(lambda: request_id in log.read_text(), "the request is logged")
    until(lambda: '"status":404' in log.read_text(), "the refusal is logged")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (line,) = (line for line in lines if line["request_id"] == request_id)
    assert (line["route"], line["status"], line["variant"]) == ("infer", 200, "v1")
    assert personal not in log.read_text()
