from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lead_scoring.contract.types import Feature
from lead_scoring.core.assembly import ACCEPTED, Tensor, from_records, from_tensors
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.errors import InvalidLeads
from tests.core.table import (
    NAMES,
    NOW,
    PLAN,
    SOUND,
    SOUND_ROW,
    lead,
    problems,
    raw_row,
    replaced,
    score_records,
    score_tensors,
    tensors,
)

pytestmark = pytest.mark.filterwarnings("error")
NAN = float("nan")
ID = Tensor("lead_id", "BYTES", [1], ["a"])


def packed(data: Any = None, **changes: Any) -> list[Tensor]:
    """Return the sound lead packed, with changes to the packed tensor."""
    values = raw_row().ravel() if data is None else data
    fields = {"name": "features", "datatype": "FP64", "shape": [1, len(NAMES)], "data": values, **changes}
    return [ID, Tensor(**fields)]


def without(*names: str) -> list[Tensor]:
    return [tensor for tensor in tensors(SOUND) if tensor.name not in names]


def test_named_packed_and_records_make_the_same_batch() -> None:
    found = [score_tensors(tensors(SOUND)), score_tensors(packed()), score_records([SOUND])]
    assert [batch.report.total for batch, _ in found] == [0, 0, 0]
    assert [batch.lead_ids for batch, _ in found] == [["a"]] * 3
    assert [encoded.matrix.tolist() for _, encoded in found] == [[SOUND_ROW]] * 3


def test_a_packed_list_may_hold_nulls() -> None:
    values: list[Any] = raw_row().ravel().tolist()
    values[NAMES.index("rate")] = None
    batch, encoded = score_tensors(packed(values))
    assert batch.report.total == 0
    assert encoded.used.tolist() == [12]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ([], [("$.inputs", "missing_tensor")] * 3),
        (without("lead_id"), [("$.inputs", "missing_tensor")]),
        (without("size", "band"), [("$.inputs", "missing_tensor")] * 2),
        (without("rate", "seen"), []),
        ([*tensors(SOUND), Tensor("nobody", "FP64", [1], [1.0])], [("$.inputs[14].name", "unknown_tensor")]),
        ([*tensors(SOUND), ID], [("$.inputs[14].name", "duplicate_tensor")]),
        ([*tensors(SOUND), *packed()[1:]], [("$.inputs[14]", "ambiguous")]),
        (packed()[1:], [("$.inputs", "missing_tensor")]),
        (packed(datatype="INT64"), [("$.inputs[1].datatype", "wrong_datatype")]),
        (packed(shape=[1, 12]), [("$.inputs[1].shape", "wrong_shape")]),
        (packed(shape=[13]), [("$.inputs[1].shape", "wrong_shape")]),
        (packed(shape=[2, 13]), [("$.inputs[1].data", "wrong_length"), ("$.inputs[1].shape", "ragged")]),
        (replaced("rate", datatype="BYTES"), [("$.inputs[2].datatype", "wrong_datatype")]),
        (replaced("rate", datatype="fp64"), [("$.inputs[2].datatype", "wrong_datatype")]),
        (replaced("lead_id", datatype="INT64"), [("$.inputs[0].datatype", "wrong_datatype")]),
        (replaced("size", datatype="FP16"), [("$.inputs[1].datatype", "wrong_datatype")]),
        (replaced("rate", shape=[]), [("$.inputs[2].shape", "wrong_shape")]),
        (replaced("rate", shape=[1, 1, 1]), [("$.inputs[2].shape", "wrong_shape")]),
        (replaced("rate", shape=[1, 2]), [("$.inputs[2].shape", "wrong_shape")]),
        (replaced("rate", shape=[-1]), [("$.inputs[2].shape", "wrong_shape")]),
        (replaced("rate", shape=[10**5000]), [("$.inputs[2].shape", "wrong_shape")]),
        (replaced("rate", shape=["1"]), [("$.inputs[2].shape", "wrong_shape")]),
        (replaced("rate", shape=[1.0]), [("$.inputs[2].shape", "wrong_shape")]),
        (replaced("rate", shape=[True]), [("$.inputs[2].shape", "wrong_shape")]),
        (replaced("rate", shape=[None, 1]), [("$.inputs[2].shape", "wrong_shape")]),
        (replaced("rate", shape=[1, 1]), []),
        (replaced("rate", data=[]), [("$.inputs[2].data", "wrong_length")]),
        (replaced("rate", data=[1.0, 2.0]), [("$.inputs[2].data", "wrong_length")]),
        (replaced("rate", shape=[2], data=[1.0, 2.0]), [("$.inputs[2].shape", "ragged")]),
        (replaced("size", shape=[0], data=[]), [("$.inputs[1].shape", "ragged")]),
    ],
)
def test_structure(inputs: list[Tensor], expected: list[tuple[str, str]]) -> None:
    assert problems(from_tensors(PLAN, inputs, max_leads=500)) == expected


