"""Decoding costs little more than parsing: ratios to a baseline measured in turn, so that a busy machine slows both."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import orjson
from lead_transformer import v2_json

from tests.transformer.codecs.examples import binary_body, frame

IDS = [f"lead:{row}" for row in range(500)]
VALUES = np.random.default_rng(0).random((500, 50))


def ratio(work: Callable[[], object], baseline: Callable[[], object], *, rounds: int = 60) -> float:
    """Return the best time of `work` over the best of `baseline`; the best is the least disturbed."""
    best = [float("inf")] * 2
    for _ in range(rounds):
        for position, call in enumerate((work, baseline)):
            start = time.perf_counter()
            call()
            best[position] = min(best[position], time.perf_counter() - start)
    return best[0] / best[1]


def packed(data: object) -> bytes:
    return orjson.dumps(
        {
            "inputs": [
                {"name": "lead_id", "datatype": "BYTES", "shape": [500], "data": IDS},
                {"name": "features", "datatype": "FP64", "shape": [500, 50], "data": data},
            ]
        }
    )


def test_packed_json_costs_about_what_orjson_does() -> None:
    body = packed(VALUES.ravel().tolist())
    assert ratio(lambda: v2_json.decode(body, {}), lambda: orjson.loads(body)) < 3


def test_nested_json_costs_about_what_orjson_does() -> None:
    body = packed(VALUES.tolist())
    assert ratio(lambda: v2_json.decode(body, {}), lambda: orjson.loads(body)) < 4


def test_many_small_tensors_cost_a_few_times_what_orjson_does() -> None:
    inputs = [{"name": f"f{i}", "datatype": "FP64", "shape": [1], "data": [0.5]} for i in range(50)]
    body = orjson.dumps({"inputs": inputs})
    assert ratio(lambda: v2_json.decode(body, {}), lambda: orjson.loads(body), rounds=300) < 12


def test_bytes_cost_a_small_part_of_json() -> None:
    """The same 500 × 50 numbers; the ids, one by one, are the larger part of what is left."""
    raw, headers = binary_body(
        [("lead_id", "BYTES", [500], frame("BYTES", IDS)), ("features", "FP64", [500, 50], VALUES.tobytes())]
    )
    body = packed(VALUES.ravel().tolist())
    assert ratio(lambda: v2_json.decode(raw, headers), lambda: orjson.loads(body)) < 0.5
