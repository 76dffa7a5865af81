"""What holds for every lead, in every batch, in every form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lead_scoring.core.assembly import Tensor, from_records, from_tensors
from lead_scoring.core.features import encode
from lead_scoring.core.plan import ACCEPTED
from lead_scoring.core.scoring import interpret
from lead_scoring.errors import InvalidLeads
from tests.core.table import DAY, FEATURES, NAMES, NOW, PLAN, SOUND, run, tensors
from tests.support.small_model import draft

pytestmark = pytest.mark.filterwarnings("error")
CONTRACT = draft(features=FEATURES)

ACCEPTABLE = st.fixed_dictionaries(
    {
        "lead_id": st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
        "size": st.integers(1, 1_000_000),
        "band": st.sampled_from(["low", "high"]),
    },
    optional={
        "rate": st.none() | st.floats(-1.5, 2.5),
        "score": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "sales": st.none() | st.floats(-1e6, 1e6) | st.integers(-(10**30), 10**30),
        "free": st.none() | st.floats(-1e30, 1e30),
        "visits": st.none() | st.integers(),
        "salary": st.none() | st.floats(0, 10),
        "client": st.none() | st.booleans(),
        "seen": st.none() | st.integers(0, 3650 * DAY).map(lambda ago: _text(NOW - ago)),
        "area": st.none() | st.sampled_from(["emea", "amer", "mars", ""]),
        "trade": st.none() | st.sampled_from(["bank", "shop", "other", "mining", "\x00"]),
        "odd name": st.none() | st.just("x"),
    },
)
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 2**64 - 1])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(st.characters(), max_size=10) | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6) | st.sampled_from(NAMES), inner, max_size=6)
    ),
    max_leaves=12,
)
ANY_RECORD = st.dictionaries(st.sampled_from([*NAMES, "lead_id"]), JSON, max_size=14).map(
    lambda found: {**SOUND, **found}
)
ANY_TENSOR = st.builds(
    Tensor,
    name=st.sampled_from([*NAMES, "lead_id", "features", "nobody"]),
    datatype=st.sampled_from(["FP64", "FP32", "INT64", "UINT8", "BOOL", "BYTES", "FP16", ""]),
    shape=st.lists(st.integers(-2, 3) | st.sampled_from([13, 10**400, None, "1", 1.5, True]), max_size=3),
    data=st.lists(JSON, max_size=3) | st.lists(st.floats(width=32), max_size=3).map(np.array),
)


def _text(moment: float) -> str:
    return str(np.datetime64(int(moment), "s")) + "Z"


def margins(matrix: np.ndarray) -> np.ndarray:
    """Stand in for a model: like one, row by row, and noticing every column and gap."""
    weights = np.cos(np.arange(matrix.shape[1], dtype=np.float32))
    terms = np.where(np.isnan(matrix), np.float32(0.37), np.tanh(matrix * np.float32(0.1))) * weights
    total = np.zeros(len(matrix), dtype=np.float32)
    for column in range(matrix.shape[1]):
        total += terms[:, column]
    return total


def answers(records: list[dict[str, Any]]) -> list[tuple[bytes, int, bytes, bytes]]:
    """Return each lead's encoding and answers, to the bit."""
    batch = from_records(PLAN, records, max_leads=len(records))
    encoded = run(batch)
    batch.report.raise_if_any(batch.layout)
    scores = interpret(CONTRACT, margins(encoded.matrix))
    columns = (scores.probability, scores.confidence)
    return [
        (encoded.matrix[row].tobytes(), int(scores.score[row]), columns[0][row].tobytes(), columns[1][row].tobytes())
        for row in range(len(records))
    ]


