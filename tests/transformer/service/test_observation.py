"""Metrics, logs and traces say what happened, by variant and version, and never what a lead contains."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import orjson
import pytest
from lead_transformer.logs import Throttle
from lead_transformer.metrics import STAGES
from lead_transformer.tallies import Histogram
from lead_transformer.tracing import wanted
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.small_model import FEATURES
from tests.transformer.service.fake_predictor import FakePredictor
from tests.transformer.service.payloads import INFER, PREDICT, infer_stub, message, records, v1, v2
from tests.transformer.service.processes import ROOT, Server, Transformer, eventually

Start = Callable[[Callable[[], Server]], Server]


@pytest.fixture
def fresh(start: Start, folder: Path, fake: FakePredictor, tmp_path: Path) -> Transformer:
    """A transformer that has counted nothing yet."""
    flags = ("--variant", "v7-canary", "--check-interval-s", "3600", "--deadline-ms", "30000", "--drain-s", "0")
    server = start(lambda: Transformer(folder, fake.target, tmp_path / "log", *flags))
    assert isinstance(server, Transformer)
    server.wait_ready()
    return server


LEAD = {
    "lead_id": "a", "size": 5, "industry": "space travel", "seniority": None, "region": "mars", "engagement": 101.0,
    "revenue": -1.0, "customer": True, "last_seen": None,
}  # fmt: skip


def test_counts_are_those_of_what_was_sent(fresh: Transformer, client: httpx.Client) -> None:
    assert client.post(fresh.url + PREDICT, json=v1([LEAD])).status_code == 200
    leads = records(30, seed=4)
    answer = client.post(fresh.url + INFER, json=v2(leads)).json()
    with grpc.insecure_channel(fresh.target) as channel:
        infer_stub(channel)(message([{**LEAD, "engagement": None}] * 2), timeout=30)
    bad = [{**LEAD, "size": None}, {**LEAD, "size": 0}, {**LEAD, "seniority": "emperor"}]
    assert client.post(fresh.url + PREDICT, json=v1(bad)).status_code == 400
    assert client.post(fresh.url + INFER, content=b"{").status_code == 400

    count = fresh.metric
    labels = {"variant": "v7-canary", "model_version": "7", "shadow": "false"}
    assert count("lead_requests_total", protocol="v1", code="200", **labels) == 1
    assert count("lead_requests_total", protocol="v1", code="400", **labels) == 1
    assert count("lead_requests_total", protocol="v2-rest", code="200", **labels) == 1
    assert count("lead_requests_total", protocol="v2-grpc", code="OK", **labels) == 1
    assert count("lead_request_duration_seconds_count", **labels) == 5
    assert count("lead_stage_duration_seconds_count", stage="predict", **labels) == 3
    assert count("lead_stage_duration_seconds_count", stage="queue", **labels) == 5
    assert count("lead_batch_size_sum", **labels) == 33
    assert count("lead_probability_count", **labels) == 33
    assert count("lead_scores_total", **labels) == 33
    scores = answer["outputs"][0]["data"]
    for score in range(1, 6):
        assert count("lead_scores_total", score=str(score), **labels) >= scores.count(score)
    probabilities = answer["outputs"][1]["data"]
    below = count("lead_probability_bucket", le="0.1", **labels)
    assert 0 <= below - sum(value <= 0.1 for value in probabilities) <= 3
    assert count("lead_feature_unknown_total", feature="industry", **labels) >= 3
    assert count("lead_feature_clipped_total", feature="engagement", **labels) >= 1
    assert count("lead_feature_imputed_total", feature="engagement", **labels) >= 2
    assert count("lead_feature_missing_total", feature="seniority", **labels) >= 3
    assert count("lead_feature_missing_total", feature="size", **labels) == 0
    assert count("lead_rejections_total", reason="missing") == 1
    assert count("lead_rejections_total", reason="out_of_range") == 1
    assert count("lead_rejections_total", reason="unknown_category") == 1
    assert count("lead_rejections_total", reason="malformed_json") == 1
    assert count("lead_ready") == 1
    info = next(labels for name, labels in fresh.metrics() if name == "lead_model_info")
    assert re.fullmatch("[0-9a-f]{64}", dict(info)["digest"])


def test_feature_counts_are_the_batchs_own(fresh: Transformer, client: httpx.Client) -> None:
    leads = records(200, seed=5)
    client.post(fresh.url + INFER, json=v2(leads))
    for feature in FEATURES:
        nulls = sum(lead.get(feature.name) is None for lead in leads)
        found = fresh.metric("lead_feature_missing_total", feature=feature.name)
        if feature.name in ("region", "engagement", "revenue", "last_seen"):
            assert found >= nulls  # what is out of range or unknown counts as missing too
        else:
            assert found == nulls


def test_a_shadow_is_counted_and_logged_as_one(fresh: Transformer, client: httpx.Client) -> None:
    client.post(fresh.url + INFER, json=v2(records(2)), headers={"x-lead-variant": "v6", "x-request-id": "mirrored"})
    client.post(fresh.url + INFER, json=v2(records(3)), headers={"x-lead-variant": "v7-canary"})
    client.post(fresh.url + INFER, json=v2(records(4)))
    assert fresh.metric("lead_batch_size_sum", shadow="true") == 2
    assert fresh.metric("lead_batch_size_sum", shadow="false") == 7
    line = eventually(
        lambda: next((x for x in fresh.lines() if x.get("request_id") == "mirrored"), None), what="the line"
    )
    assert (line["shadow"], line["leads"], line["status"], line["variant"], line["protocol"]) == (
        True,
        2,
        "200",
        "v7-canary",
        "v2-rest",
    )
    assert line["ms"] > 0


def test_every_metric_is_explained_and_every_explanation_is_of_a_metric(
    fresh: Transformer, client: httpx.Client
) -> None:
    client.post(fresh.url + INFER, json=v2(records(1)))
    exposed = {
        line.split()[2]
        for line in client.get(fresh.url + "/metrics").text.splitlines()
        if line.startswith("# TYPE lead_")
    }
    explained = set(re.findall(r"^\| `(lead_[a-z_]+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    assert exposed == explained


def test_the_number_of_series_does_not_grow_with_what_clients_send(fresh: Transformer, client: httpx.Client) -> None:
    def ask(salt: str) -> None:
        client.post(fresh.url + INFER, json=v2(records(1)), headers={"x-lead-variant": salt, "x-request-id": salt})
        client.post(f"{fresh.url}/v2/models/{salt}/infer", json=v2(records(1)))
        client.post(fresh.url + PREDICT, json={salt: salt})
        client.request(salt.upper(), fresh.url + "/v2")
        client.post(
            fresh.url + INFER, json={"inputs": [{"name": salt, "datatype": salt, "shape": [1], "data": [salt]}]}
        )

    ask("a")
    before = len(fresh.metrics())
    for number in range(30):
        ask(f"salt{number}")
    assert len(fresh.metrics()) == before


def test_nothing_that_a_client_wrote_is_in_a_log_a_metric_or_an_error(
    fresh: Transformer, client: httpx.Client, fake: FakePredictor
) -> None:
    mail = "jane.doe@example.com"
    lead = {**LEAD, "lead_id": mail}
    responses = [
        client.post(fresh.url + PREDICT, json=v1([{**LEAD, name: mail}]))
        for name in ("size", "seniority", "last_seen", "customer")
    ]
    responses += [
        client.post(fresh.url + PREDICT, json=v1([{**lead, mail: mail}])),
        client.post(fresh.url + PREDICT, json={"instances": mail}),
        client.post(fresh.url + PREDICT, json={"instances": [lead], "parameters": {"as_of": mail, "explain": mail}}),
        client.post(
            fresh.url + INFER, json={"inputs": [{"name": mail, "datatype": mail, "shape": [1], "data": [mail]}]}
        ),
        client.post(fresh.url + INFER, json={**v2([lead]), "outputs": [{"name": mail}]}),
        client.post(fresh.url + INFER, content=mail.encode()),
        client.post(fresh.url + f"/v2/models/{mail}/infer?{mail}", json=v2([lead])),
        client.post(
            fresh.url + INFER, json=v2([{**LEAD, "size": 0}]), headers={"x-request-id": mail, "x-lead-variant": mail}
        ),
        client.post(fresh.url + INFER, json=v2([lead]), headers={"content-type": mail}),
        client.post(fresh.url + INFER, json=v2([lead]), headers={"content-encoding": mail}),
        client.post(
            fresh.url + INFER, json=v2([lead]), headers={"x-envoy-expected-rq-timeout-ms": mail, "traceparent": mail}
        ),
    ]
    assert sum(response.status_code >= 400 for response in responses) == len(responses) - 1
    fake.mode = "break"
    responses.append(client.post(fresh.url + PREDICT, json=v1([lead])))
    assert responses[-1].status_code == 503
    answered = [response for response in responses if response.status_code != 200]
    assert [response.text for response in answered if mail in response.text or "jane" in response.text] == []
    with grpc.insecure_channel(fresh.target) as channel:
        request = message([lead])
        request.inputs[2].contents.bytes_contents[0] = b"\xff" + mail.encode()
        with pytest.raises(grpc.RpcError) as caught:
            infer_stub(channel)(request, timeout=30, metadata=(("x-request-id", mail),))
        assert "jane" not in str(caught.value.details()) + str(caught.value.trailing_metadata())
    assert "jane" not in client.get(fresh.url + "/metrics").text
    assert fresh.terminate() == 0
    assert "jane" not in fresh.log.read_text()
    assert len([line for line in fresh.lines() if line.get("logger") == "access"]) >= len(responses) - 1


def test_the_access_log_can_be_off(start: Start, folder: Path, fake: FakePredictor, tmp_path: Path) -> None:
    server = start(
        lambda: Transformer(folder, fake.target, tmp_path / "log", "--access-log", "false", "--drain-s", "0")
    )
    assert isinstance(server, Transformer)
    server.wait_ready()
    assert httpx.post(server.url + INFER, json=v2(records(1)), timeout=30).status_code == 200
    assert server.terminate() == 0
    assert [line["message"] for line in server.lines()] == ["listening", "ready", "stopping", "stopped"]


class Collector:
    """Takes traces as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        outer.spans += scope.spans
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_traces_continue_the_callers_and_go_on_to_the_predictor(
    start: Start, folder: Path, fake: FakePredictor, tmp_path: Path, collector: Collector
) -> None:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server.server_port}",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
    }
    flags = ("--drain-s", "0", "--check-interval-s", "3600", "--deadline-ms", "30000")
    server = start(lambda: Transformer(folder, fake.target, tmp_path / "log", *flags, environment=environment))
    assert isinstance(server, Transformer)
    server.wait_ready()
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    headers = {"traceparent": f"00-{trace}-{parent}-01"}
    assert httpx.post(server.url + INFER, json=v2(records(2)), headers=headers, timeout=30).status_code == 200
    told = next(data["traceparent"] for data in fake.metadata if "traceparent" in data)
    assert (
        httpx.post(server.url + INFER, json=v2(records(1)), headers={"traceparent": "jane"}, timeout=30).status_code
        == 200
    )
    with grpc.insecure_channel(server.target) as channel:
        infer_stub(channel)(message(records(1)), timeout=30, metadata=tuple(headers.items()))
    assert server.terminate() == 0
    spans = {
        span.name: span for span in collector.spans if span.trace_id.hex() == trace and span.name.startswith("v2-")
    }
    assert set(spans) == {"v2-rest", "v2-grpc"}
    rest = spans["v2-rest"]
    assert rest.parent_span_id.hex() == parent
    assert told == f"00-{trace}-{rest.span_id.hex()}-01"
    children = [span.name for span in collector.spans if span.parent_span_id == rest.span_id]
    assert children == list(STAGES)
    assert len({span.trace_id for span in collector.spans}) == 2


