from __future__ import annotations

from typing import Any

import orjson
import pytest
from lead_transformer import v1_json
from lead_transformer.messages import Options

from lead_scoring.errors import InvalidLeads, ServiceError
from tests.support.small_model import records
from tests.transformer.codecs.examples import answer, assemble, v1_body

PERSONAL = "jane.doe@example.com"


def problems_of(body: bytes) -> list[tuple[str, str]]:
    with pytest.raises(InvalidLeads) as caught:
        v1_json.decode(body)
    assert PERSONAL not in str(caught.value.problems)
    return [(problem.path, problem.reason) for problem in caught.value.problems]


def test_reads_records_and_parameters() -> None:
    leads = records(3)
    request = v1_json.decode(v1_body(leads, explain=True, reasons=3, as_of=0))
    assert request.records == leads
    assert request.tensors is None
    assert request.options == Options(explain=True, reasons=3, as_of=0.0)
    assert assemble(request).report.total == 0


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, [("$.instances", "missing")]),
        ({"instance": []}, [("$", "unknown_field"), ("$.instances", "missing")]),
        ({"instances": [], PERSONAL: 1}, [("$", "unknown_field")]),
        ({"instances": [], "parameters": 5}, [("$.parameters", "wrong_type")]),
        ({"instances": [], "parameters": {"reasons": PERSONAL}}, [("$.parameters.reasons", "invalid_parameter")]),
        ({"parameters": {"explain": 1}}, [("$.instances", "missing"), ("$.parameters.explain", "invalid_parameter")]),
        ([], [("$", "wrong_type")]),
    ],
)
def test_tells_every_envelope_problem_at_once(document: Any, expected: list[tuple[str, str]]) -> None:
    assert problems_of(orjson.dumps(document)) == expected


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"instances": [NaN]}', b'{"instances": [{"lead_id": "\\udfff"}]}']
)
def test_refuses_what_is_not_json(body: bytes) -> None:
    assert problems_of(body) == [("$", "malformed_json")]


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [], "instances": []}',
        b'{"instances": [{"lead_id": "a", "size": 1, "size": 2}]}',
        b'{"instances": [{"lead_id": "a:b", "last_seen": "2026-01-01T00:00:00Z", "size": 1, "size": 2}]}',
        b'{"instances": [{"lead_id": "\\u003a\\u003a\\u003a\\u003a", "size": 1, "size": 2}]}',
    ],
)
def test_refuses_a_key_that_appears_twice(body: bytes) -> None:
    assert problems_of(body) == [("$", "duplicate_key")]


@pytest.mark.parametrize(
    "instances", [None, {}, "x", 5, [], [1], [None], [[]], [{}] * 501, [{"lead_id": "a", PERSONAL: 1}]]
)
def test_leaves_the_records_to_the_assembly_which_refuses_them(instances: Any) -> None:
    batch = assemble(v1_json.decode(orjson.dumps({"instances": instances})))
    assert batch.report.total > 0
    assert PERSONAL not in str(batch.report.problems(batch.layout))


def test_answers_with_one_object_per_lead() -> None:
    truth = answer(3)
    response = orjson.loads(v1_json.encode(v1_json.decode(v1_body(records(3))), truth))
    assert response["predictions"][1] == {
        "lead_id": "lead é 1",
        "score": truth.score[1],
        "probability": truth.probability[1],
        "confidence": truth.confidence[1],
        "features_used": truth.features_used[1],
        "model_version": "7",
        "variant": "v7-canary",
    }
    assert len(response["predictions"]) == 3
    assert response["parameters"] == {
        "model_name": "lead-scoring",
        "model_version": "7",
        "request_id": "request-1",
        "timestamp": "2026-11-21T10:00:00.123Z",
        "total_leads": 3,
        "processing_time_ms": 12.346,
    }


def test_adds_reasons_and_times_when_asked() -> None:
    truth = answer(2, reasons=True)
    request = v1_json.decode(v1_body(records(2), explain=True, prediction_time=True))
    prediction = orjson.loads(v1_json.encode(request, truth))["predictions"][0]
    assert prediction["reasons"][1] == {"feature": "size", "contribution": -0.1, "direction": "lowers"}
    assert prediction["prediction_time_ms"] == 0.1
    with pytest.raises(ServiceError):
        v1_json.encode(request, answer(2))
