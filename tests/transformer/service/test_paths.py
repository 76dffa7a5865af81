"""Only scoring, metadata, health and metrics are served; the repository API is not, however it is spelt."""

from __future__ import annotations

import http.client

import grpc
import httpx
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from tests.transformer.service.payloads import INFER, infer_stub, message, records, v2
from tests.transformer.service.processes import Transformer

SERVED = {
    "/": "GET",
    "/health/predictor": "GET",
    "/metrics": "GET",
    "/v1/models": "GET",
    "/v1/models/lead-scoring": "GET",
    "/v1/models/lead-scoring:predict": "POST",
    "/v2": "GET",
    "/v2/health/live": "GET",
    "/v2/health/ready": "GET",
    "/v2/models": "GET",
    "/v2/models/lead-scoring": "GET",
    "/v2/models/lead-scoring/infer": "POST",
    "/v2/models/lead-scoring/ready": "GET",
    "/v2/models/lead-scoring/versions/7": "GET",
    "/v2/models/lead-scoring/versions/7/infer": "POST",
    "/v2/models/lead-scoring/versions/7/ready": "GET",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")


def ask(transformer: Transformer, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    """Ask without any client tidying the path up."""
    connection = http.client.HTTPConnection("127.0.0.1", transformer.http_port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host=False, skip_accept_encoding=True)
        connection.endheaders()
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def test_all_that_is_served_is_in_the_list(transformer: Transformer) -> None:
    for path, method in SERVED.items():
        status, headers, _ = ask(transformer, method, path)
        assert status == (400 if method == "POST" else 200), path
        for other in METHODS:
            if other != method:
                status, headers, _ = ask(transformer, other, path)
                assert (status, headers["allow"]) == (405, method), (other, path)


def repository_paths() -> list[str]:
    """Spell load and unload in every way that some router might understand."""
    found = []
    for verb in ("load", "unload"):
        plain = f"/v2/repository/models/lead-scoring/{verb}"
        encoded = "/v2/%72epository/models/lead-scoring/" + verb
        found += [
            plain,
            plain + "/",
            "/" + plain,
            plain.replace("/", "//"),
            encoded,
            encoded.replace("%72", "%2572"),
            plain.upper(),
            plain.replace("/repository", "/health/../repository"),
            plain.replace("/repository", "/health/%2e%2e/repository"),
            plain.replace("/repository", "%2frepository"),
            plain.replace("/", "%2f"),
            plain + "?x=/v2/health/live",
            plain + "#/v2",
            plain + ";x",
            plain + "%00",
            plain + "%20",
            f"/v2/models/lead-scoring/infer/../../../repository/models/lead-scoring/{verb}",
            f"/v2/models/lead-scoring/infer%2f..%2f..%2f..%2frepository/models/lead-scoring/{verb}",
            f"http://x/v2/repository/models/lead-scoring/{verb}",
            plain.replace("/v2", "/v2/."),
            plain.replace("/v2", "/v2\\"),
        ]
    return found


OTHERS = [
    "/v2/repository/index", "/docs", "/redoc", "/openapi.json", "/v2/docs", "/v1/models/lead-scoring:explain",
    "/openai/v1/models", "/..", "//", "/v2/", "*",
]  # fmt: skip


@pytest.mark.parametrize("path", [*repository_paths(), *OTHERS])
def test_everything_else_is_404_by_any_method(transformer: Transformer, path: str) -> None:
    for method in METHODS:
        status, _, body = ask(transformer, method, path)
        assert status in (404, 400), (method, path)  # 400: not even HTTP
        assert b"Traceback" not in body
    assert transformer.is_ready()


def test_the_sdks_own_paths_are_not_reached(transformer: Transformer) -> None:
    """Every route of the SDK's application that is not in the list is refused: also those of its future versions."""
    from kserve.model_server import app
    from kserve.protocol.rest.server import RESTServer

    server = RESTServer("kserve.model_server:app", _Nothing(), _Nothing(), 0)
    server._register_endpoints(app)
    routes = [
        route
        for included in app.routes
        if hasattr(included, "original_router")
        for route in included.original_router.routes
    ]
    assert len(routes) > 15
    assert any(route.path.endswith("/unload") for route in routes)
    for route in routes:
        path = route.path.replace("{model_name}", "lead-scoring").replace("{model_version}", "7")
        for method in route.methods or ():
            if SERVED.get(path) != method:
                assert ask(transformer, method, path)[0] in (404, 405), (method, path)


class _Nothing:
    def __getattr__(self, name: str) -> object:
        if name == "model_registry":
            from kserve import ModelRepository

            return ModelRepository()
        return lambda *_args, **_kwargs: None


@pytest.mark.parametrize(
    "path", ["/v2/models/other/infer", "/v2/models/lead-scoring/versions/8/infer", "/v1/models/other:predict"]
)
def test_another_model_or_version_is_404_and_the_answer_says_which_there_is(
    transformer: Transformer, client: httpx.Client, path: str
) -> None:
    response = client.post(transformer.url + path, json=v2(records(1)))
    assert response.status_code == 404
    assert "'lead-scoring', version '7'" in response.json()["error"]
    assert "other" not in response.text


def test_grpc_knows_one_model_and_no_repository(channel: grpc.Channel) -> None:
    stub = GRPCInferenceServiceStub(channel)
    for name, version in (("other", ""), ("lead-scoring", "8"), ("", "")):
        request = message(records(1))
        request.model_name, request.model_version = name, version
        for call, argument in (
            (stub.ModelInfer, request),
            (stub.ModelReady, pb.ModelReadyRequest(name=name, version=version)),
            (stub.ModelMetadata, pb.ModelMetadataRequest(name=name, version=version)),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call(argument, timeout=30)
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    request = message(records(1))
    request.model_version = "7"
    assert stub.ModelInfer(request, timeout=30).model_version == "7"
    for call, argument in (
        (stub.RepositoryModelLoad, pb.RepositoryModelLoadRequest(model_name="lead-scoring")),
        (stub.RepositoryModelUnload, pb.RepositoryModelUnloadRequest(model_name="lead-scoring")),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(argument, timeout=30)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    reflection = channel.unary_unary(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", request_serializer=bytes
    )
    with pytest.raises(grpc.RpcError) as caught:
        reflection(b"", timeout=30)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert len(infer_stub(channel)(message(records(1)), timeout=30).outputs) > 0


def test_a_request_goes_to_its_own_version_only(transformer: Transformer, client: httpx.Client) -> None:
    by_version = client.post(f"{transformer.url}/v2/models/lead-scoring/versions/7/infer", json=v2(records(2)))
    plain = client.post(transformer.url + INFER, json=v2(records(2)))
    assert by_version.json()["outputs"] == plain.json()["outputs"]