def test_without_tracing_nothing_of_it_is_loaded_or_told(
    transformer: Transformer, fake: FakePredictor, client: httpx.Client
) -> None:
    client.post(transformer.url + INFER, json=v2(records(1)), headers={"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"})
    assert all("traceparent" not in told for told in fake.metadata)
    code = "import sys, lead_transformer.server; sys.exit('opentelemetry.sdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


@pytest.mark.parametrize(
    ("setting", "environment", "expected"),
    [
        ("auto", {}, False),
        ("on", {}, True),
        ("off", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
        ("auto", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
        ("auto", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
        ("auto", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, False),
        ("auto", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_tracing_is_on_when_it_is_wanted(setting: str, environment: dict[str, str], expected: bool) -> None:
    assert wanted(setting, environment) is expected


def test_histograms_count_as_prometheus_does() -> None:
    values = np.array([0.0, 0.1, 0.1000001, 0.5, 0.50001, 7.0])
    one_by_one, few, many = (Histogram((0.1, 0.5)) for _ in range(3))
    for value in values.tolist():
        one_by_one.observe(value)
    few.observe_many(values)
    many.observe_many(np.tile(values, 100))
    assert one_by_one.counts == few.counts == [2, 2, 2]
    assert many.counts == [200, 200, 200]
    assert many.total == pytest.approx(100 * one_by_one.total)
    assert one_by_one.cumulative() == [("0.1", 2.0), ("0.5", 4.0), ("+Inf", 6.0)]


def test_a_throttled_message_says_how_many_it_stands_for() -> None:
    throttle = Throttle(interval_s=3600)
    assert [throttle.admit("a"), throttle.admit("a"), throttle.admit("b"), throttle.admit("a")] == [0, None, 0, None]
    throttle = Throttle(interval_s=0)
    assert [throttle.admit("a"), throttle.admit("a")] == [0, 0]


def test_a_reader_that_stops_reading_never_stops_the_service(
    start: Start, folder: Path, fake: FakePredictor, tmp_path: Path
) -> None:
    """The log goes into a pipe that nobody empties; requests are answered all the same, and lost lines are counted."""
    server = start(lambda: Transformer(folder, fake.target, tmp_path / "log", "--drain-s", "0"))
    assert isinstance(server, Transformer)
    server.wait_ready()
    command = [*server.process.args]  # type: ignore[misc]
    server.close()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout is not None
        ports = orjson.loads(process.stdout.readline())
        url = f"http://127.0.0.1:{ports['http_port']}"
        assert process.stdout.readline()  # ready
        body = orjson.dumps(v2(records(1)))
        with httpx.Client(timeout=30) as client:
            for _ in range(1500):  # 64 KiB of pipe hold some 300 lines
                assert client.post(url + INFER, content=body).status_code == 200
    finally:
        process.kill()
        process.wait(timeout=30)
