"""REST, binary, gRPC and V1 in front of a real predictor: the same scores to the bit, in whatever company."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import grpc
import httpx
import numpy as np
import orjson
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from lead_scoring.core.assembly import from_records, seconds
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.packaging import booster, offline
from lead_scoring.packaging import folder as version_folder
from tests.transformer.service.payloads import AS_OF, INFER, PREDICT, infer_stub, message, records, v1, v2
from tests.transformer.service.processes import Transformer

NAMES = ("score", "probability", "confidence", "features_used")
Bits = list[tuple[int, str, str, int]]


def bits(rows: list[tuple[int, float, float, int]]) -> Bits:
    return [(score, probability.hex(), confidence.hex(), used) for score, probability, confidence, used in rows]


def by_v1(pod: Transformer, leads: list[dict[str, object]]) -> Bits:
    response = httpx.post(pod.url + PREDICT, json=v1(leads), timeout=60)
    assert response.status_code == 200, response.text
    return bits([tuple(row[name] for name in NAMES) for row in response.json()["predictions"]])


def by_v2(pod: Transformer, leads: list[dict[str, object]]) -> Bits:
    response = httpx.post(pod.url + INFER, json=v2(leads), timeout=60)
    assert response.status_code == 200, response.text
    data = {output["name"]: output["data"] for output in response.json()["outputs"]}
    return bits(list(zip(*(data[name] for name in NAMES), strict=True)))


def by_grpc(pod: Transformer, leads: list[dict[str, object]]) -> Bits:
    with grpc.insecure_channel(pod.target) as channel:
        response = infer_stub(channel)(message(leads), timeout=60)
    columns = {
        output.name: list(output.contents.int_contents or output.contents.fp64_contents) for output in response.outputs
    }
    return bits(list(zip(*(columns[name] for name in NAMES), strict=True)))


def packed(folder: Path, leads: list[dict[str, object]]) -> np.ndarray:
    """Return the leads as one matrix, as a fast client would keep them."""
    plan = FeaturePlan.of(version_folder.read_verified(folder).contract)
    return from_records(plan, leads, max_leads=len(leads)).raw


def by_triton(pod: Transformer, leads: list[dict[str, object]], folder: Path, flavour: str) -> Bits:
    target = pod.target if flavour == "grpc" else pod.url.removeprefix("http://")
    matrix = packed(folder, leads)
    gaps_as_null = [[None if math.isnan(value) else value for value in row] for row in matrix.tolist()]
    asked = {"ids": [lead["lead_id"] for lead in leads], "matrix": gaps_as_null, "as_of": AS_OF}
    ended = subprocess.run(
        [sys.executable, "-m", "tests.transformer.service.triton_client", flavour, target],
        input=orjson.dumps(asked), capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr.decode()
    columns = orjson.loads(ended.stdout)
    return bits(list(zip(*(columns[name] for name in NAMES), strict=True)))


def offline_bits(folder: Path, leads: list[dict[str, object]]) -> Bits:
    """Score without any server."""
    files = version_folder.read_verified(folder)
    batch = from_records(FeaturePlan.of(files.contract), leads, max_leads=len(leads))
    predict = booster.margins(booster.load(files.contract, files.model))
    scored = offline.score(files.contract, predict, batch, seconds(AS_OF))
    s = scored.scores
    columns = (s.score, s.probability, s.confidence, scored.encoded.used)
    return bits(list(zip(*(column.tolist() for column in columns), strict=True)))


@pytest.mark.parametrize("count", [1, 2, 7, 500])
def test_all_protocols_agree_to_the_bit_with_each_other_and_with_offline(
    pod: Transformer, folder: Path, count: int
) -> None:
    leads = records(count, seed=count)
    expected = offline_bits(folder, leads)
    assert len(expected) == count
    assert by_v1(pod, leads) == expected
    assert by_v2(pod, leads) == expected
    assert by_grpc(pod, leads) == expected
    assert by_triton(pod, leads, folder, "http") == expected
    assert by_triton(pod, leads, folder, "grpc") == expected


def test_a_lead_scores_the_same_alone_and_in_any_batch(pod: Transformer) -> None:
    leads = records(67, seed=99)
    whole = by_v2(pod, leads)
    assert len({probability for _, probability, _, _ in whole}) > 40
    for size in (1, 2, 3, 5, 8, 13, 31):
        parts = [by_v2(pod, leads[at : at + size]) for at in range(0, len(leads), size)]
        assert [row for part in parts for row in part] == whole
    assert by_v2(pod, leads[::-1]) == whole[::-1]


def test_the_golden_leads_score_right_through_every_door(pod: Transformer, folder: Path) -> None:
    golden = version_folder.read_verified(folder).contract.golden
    leads = [lead.lead for lead in golden.leads]
    assert golden.as_of == AS_OF
    for rows in (by_v1(pod, leads), by_v2(pod, leads), by_grpc(pod, leads)):
        assert [row[0] for row in rows] == [lead.score for lead in golden.leads]
        assert [row[3] for row in rows] == [lead.features_used for lead in golden.leads]
        for row, lead in zip(rows, golden.leads, strict=True):
            assert float.fromhex(row[1]) == pytest.approx(lead.probability, abs=golden.tolerance)


def test_an_answer_says_who_gave_it_and_when(pod: Transformer) -> None:
    body = {**v2(records(2)), "id": "mine"}
    response = httpx.post(pod.url + INFER, json=body, headers={"x-request-id": "abc-123"}, timeout=60)
    told = response.json()
    assert told["id"] == "mine"
    assert (told["model_name"], told["model_version"]) == ("lead-scoring", "7")
    assert told["parameters"]["request_id"] == response.headers["x-request-id"] == "abc-123"
    assert response.headers["x-lead-variant"] == "v7"
    assert told["parameters"]["total_leads"] == 2
    assert told["parameters"]["processing_time_ms"] > 0
    assert seconds(told["parameters"]["timestamp"]) > seconds("2026-01-01")
    with grpc.insecure_channel(pod.target) as channel:
        given = (("x-request-id", "abc-124"),)
        answer, call = infer_stub(channel).with_call(message(records(2)), timeout=60, metadata=given)
    assert answer.parameters["request_id"].string_param == "abc-124"
    assert dict(call.trailing_metadata())["x-request-id"] == "abc-124"
    assert dict(call.trailing_metadata())["x-lead-variant"] == "v7"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "jane@example.com", "a\u00e9"])
def test_a_request_id_that_is_not_harmless_is_replaced(pod: Transformer, given: str) -> None:
    found = [
        httpx.post(pod.url + INFER, json=v2(records(1)), headers={b"x-request-id": given.encode("latin-1")}, timeout=60)
        for _ in range(2)
    ]
    ids = {response.headers["x-request-id"] for response in found}
    assert len(ids) == 2
    assert given not in ids


def test_explanations_and_times_come_when_asked_for(pod: Transformer) -> None:
    body = v1(records(5), explain=True, reasons=3, prediction_time=True)
    response = httpx.post(pod.url + PREDICT, json=body, timeout=60)
    for row in response.json()["predictions"]:
        assert 1 <= len(row["reasons"]) <= 3
        strengths = [abs(reason["contribution"]) for reason in row["reasons"]]
        assert strengths == sorted(strengths, reverse=True)
        assert row["prediction_time_ms"] > 0


@pytest.mark.parametrize("count", [0, 501])
def test_the_number_of_leads_is_bounded(pod: Transformer, count: int) -> None:
    leads = records(count)
    for path, body in ((INFER, v2(leads)), (PREDICT, v1(leads))):
        response = httpx.post(pod.url + path, json=body, timeout=60)
        assert response.status_code == 400
        assert response.json()["problems"][0]["reason"] == "batch_size"
    with grpc.insecure_channel(pod.target) as channel, pytest.raises(grpc.RpcError) as caught:
        infer_stub(channel)(message(leads), timeout=60)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_metadata_are_the_same_over_rest_and_grpc(pod: Transformer) -> None:
    rest = httpx.get(f"{pod.url}/v2/models/lead-scoring", timeout=60).json()
    assert httpx.get(f"{pod.url}/v2/models/lead-scoring/versions/7", timeout=60).json() == rest
    with grpc.insecure_channel(pod.target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        proto = stub.ModelMetadata(pb.ModelMetadataRequest(name="lead-scoring", version="7"), timeout=60)
        server = stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=60)
    for side in ("inputs", "outputs"):
        assert [(t["name"], t["datatype"], t["shape"]) for t in rest[side]] == [
            (t.name, t.datatype, list(t.shape)) for t in getattr(proto, side)
        ]
    assert rest["versions"] == list(proto.versions) == ["7"]
    assert httpx.get(f"{pod.url}/v2", timeout=60).json() == {
        "name": server.name, "version": server.version, "extensions": list(server.extensions),
    }  # fmt: skip


def test_binary_answers_are_as_good_as_json(pod: Transformer) -> None:
    leads = records(20)
    plain = httpx.post(pod.url + INFER, json=v2(leads), timeout=60)
    binary = httpx.post(pod.url + INFER, json=v2(leads, binary_data_output=True), timeout=60)
    length = int(binary.headers["inference-header-content-length"])
    described = orjson.loads(binary.content[:length])
    sizes = [output["parameters"]["binary_data_size"] for output in described["outputs"]]
    assert sum(sizes) == len(binary.content) - length
    at = length + sizes[0]
    probability = np.frombuffer(binary.content[at : at + sizes[1]], "<f8")
    assert probability.tolist() == plain.json()["outputs"][1]["data"]


def test_the_setting_for_the_most_leads_is_kept_and_told(pod: Transformer, folder: Path, tmp_path: Path) -> None:
    small = Transformer(folder, "127.0.0.1:1", tmp_path / "log", "--max-leads", "3", "--drain-s", "0")
    try:
        told = httpx.get(f"{small.url}/v2/models/lead-scoring", timeout=60).json()
        assert told["parameters"]["max_leads"] == 3
    finally:
        small.close()
    assert httpx.get(f"{pod.url}/v2/models/lead-scoring", timeout=60).json()["parameters"]["max_leads"] == 500
