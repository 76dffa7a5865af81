"""The same leads put to every system in its own words, with the right answer known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from bench.connections import Response, build_request
from bench.generator import Shot
from lead_scoring.contract.types import Contract
from lead_scoring.core.scoring import Scores

__all__ = ["fastapi_shots", "v2_shots"]

_Reader = Callable[[Any], tuple[Sequence[int], Sequence[float]]]
_TOLERANCE = 2e-6


def v2_shots(
    contract: Contract,
    matrix: NDArray[np.float64],
    answers: Scores,
    *,
    batch: int,
    named: bool,
    parameters: Mapping[str, Any] | None = None,
) -> list[Shot]:
    """Return V2 JSON requests of `batch` leads each, as one packed tensor or as one tensor per feature.

    Args:
        contract: the model's contract.
        matrix: numeric leads `(m, f)`.
        answers: their offline scores.
        batch: leads a request.
        named: one tensor per feature.
        parameters: of the request.
    """
    names = [feature.name for feature in contract.features]
    shots = []
    for begin in range(0, len(matrix) - batch + 1, batch):
        rows = matrix[begin : begin + batch]
        ids = [f"lead-{begin + i}" for i in range(batch)]
        inputs: list[dict[str, Any]] = [{"name": contract.id_field, "datatype": "BYTES", "shape": [batch], "data": ids}]
        if named:
            inputs += [
                {"name": name, "datatype": "FP64", "shape": [batch], "data": rows[:, j].tolist()}
                for j, name in enumerate(names)
            ]
        else:
            inputs.append(
                {"name": "features", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
            )
        asked = {} if parameters is None else {"parameters": parameters}
        body = orjson.dumps({"id": f"bench-{begin}", **asked, "inputs": inputs})
        request = build_request(f"/v2/models/{contract.model.name}/infer", body)
        shots.append(Shot(request, _check(answers, begin, batch, _read_v2)))
    return shots


def fastapi_shots(contract: Contract, matrix: NDArray[np.float64], answers: Scores, *, batch: int) -> list[Shot]:
    """Return the hand-written service's requests of `batch` leads each."""
    names = [feature.name for feature in contract.features]
    shots = []
    for begin in range(0, len(matrix) - batch + 1, batch):
        leads = [
            {contract.id_field: f"lead-{begin + i}", **dict(zip(names, matrix[begin + i].tolist(), strict=True))}
            for i in range(batch)
        ]
        request = build_request("/score", orjson.dumps({"leads": leads}))
        shots.append(Shot(request, _check(answers, begin, batch, _read_records)))
    return shots


def mlserver_shots(
    contract: Contract, matrix: NDArray[np.float64], probability: NDArray[np.float64], *, batch: int
) -> list[Shot]:
    """Return packed V2 requests for a bare MLServer, which answers with uncalibrated probabilities `(m,)`."""
    shots = []
    for begin in range(0, len(matrix) - batch + 1, batch):
        rows = matrix[begin : begin + batch]
        tensor = {"name": "features", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
        request = build_request(f"/v2/models/{contract.model.name}/infer", orjson.dumps({"inputs": [tensor]}))
        expected = probability[begin : begin + batch]

        def check(response: Response, expected: NDArray[np.float64] = expected) -> str | None:
            if response.status != 200:
                return f"status {response.status}"
            got = np.array(orjson.loads(response.body)["outputs"][0]["data"], dtype=np.float64)
            return (
                None
                if got.shape == expected.shape and np.abs(got - expected).max() < _TOLERANCE
                else "a wrong probability"
            )

        shots.append(Shot(request, check))
    return shots


def _check(answers: Scores, begin: int, batch: int, read: _Reader) -> Callable[[Response], str | None]:
    score = answers.score[begin : begin + batch].tolist()
    probability = answers.probability[begin : begin + batch]

    # a probability this close to an edge may fall on the other side after a peer's float32 round trip
    def check(response: Response) -> str | None:
        if response.status != 200:
            return f"status {response.status}: {response.body[:200]!r}"
        got_score, got_probability = read(orjson.loads(response.body))
        if np.abs(np.asarray(got_probability) - probability).max() > _TOLERANCE:
            return "a wrong probability"
        return None if list(got_score) == score else "a wrong score"

    return check


def _read_v2(body: Any) -> tuple[Sequence[int], Sequence[float]]:
    outputs = {output["name"]: output["data"] for output in body["outputs"]}
    return outputs["score"], outputs["probability"]


def _read_records(body: Any) -> tuple[Sequence[int], Sequence[float]]:
    predictions = body["predictions"]
    return [p["score"] for p in predictions], [p["probability"] for p in predictions]
