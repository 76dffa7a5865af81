"""The published API descriptions say what the code does, and every example in them is really read or written by it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest
import yaml
from google.protobuf import descriptor_pb2
from jsonschema import Draft202012Validator
from kserve.protocol.grpc import grpc_predict_v2_pb2
from lead_transformer import metadata, v1_json, v2_binary, v2_json
from lead_transformer.envelope import MAX_DIMENSIONS, MAX_ID_CHARACTERS, MAX_TENSORS
from lead_transformer.error_bodies import to_http
from lead_transformer.messages import MAX_LEADS, MAX_REASONS, Answer, ScoreRequest
from lead_transformer.outputs import OUTPUTS
from openapi_spec_validator import OpenAPIV31SpecValidator

from lead_scoring.contract import files
from lead_scoring.contract.types import Contract
from lead_scoring.core.assembly import Batch, from_records, from_tensors, seconds
from lead_scoring.core.explanation import Reason
from lead_scoring.core.features import encode
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.errors import InvalidLeads, RequestError
from lead_scoring.local.routes import GRPC_METHODS, routes
from lead_scoring.local.split import Split
from tests.transformer.codecs.codec_server import serving

DOCS = Path(__file__).parents[3] / "docs"
API = yaml.safe_load((DOCS / "openapi.yaml").read_text())
SCHEMAS = API["components"]["schemas"]
V2_PATH, V1_PATH = "/v2/models/{model}/infer", "/v1/models/{model}:predict"


PLAN = FeaturePlan.of(files.read(DOCS.parent / "model-repo" / "lead-scoring" / "1" / "contract.json"))


def valid(value: Any, schema: str) -> bool:
    """Check against a schema of the API; references resolve within it."""
    return bool(Draft202012Validator({**API, "$ref": f"#/components/schemas/{schema}"}).is_valid(value))


def examples(path: str, part: str) -> dict[str, Any]:
    operation = API["paths"][path]["post"]
    content = operation["requestBody" if part == "request" else "responses"]
    content = content if part == "request" else content["200"]
    return {name: example["value"] for name, example in content["content"]["application/json"]["examples"].items()}


def read(path: str, document: Any) -> tuple[ScoreRequest, Batch]:
    body = orjson.dumps(document)
    if path == V1_PATH:
        request = v1_json.decode(body)
        return request, from_records(PLAN, request.records, max_leads=MAX_LEADS)
    request = v2_json.decode(body, {})
    return request, from_tensors(PLAN, request.tensors or [], max_leads=MAX_LEADS)


ALL_EXAMPLES = [(path, name) for path in (V2_PATH, V1_PATH) for name in examples(path, "request")]


def test_openapi_is_valid() -> None:
    OpenAPIV31SpecValidator(API).validate()
    assert API["openapi"].startswith("3.1")


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ("InferRequest", {}),
        ("InferRequest", {"inputs": []}),
        ("InferRequest", {"inputs": [{"name": "a", "datatype": "FP128", "shape": [1]}]}),
        ("InferRequest", {"inputs": [{"name": "a", "datatype": "FP64", "shape": [1]}], "parameters": {"reasons": 21}}),
        ("PredictRequest", {"instances": []}),
        ("PredictRequest", {"instances": [{"size": 1}]}),
        ("PredictRequest", {"instances": [{"lead_id": "a"}], "parameter": {}}),
        ("Error", {"error": "x"}),
    ],
)
def test_the_schemas_refuse_what_the_service_refuses(schema: str, value: Any) -> None:
    assert not valid(value, schema)


@pytest.mark.parametrize(("path", "name"), ALL_EXAMPLES)
def test_every_request_example_is_accepted(path: str, name: str) -> None:
    document = examples(path, "request")[name]
    assert valid(document, "InferRequest" if path == V2_PATH else "PredictRequest")
    request, batch = read(path, document)
    encoded = encode(PLAN, batch.raw, request.options.as_of or seconds("2026-11-21T10:15:30Z"))
    assert batch.report.total == 0
    assert not encoded.findings
    assert encoded.used.min() > 0


def answer_of(document: dict[str, Any], reasons: list[list[Reason]] | None, columns: dict[str, list[Any]]) -> Answer:
    about = document["parameters"]
    count = about["total_leads"]
    return Answer(
        lead_ids=columns.get("lead_id", ["?"] * count),
        score=np.array(columns.get("score", [1] * count), dtype=np.int32),
        probability=np.array(columns.get("probability", [0.5] * count)),
        confidence=np.array(columns.get("confidence", [0.5] * count)),
        features_used=np.array(columns.get("features_used", [1] * count), dtype=np.int32),
        model_name="lead-scoring",
        model_version="1",
        variant="v1",
        request_id=about["request_id"],
        timestamp=about["timestamp"],
        processing_time_ms=about["processing_time_ms"],
        prediction_time_ms=0.4,
        reasons=reasons,
    )


def as_reasons(objects: list[dict[str, Any]]) -> list[Reason]:
    return [Reason(item["feature"], item["contribution"]) for item in objects]


@pytest.mark.parametrize("name", list(examples(V2_PATH, "response")))
def test_every_v2_response_example_is_written(name: str) -> None:
    document = examples(V2_PATH, "response")[name]
    assert valid(document, "InferResponse")
    columns = {tensor["name"]: tensor["data"] for tensor in document["outputs"]}
    reasons = [as_reasons(orjson.loads(text)) for text in columns.get("reasons", [])] or None
    request, _ = read(V2_PATH, examples(V2_PATH, "request")[name])
    body, _ = v2_json.encode(request, answer_of(document, reasons, columns))
    assert orjson.loads(body) == document


def test_the_v1_response_example_is_written() -> None:
    document = examples(V1_PATH, "response")["records"]
    assert valid(document, "PredictResponse")
    predictions = document["predictions"]
    columns = {name: [prediction[name] for prediction in predictions] for name in predictions[0]}
    request, _ = read(V1_PATH, examples(V1_PATH, "request")["records"])
    answer = answer_of(document, [as_reasons(prediction["reasons"]) for prediction in predictions], columns)
    assert orjson.loads(v1_json.encode(request, answer)) == document


def invalid(name: str) -> dict[str, Any]:
    content = API["components"]["responses"]["Invalid"]["content"]["application/json"]
    return dict(content["examples"][name]["value"])


def test_the_error_example_about_values_is_what_is_said() -> None:
    lead = {**examples(V1_PATH, "request")["records"]["instances"][0], "website_sessions": "twelve"}
    _, batch = read(V1_PATH, {"instances": [lead]})
    batch.report.extend(encode(PLAN, batch.raw, seconds("2026-11-21T10:15:30Z"), known_bad=batch.known_bad).findings)
    with pytest.raises(InvalidLeads) as caught:
        batch.report.raise_if_any(batch.layout)
    expected = invalid("values")
    assert valid(expected, "Error")
    assert orjson.loads(to_http(caught.value, expected["request_id"])[2]) == expected


def test_the_error_example_about_the_envelope_is_what_is_said() -> None:
    with pytest.raises(InvalidLeads) as caught:
        v2_json.decode(b'{"parameters": {"reasons": 50}}', {})
    expected = invalid("envelope")
    assert valid(expected, "Error")
    assert orjson.loads(to_http(caught.value, expected["request_id"])[2]) == expected


@pytest.mark.parametrize("response", ["Internal", "Unavailable"])
def test_other_error_examples_have_the_form(response: str) -> None:
    content = API["components"]["responses"][response]["content"]["application/json"]
    for example in content["examples"].values():
        assert valid(example["value"], "Error")


def test_the_internal_error_example_is_what_is_said() -> None:
    content = API["components"]["responses"]["Internal"]["content"]["application/json"]
    expected = content["examples"]["internal"]["value"]
    assert orjson.loads(to_http(KeyError(), expected["request_id"])[2]) == expected


def test_it_describes_the_paths_that_the_gateway_lets_through() -> None:
    described = {
        (path.replace("{model}", "lead-scoring"), method.upper())
        for path, operations in API["paths"].items()
        for method in operations
    }
    table = routes(model="lead-scoring", split=Split("v1", "v2"), version="1")["resources"][0]["virtual_hosts"][0]
    let_through = set()
    for route in table["routes"]:
        if "grpc" not in route["match"]:
            method = next(h for h in route["match"]["headers"] if h["name"] == ":method")
            let_through.add((route["match"]["path"], method["string_match"]["exact"]))
    assert described == let_through


def test_every_status_that_errors_have_is_described() -> None:
    described = {int(status) for status in API["paths"][V2_PATH]["post"]["responses"]}
    assert {400, 404, 405, 408, 413, 415, 500, 503, 504} <= described
    assert to_http(RequestError("x", status=404), "r")[0] in described


def test_the_metadata_has_the_described_form(contract: Contract) -> None:
    schema = {**API, "$ref": "#/components/schemas/ModelMetadata"}
    Draft202012Validator(schema).validate(orjson.loads(orjson.dumps(metadata.model(contract))))
    server = metadata.server(version="0.1.0")
    assert valid(server, "ServerMetadata")
    assert API["paths"]["/v2"]["get"]["responses"]["200"]["content"]["application/json"]["example"] == server


def test_limits_and_names_are_those_of_the_code(contract: Contract) -> None:
    assert SCHEMAS["OutputName"]["enum"] == list(OUTPUTS)
    assert set(SCHEMAS["Datatype"]["enum"]) == set(v2_binary.DATATYPES)
    assert SCHEMAS["InferRequest"]["properties"]["inputs"]["maxItems"] == MAX_TENSORS
    assert SCHEMAS["InferRequest"]["properties"]["id"]["maxLength"] == MAX_ID_CHARACTERS
    assert SCHEMAS["InputTensor"]["properties"]["shape"]["maxItems"] == MAX_DIMENSIONS
    assert SCHEMAS["PredictRequest"]["properties"]["instances"]["maxItems"] == MAX_LEADS
    parameters = SCHEMAS["RequestParameters"]["properties"]
    assert parameters["reasons"]["maximum"] == MAX_REASONS
    described = metadata.model(contract)["parameters"]["request_parameters"]
    assert set(parameters) == set(described)
    for name, parameter in parameters.items():
        assert parameter.get("default") == described[name].get("default")
        assert parameter.get("minimum") == described[name].get("minimum")


def messages(
    of: descriptor_pb2.FileDescriptorProto | descriptor_pb2.DescriptorProto, prefix: str = ""
) -> Iterator[tuple[str, descriptor_pb2.DescriptorProto]]:
    nested = of.message_type if isinstance(of, descriptor_pb2.FileDescriptorProto) else of.nested_type
    for message in nested:
        yield prefix + message.name, message
        yield from messages(message, f"{prefix}{message.name}.")


def test_the_proto_is_a_part_of_the_protocol(tmp_path: Path) -> None:
    """Compiled and compared with the KServe SDK's: same fields, numbers, types; served methods only."""
    target = tmp_path / "set"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{DOCS}", f"--descriptor_set_out={target}"]
    done = subprocess.run(
        [*command, "open_inference_grpc.proto"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    ours = descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file[0]
    theirs = descriptor_pb2.FileDescriptorProto()
    grpc_predict_v2_pb2.DESCRIPTOR.CopyToProto(theirs)
    assert ours.package == theirs.package

    known = dict(messages(theirs))
    for _, message in messages(ours):
        for field in message.field:
            field.ClearField("json_name")  # the compiler adds it
    for name, message in messages(ours):
        assert message == known[name], name
    assert {name for name in known if not name.startswith("Repository")} == {name for name, _ in messages(ours)}

    methods = {method.name: method for method in theirs.service[0].method}
    assert ours.service[0].name == theirs.service[0].name
    served = [method.name for method in ours.service[0].method]
    assert served == list(GRPC_METHODS)
    for method in ours.service[0].method:
        assert method == methods[method.name]


def test_api_md_names_every_output_and_parameter() -> None:
    text = (DOCS / "api.md").read_text()
    for name in (*OUTPUTS, *SCHEMAS["RequestParameters"]["properties"]):
        assert f"`{name}`" in text, name


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / "api.md").read_text(), re.DOTALL)