def test_one_broken_tensor_hides_no_other_problem() -> None:
    inputs = replaced("size", datatype="BOOL")
    inputs[2] = Tensor("rate", "FP64", [1], [99.0])
    inputs[0] = Tensor("lead_id", "BYTES", [1], [""])
    assert problems(from_tensors(PLAN, inputs, max_leads=500)) == [
        ("$.inputs[1].datatype", "wrong_datatype"),
        ("$.inputs[0].data[0]", "missing"),
        ("$.inputs[2].data[0]", "out_of_range"),
    ]


def test_where_tensors_disagree_the_majority_is_right() -> None:
    inputs = tensors(lead(), lead(rate=99))
    inputs[0] = Tensor("lead_id", "BYTES", [1], ["a"])
    assert problems(from_tensors(PLAN, inputs, max_leads=500)) == [
        ("$.inputs[0].shape", "ragged"),
        ("$.inputs[2].data[1]", "out_of_range"),
    ]


@pytest.mark.parametrize("count", [0, 501, 10**6])
def test_too_many_or_no_leads(count: int) -> None:
    wide = [Tensor(t.name, t.datatype, [count], list(t.data) * count) for t in tensors(SOUND)]
    assert problems(from_tensors(PLAN, wide, max_leads=500)) == [("$.inputs", "batch_size")]
    assert problems(from_records(PLAN, [SOUND] * count, max_leads=500)) == [("$.instances", "batch_size")]


def test_as_many_leads_as_allowed() -> None:
    batch, encoded = score_tensors([Tensor(t.name, t.datatype, [500], list(t.data) * 500) for t in tensors(SOUND)])
    assert batch.report.total == 0
    assert len(batch) == 500
    assert encoded.matrix.tolist() == [SOUND_ROW] * 500


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (None, [("$.instances", "wrong_type")]),
        ({"lead_id": "a"}, [("$.instances", "wrong_type")]),
        ("abc", [("$.instances", "wrong_type")]),
        ([3], [("$.instances[0]", "wrong_type")]),
        ([[], lead(rate=9)], [("$.instances[0]", "wrong_type"), ("$.instances[1].rate", "out_of_range")]),
        ([lead(nobody=1, someone=2)], [("$.instances[0]", "unknown_field")]),
        ([lead(lead_id=None)], [("$.instances[0].lead_id", "missing")]),
        ([lead(**{"odd name": 4})], [('$.instances[0]["odd name"]', "wrong_type")]),
        (
            [{}],
            [
                ("$.instances[0].lead_id", "missing"),
                ("$.instances[0].size", "missing"),
                ("$.instances[0].band", "missing"),
            ],
        ),
    ],
)
def test_records(records: Any, expected: list[tuple[str, str]]) -> None:
    assert problems(from_records(PLAN, records, max_leads=500)) == expected


def test_unknown_names_are_counted_and_not_repeated() -> None:
    batch = from_records(PLAN, [lead(jane_doe=1, john_doe=2), lead(x=1)], max_leads=500)
    assert [p.got for p in batch.report.problems(batch.layout)] == [
        "2 names that the model does not know",
        "1 name that the model does not know",
    ]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "missing"),
        (b"", "missing"),
        (None, "missing"),
        (7, "wrong_type"),
        (["a"], "wrong_type"),
        (b"\xff", "not_utf8"),
        ("a\ud800", "not_utf8"),
        ("x" * 257, "too_long"),
        ("é" * 129, "too_long"),
        (b"x" * 257, "too_long"),
    ],
)
def test_an_unusable_id_is_reported_where_it_stands(value: Any, reason: str) -> None:
    inputs = tensors(lead(), lead(lead_id=value))
    batch = from_tensors(PLAN, inputs, max_leads=500)
    assert batch.lead_ids == ["a", ""]
    assert problems(batch) == [("$.inputs[0].data[1]", reason)]


@pytest.mark.parametrize("value", ["a", "x" * 256, b"a", "é" * 128, "\x00", " ", "日本"])
def test_a_usable_id_is_kept(value: str | bytes) -> None:
    batch = from_tensors(PLAN, tensors(lead(lead_id=value)), max_leads=500)
    assert batch.lead_ids == [value.decode() if isinstance(value, bytes) else value]
    assert problems(batch) == []


