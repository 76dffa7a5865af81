"""What comes out of the cluster is right, to the bit: through every door, from both variants, to others' clients."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import tritonclient.http as triton
from kserve import InferenceGRPCClient, InferInput, InferRequest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tests.cluster import questions
from tests.cluster.conftest import VERSIONS
from tests.cluster.questions import AS_OF, MODEL
from tests.cluster.release import Release
from tests.end_to_end import doors as all_doors
from tests.end_to_end.doors import Doors
from tests.end_to_end.payloads import Column, columns

OUTPUTS = ("score", "probability", "confidence", "features_used", "model_version", "variant")
FORCE = "x-lead-force-variant"

Leads = list[dict[str, Any]]


@pytest.fixture(scope="module")
def forced(release: Release) -> Iterator[str]:
    """The header that chooses a variant; both answer to it at any share."""
    release.roll(forcedVariantHeader=FORCE)
    for variant in VERSIONS:
        asked = {"any": release.gateway.inferences(["any"], {FORCE: variant})["any"]}
        release.gateway.until_variants(asked, lambda seen: seen["any"] == variant, f"{variant} answers when forced")  # noqa: B023
    yield FORCE
    release.roll(forcedVariantHeader=None)


@pytest.mark.parametrize("variant", VERSIONS)
@pytest.mark.parametrize("door", all_doors.ALL)
def test_leads_score_as_offline_through_every_door(
    doors: Doors, leads: Leads, forced: str, door: str, variant: str
) -> None:
    answer = doors.ask(door, leads, as_of=AS_OF, headers={forced: variant})
    assert answer.bits() == questions.rows(VERSIONS[variant], leads)
    assert answer.headers["x-lead-variant"] == variant


@pytest.fixture(scope="module")
def asked(leads: Leads) -> list[Column]:
    return columns(questions.contract(), leads[:25])


@pytest.fixture(scope="module")
def right(leads: Leads) -> dict[str, list[Any]]:
    found = questions.scored("1", leads[:25])
    return {
        "score": found.scores.score.tolist(),
        "probability": found.scores.probability.tolist(),
        "confidence": found.scores.confidence.tolist(),
        "features_used": found.encoded.used.tolist(),
        "model_version": ["1"] * 25,
        "variant": ["v1"] * 25,
    }


def plain(values: list[Any]) -> list[Any]:
    return [value.decode() if isinstance(value, bytes) else value for value in values]


def test_tritonclient_over_http(release: Release, asked: list[Column], right: dict[str, list[Any]]) -> None:
    inputs = []
    for column in asked:
        values = column.array().astype(bool) if column.datatype == "BOOL" else column.array()
        inputs.append(triton.InferInput(column.name, list(values.shape), column.datatype))
        inputs[-1].set_data_from_numpy(values)
    told = {"Host": release.gateway.rest_host}
    with triton.InferenceServerClient(release.gateway.target, network_timeout=60) as client:
        assert client.is_server_live(headers=told)
        assert client.is_server_ready(headers=told)
        assert client.is_model_ready(MODEL, headers=told)
        metadata = client.get_model_metadata(MODEL, headers=told)
        assert [tensor["name"] for tensor in metadata["inputs"]] == [column.name for column in asked]
        result = client.infer(MODEL, inputs, headers=told, parameters={"as_of": AS_OF})
    assert {name: plain(result.as_numpy(name).tolist()) for name in OUTPUTS} == right


def test_tritonclient_over_grpc(release: Release, asked: list[Column], right: dict[str, list[Any]]) -> None:
    """In a process of its own: it and the KServe SDK define the same protobuf names."""
    question = {
        "target": release.gateway.target,
        "authority": release.gateway.grpc_host,
        "columns": [[column.name, column.datatype, column.array().tolist()] for column in asked],
        "outputs": OUTPUTS,
        "parameters": {"as_of": AS_OF},
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.end_to_end.triton_client"],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["sync"] == found["aio"] == right
    assert (found["live"], found["ready"], found["model_ready"]) == (True, True, True)


def test_the_kserve_sdk_over_grpc(release: Release, asked: list[Column], right: dict[str, list[Any]]) -> None:
    inputs = []
    for column in asked:
        values = column.array().astype(bool) if column.datatype == "BOOL" else column.array()
        inputs.append(InferInput(column.name, list(values.shape), column.datatype))
        inputs[-1].set_data_from_numpy(values, binary_data=True)
    request = InferRequest(MODEL, inputs, parameters={"as_of": AS_OF})

    async def ask() -> Any:
        options = [("grpc.default_authority", release.gateway.grpc_host)]
        async with InferenceGRPCClient(release.gateway.target, timeout=60, channel_args=options) as client:
            assert await client.is_server_ready()
            return await client.infer(request)

    response = asyncio.run(ask())
    assert {name: plain(response.get_output_by_name(name).as_numpy().tolist()) for name in OUTPUTS} == right


def test_state_and_metadata(doors: Doors) -> None:
    for path in (
        "/v2/health/live",
        "/v2/health/ready",
        f"/v2/models/{MODEL}/ready",
        "/v1/models",
        f"/v1/models/{MODEL}",
    ):
        assert doors.http.get(path).status_code == 200, path
    assert doors.stub.ServerLive(pb.ServerLiveRequest(), timeout=60).live
    assert doors.stub.ModelReady(pb.ModelReadyRequest(name=MODEL), timeout=60).ready
    assert (
        doors.http.get("/v2").json()["name"] == doors.stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=60).name
    )
    rest, proto = (
        doors.http.get(f"/v2/models/{MODEL}").json(),
        doors.stub.ModelMetadata(pb.ModelMetadataRequest(name=MODEL), timeout=60),
    )
    assert [tensor["name"] for tensor in rest["inputs"]] == [tensor.name for tensor in proto.inputs]
    assert doors.http.get("/v2", headers={"host": "another.example.com"}).status_code == 404


def test_a_client_cannot_say_which_variant_answers(doors: Doors, leads: Leads) -> None:
    """The route overwrites what a client sends; the forced header is nobody's business while it is off."""
    lies = {"x-lead-variant": "v2", "x-lead-split": "v2=100"}
    for door in ("V1", "V2 JSON", "gRPC typed"):
        answer = doors.ask(door, leads[:1], headers=lies)
        assert answer.columns["variant"] == ["v1"]
        assert answer.headers["x-lead-variant"] == "v1"
