"""The SDK's own way to the model works through the same service; what breaks inside stays inside."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from kserve import InferInput, InferRequest
from kserve.errors import InvalidInput
from kserve.model import InferenceVerb
from lead_transformer.admission import Admission, AdmissionLimits
from lead_transformer.calls import Calls
from lead_transformer.deadlines import Allowance
from lead_transformer.lifecycle import Lifecycle
from lead_transformer.metrics import Identity, Metrics
from lead_transformer.model import LeadModel
from lead_transformer.predictor import Prediction, PredictorIdentity
from lead_transformer.rest import BodyLimits, RestApp
from lead_transformer.service import Service
from lead_transformer.silence import Silence
from numpy.typing import NDArray

from lead_scoring.packaging import booster
from lead_scoring.packaging import folder as version_folder
from tests.transformer.service.payloads import INFER, PREDICT, records, v1, v2


class InProcess:
    """A `Predictor` without a server: the model itself, or the error that it is told to raise."""

    def __init__(self, folder: Path) -> None:
        files = version_folder.read_verified(folder)
        self.contract = files.contract
        self._booster = booster.load(files.contract, files.model)
        self.error: Exception | None = None

    async def predict(
        self, matrix: NDArray[np.float32], *, explain: bool, timeout_s: float, traceparent: str | None
    ) -> Prediction:
        assert timeout_s > 0
        assert traceparent is None
        if self.error is not None:
            raise self.error
        return Prediction(
            booster.margins(self._booster)(matrix), booster.contributions(self._booster, matrix) if explain else None
        )

    async def identify(self, *, timeout_s: float) -> PredictorIdentity:
        raise AssertionError(f"nobody asks who it is, within {timeout_s} s")

    async def close(self) -> None:
        raise AssertionError("nobody closes it")


class House:
    """The service with all that it needs, in one process and without a socket."""

    def __init__(self, folder: Path) -> None:
        self.predictor = InProcess(folder)
        contract = self.predictor.contract
        self.metrics = Metrics(
            Identity("v7", "lead-scoring", "7", "0" * 64, "0"), [f.name for f in contract.features], 5
        )
        self.lines: list[bytes] = []
        self.calls = Calls(
            variant="v7",
            model_version="7",
            allowance=Allowance(30, 0.02),
            metrics=self.metrics,
            access_log=self.lines.append,
            tracer=None,
        )
        self.lifecycle = Lifecycle(verified=True, healthy=True)
        self.silence = Silence(4.0)
        self.service = Service(
            contract,
            self.predictor,
            variant="v7",
            admission=Admission(AdmissionLimits(4, 4, 1.0)),
            lifecycle=self.lifecycle,
            metrics=self.metrics,
            silence=self.silence,
            max_leads=500,
        )
        self.model = LeadModel(self.service, self.calls, self.lifecycle)

    def post(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Ask the REST application."""
        app = RestApp(
            self.service,
            self.calls,
            self.lifecycle,
            self.silence,
            None,
            limits=BodyLimits(10**6, 30),
            max_leads=500,
            variant="v7",
            software_version="0",
        )
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(event: dict[str, Any]) -> None:
            sent.append(event)

        scope = {
            "type": "http",
            "method": "POST",
            "raw_path": path.encode(),
            "headers": [(b"content-type", b"application/json")],
        }
        asyncio.run(app(scope, receive, send))
        return sent[0]["status"], orjson.loads(sent[1]["body"])


@pytest.fixture
def house(folder: Path) -> House:
    return House(folder)


@pytest.mark.parametrize(("path", "body"), [(INFER, v2(records(2))), (PREDICT, v1(records(2)))])
def test_an_error_that_nobody_thought_of_is_500_and_says_nothing(
    house: House, caplog: pytest.LogCaptureFixture, path: str, body: dict[str, Any]
) -> None:
    house.predictor.error = ZeroDivisionError("jane@example.com")
    with caplog.at_level(logging.ERROR, logger="lead_transformer"):
        status, answer = house.post(path, orjson.dumps(body))
    assert status == 500
    assert answer["code"] == "internal"
    assert answer["request_id"]
    assert "jane" not in str(answer)
    assert "ZeroDivision" not in str(answer)
    record = caplog.records[-1]
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
    from lead_transformer.logs import JsonFormatter

    line = JsonFormatter().format(record)
    assert "jane" not in line
    assert orjson.loads(line)["exception"] == "ZeroDivisionError"
    assert any("predict" in frame for frame in orjson.loads(line)["at"])
    house.predictor.error = None
    assert house.post(path, orjson.dumps(body))[0] == 200  # and its place was given back


def test_the_sdk_scores_v2_as_the_doors_do(house: House) -> None:
    leads = records(3)
    status, expected = house.post(INFER, orjson.dumps(v2(leads)))
    assert status == 200
    body = v2(leads)
    inputs = [InferInput(t["name"], t["shape"], t["datatype"], t["data"]) for t in body["inputs"]]
    request = InferRequest("lead-scoring", inputs, parameters=body["parameters"])
    answer, headers = asyncio.run(house.model(request, {"X-Request-Id": "abc"}))
    assert headers == {}
    assert [(o.name, list(o.data)) for o in answer.outputs] == [(o["name"], o["data"]) for o in expected["outputs"]]


def test_the_sdk_scores_v1_as_the_doors_do(house: House) -> None:
    body = v1(records(3))
    expected = house.post(PREDICT, orjson.dumps(body))[1]["predictions"]
    for form in (body, orjson.dumps(body)):
        answer, _ = asyncio.run(house.model(form))
        assert answer["predictions"] == expected


def test_the_sdk_is_told_what_is_wrong(house: House) -> None:
    with pytest.raises(InvalidInput, match="size"):
        asyncio.run(house.model({"instances": [{**records(1)[0], "size": 0}]}))
    with pytest.raises(NotImplementedError):
        asyncio.run(house.model({}, verb=InferenceVerb.EXPLAIN))
    house.predictor.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        asyncio.run(house.model(v1(records(1))))


def test_nobody_but_the_checks_can_make_the_model_ready(house: House) -> None:
    model = house.model
    assert model.ready
    house.lifecycle.healthy = False
    model.ready = True
    model.start()
    model.load()
    assert not model.ready
    assert not asyncio.run(model.healthy())


def test_the_sdk_can_describe_the_model(house: House) -> None:
    names = [tensor["name"] for tensor in house.model.get_input_types()]
    assert names == ["lead_id", *(feature.name for feature in house.predictor.contract.features)]
    assert {tensor["name"] for tensor in house.model.get_output_types()} >= {"score", "probability", "confidence"}