@settings(deadline=None)
@given(st.lists(ACCEPTABLE, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_a_lead_scores_the_same_alone_in_any_batch_and_in_any_order(leads: list[dict[str, Any]], random: Any) -> None:
    together = answers(leads)
    assert [answers([lead])[0] for lead in leads] == together
    order = list(range(len(leads)))
    random.shuffle(order)
    assert answers([leads[row] for row in order]) == [together[row] for row in order]


@settings(deadline=None)
@given(st.lists(ACCEPTABLE, min_size=1, max_size=6))
def test_named_tensors_packed_tensors_and_records_agree_to_the_bit(leads: list[dict[str, Any]]) -> None:
    records = from_records(PLAN, leads, max_leads=9)
    named = from_tensors(PLAN, tensors(*leads), max_leads=9)
    ids = Tensor("lead_id", "BYTES", [len(leads)], [lead["lead_id"] for lead in leads])
    shape = [len(leads), len(NAMES)]
    packed = [
        from_tensors(PLAN, [ids, Tensor("features", "FP64", shape, data)], max_leads=9)
        for data in (records.raw.ravel(), [None if v != v else v for v in records.raw.ravel().tolist()])
    ]
    expected = run(records)
    assert records.report.total == 0
    for batch in (named, *packed):
        found = run(batch)
        assert batch.report.total == 0
        assert batch.lead_ids == records.lead_ids
        assert found.matrix.tobytes() == expected.matrix.tobytes()
        assert found.used.tolist() == expected.used.tolist()


@settings(deadline=None)
@given(st.lists(ACCEPTABLE, min_size=1, max_size=6))
def test_arrays_mean_what_lists_mean(leads: list[dict[str, Any]]) -> None:
    listed = tensors(*leads)
    kinds = {"FP64": np.float64}
    arrays = [
        Tensor(t.name, t.datatype, t.shape, np.array([np.nan if v is None else v for v in t.data], kinds[t.datatype]))
        if t.datatype in kinds
        else t
        for t in listed
    ]
    one, other = from_tensors(PLAN, listed, max_leads=9), from_tensors(PLAN, arrays, max_leads=9)
    assert run(one).matrix.tobytes() == run(other).matrix.tobytes()


def check_report(batch: Any) -> None:
    """Assert that everything found can be said, each value once."""
    run(batch)
    seen = [(int(row), finding.column) for finding in batch.report.findings for row in finding.rows]
    assert len(seen) == len(set(seen))
    listed = batch.report.problems(batch.layout)
    assert len(listed) == min(batch.report.total, 100)
    for problem in listed:
        assert problem.path.startswith("$")
        str(problem).encode()
    if batch.report.total:
        with pytest.raises(InvalidLeads):
            batch.report.raise_if_any(batch.layout)


@settings(deadline=None, max_examples=300)
@given(JSON | st.lists(ANY_RECORD | JSON, max_size=5))
def test_any_json_is_answered_with_problems_and_never_with_a_fault(value: Any) -> None:
    check_report(from_records(PLAN, value, max_leads=4))


@settings(deadline=None, max_examples=300)
@given(st.lists(ANY_TENSOR, max_size=8), st.booleans())
def test_any_tensors_are_answered_with_problems_and_never_with_a_fault(found: list[Tensor], beside_sound: bool) -> None:
    taken = {tensor.name for tensor in found}
    sound = [tensor for tensor in tensors(SOUND) if tensor.name not in taken] if beside_sound else []
    check_report(from_tensors(PLAN, [*sound, *found], max_leads=4))


@settings(deadline=None, max_examples=300)
@given(st.lists(st.floats(), min_size=len(NAMES), max_size=len(NAMES)), st.floats(-1e10, 1e10))
def test_every_float_is_encoded_or_refused(row: list[float], as_of: float) -> None:
    encoded = encode(PLAN, np.array([row]), as_of)
    refused = {finding.column for finding in encoded.findings}
    for column, value in enumerate(encoded.matrix[0].tolist()):
        assert np.isfinite(value) or np.isnan(value)
        feature = FEATURES[column]
        if column not in refused and not feature.nullable:
            assert np.isfinite(value)
        if column in refused and feature.imputation.value is None:
            assert np.isnan(value)


def test_every_type_of_feature_is_in_the_table() -> None:
    assert {feature.type for feature in FEATURES} == ACCEPTED.keys()