def test_the_json_in_api_md_is_read() -> None:
    read_any = 0
    for block in blocks("bash"):
        for path, body in re.findall(r"(/v[12]/models/lead-scoring\S+).*?-d '(.*?)'", block, re.DOTALL):
            _, batch = read(V1_PATH if path.startswith("/v1") else V2_PATH, orjson.loads(body))
            assert batch.report.total == 0
            read_any += 1
    assert read_any >= 2


@pytest.fixture(scope="module")
def ports(contract: Contract) -> Iterator[tuple[int, int]]:
    described = metadata.model(msgspec.structs.replace(contract, features=list(PLAN.features)))
    with serving(PLAN, described) as found:
        yield found


@pytest.mark.parametrize("block", blocks("python"), ids=range(len(blocks("python"))))
def test_the_python_in_api_md_runs(block: str, ports: tuple[int, int]) -> None:
    """Each in a process of its own, as a reader would run it."""
    http, grpc = ports
    script = block.replace("127.0.0.1:8080", f"127.0.0.1:{grpc if 'grpc' in block else http}")
    assert script != block
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"[1-5]", done.stdout)


@pytest.mark.parametrize("command", blocks("bash"), ids=range(len(blocks("bash"))))
def test_the_curl_in_api_md_runs(command: str, ports: tuple[int, int]) -> None:
    script = command.replace("127.0.0.1:8080", f"127.0.0.1:{ports[0]}")
    assert script != command
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert '"score"' in done.stdout


def test_the_error_in_api_md_is_the_one_in_openapi() -> None:
    assert [orjson.loads(block) for block in blocks("json")] == [invalid("values")]