ARRAYS = {"FP64": "<f8", "FP32": "<f4", "BOOL": "?", **{f"INT{b}": f"<i{b // 8}" for b in (8, 16, 32, 64)},
          **{f"UINT{b}": f"<u{b // 8}" for b in (8, 16, 32, 64)}}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "datatype"),
    [
        (name, datatype)
        for name in ("size", "rate", "client", "seen")
        for datatype in ACCEPTED[PLAN.features[NAMES.index(name)].type]
        if datatype != "BYTES"
    ],
)
def test_every_accepted_datatype_means_the_same_as_an_array_and_as_a_list(name: str, datatype: str) -> None:
    value = int(NOW) if name == "seen" else 1
    array = np.array([value], dtype=ARRAYS[datatype])
    rows = []
    for data in (array, array.tolist()):
        batch, encoded = score_tensors(replaced(name, datatype=datatype, data=data))
        assert batch.report.total == 0
        rows.append(encoded.matrix[0, NAMES.index(name)])
    assert rows == [0 if name == "seen" else 1] * 2


@pytest.mark.parametrize("data", [np.array([2**64 - 1], dtype=np.uint64), [2**64 - 1], [10**30]])
def test_integers_beyond_all_ranges_are_out_of_range(data: Any) -> None:
    assert problems(from_tensors(PLAN, replaced("size", datatype="UINT64", data=data), max_leads=9)) == [
        ("$.inputs[1].data[0]", "out_of_range")
    ]


def test_a_huge_integer_spares_its_neighbours() -> None:
    inputs = tensors(lead(), lead(rate=10**400))
    batch, encoded = score_tensors(inputs)
    assert [(f.reason, f.rows.tolist()) for f in batch.report.findings] == [("not_finite", [1])]
    assert encoded.matrix[0].tolist() == SOUND_ROW


@pytest.mark.parametrize("value", ["x", [1], {}, True, b"1"])
def test_wrong_types_within_a_packed_list(value: Any) -> None:
    values: list[Any] = raw_row().ravel().tolist()
    values[NAMES.index("rate")] = value
    assert problems(from_tensors(PLAN, packed(values), max_leads=9)) == [("$.inputs[1].data[0][1]", "wrong_type")]


def test_nan_in_a_required_column_of_an_array_is_missing() -> None:
    assert problems(from_tensors(PLAN, packed(raw_row(size=NAN).ravel()), max_leads=9)) == [
        ("$.inputs[1].data[0][0]", "missing")
    ]


def test_texts_may_come_as_bytes() -> None:
    inputs = [
        Tensor(t.name, t.datatype, t.shape, [v.encode() if isinstance(v, str) else v for v in t.data])
        for t in tensors(SOUND)
    ]
    batch, encoded = score_tensors(inputs)
    assert batch.report.total == 0
    assert encoded.matrix.tolist() == [SOUND_ROW]


def test_an_array_of_texts_is_read_as_a_list() -> None:
    batch, encoded = score_tensors(replaced("band", data=np.array(["low"], dtype=object)))
    assert batch.report.total == 0
    assert encoded.matrix[0, NAMES.index("band")] == 0


def test_numbers_are_no_texts_even_as_an_array() -> None:
    inputs = replaced("band", data=np.array([1.0]))
    assert problems(from_tensors(PLAN, inputs, max_leads=9)) == [("$.inputs[10].data[0]", "wrong_type")]


def test_an_id_named_like_the_packed_tensor_is_still_an_id() -> None:
    plan = FeaturePlan((Feature(name="n", type="number"),), "features")
    batch = from_tensors(plan, [Tensor("features", "BYTES", [1], ["a"]), Tensor("n", "FP64", [1], [2.0])], max_leads=9)
    assert batch.report.total == 0
    assert batch.lead_ids == ["a"]
    assert batch.raw.tolist() == [[2.0]]


def test_a_feature_named_like_the_packed_tensor_is_still_a_feature() -> None:
    plan = FeaturePlan((Feature(name="features", type="number"),), "lead_id")
    batch = from_tensors(plan, [ID, Tensor("features", "FP64", [1], [2.0])], max_leads=9)
    assert batch.report.total == 0
    assert batch.raw.tolist() == [[2.0]]


def test_nothing_a_client_sent_is_repeated() -> None:
    secret = "jane.doe@example.com"  # noqa: S105
    inputs = [Tensor(secret, secret, [1], [secret]), *tensors(lead(**dict.fromkeys(NAMES, secret), lead_id=["x"]))]
    inputs[3] = Tensor("rate", secret, [1], [secret])
    inputs[4] = Tensor("score", "FP64", [secret, 1], [secret])  # type: ignore[list-item]
    batch, _ = score_tensors(inputs)
    with pytest.raises(InvalidLeads) as raised:
        batch.report.raise_if_any(batch.layout)
    assert len(raised.value.problems) > 10
    assert secret not in str(raised.value) + str(raised.value.problems)
    records, _ = score_records([{secret: secret}, secret, lead(**dict.fromkeys(NAMES, secret))])
    with pytest.raises(InvalidLeads) as raised:
        records.report.raise_if_any(records.layout)
    assert secret not in str(raised.value) + str(raised.value.problems)
