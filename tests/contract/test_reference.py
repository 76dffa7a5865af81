"""What is published about contracts is what the types say."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest

from lead_scoring.contract import files
from lead_scoring.contract.__main__ import main
from lead_scoring.contract.reference import field_tables, schema_text
from lead_scoring.contract.types import Contract
from lead_scoring.core.assembly import ACCEPTED, MAX_ID_BYTES, MAX_TEXT_BYTES
from lead_scoring.errors import ContractError
from tests.support.small_model import build, draft

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "contract.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
SOUND: dict[str, Any] = json.loads(files.encode(draft()))


def test_the_published_schema_is_current() -> None:
    assert (DOCS / "contract.schema.json").read_text() == schema_text()


def test_the_published_tables_are_current() -> None:
    assert (DOCS / "contract.md").read_text().partition("contract fields -->\n")[2] == field_tables()


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_field_of_every_type_says_what_it_means() -> None:
    silent = [
        f"{name}.{field}"
        for name, definition in SCHEMA["$defs"].items()
        for field, form in definition["properties"].items()
        if not form.get("description") and field != "kind"
    ]
    assert silent == []


def test_the_table_of_datatypes_is_what_is_accepted() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([A-Z0-9, ]+) \|", (DOCS / "contract.md").read_text(), re.MULTILINE)
    assert {name: tuple(listed.split(", ")) for name, listed in rows} == ACCEPTED


def test_the_limits_in_the_text_are_those_of_the_code() -> None:
    text = (DOCS / "contract.md").read_text()
    assert f"at most {MAX_TEXT_BYTES} bytes, a lead id of 1 to {MAX_ID_BYTES} bytes" in text


@pytest.mark.parametrize(("part", "expected"), [("schema", schema_text()), ("fields", field_tables())])
def test_the_command_prints_a_part(part: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([part]) == 0
    assert capsys.readouterr().out == expected


def test_a_published_contract_is_valid_against_the_schema(tmp_path: Path) -> None:
    VALIDATOR.validate(json.loads((build(tmp_path) / "contract.json").read_bytes()))


def test_the_shipped_contracts_are_valid_against_the_schema() -> None:
    found = sorted((DOCS.parent / "model-repo").glob("*/*/contract.json"))
    for path in found:
        VALIDATOR.validate(json.loads(path.read_bytes()))
        files.read(path)


NUMBER_FEATURE = 4
CATEGORY_FEATURE = 1


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), 2),
        (("schema_version",), "1"),
        (("model",), None),
        (("model", "name"), "Lead Scoring"),
        (("model", "name"), "-x"),
        (("model", "version"), ""),
        (("model", "version"), "../1"),
        (("model", "version"), 1),
        (("model", "surprise"), 1),
        (("id_field",), ""),
        (("features",), []),
        (("features",), {}),
        (("features", 0, "name"), ""),
        (("features", 0, "name"), "x" * 129),
        (("features", 0, "type"), "float"),
        (("features", 0, "minimum"), "1"),
        (("features", 0, "nullable"), None),
        (("features", 0, "nullable"), 1),
        (("features", 0, "out_of_range"), "ignore"),
        (("features", 0, "monotone"), 2),
        (("features", 0, "monotone"), True),
        (("features", 0, "encoder"), {"kind": "pickle"}),
        (("features", 0, "encoder"), {}),
        (("features", 0, "encoder", "surprise"), 1),
        (("features", CATEGORY_FEATURE, "categories"), [1]),
        (("features", CATEGORY_FEATURE, "categories"), [""]),
        (("features", CATEGORY_FEATURE, "unknown_category"), "guess"),
        (("features", CATEGORY_FEATURE, "encoder"), {"kind": "target_rate"}),
        (("features", CATEGORY_FEATURE, "encoder", "values"), ["a"]),
        (("features", NUMBER_FEATURE, "imputation", "strategy"), "mean"),
        (("features", NUMBER_FEATURE, "reference"), {"counts": []}),
        (("features", NUMBER_FEATURE, "reference"), {"counts": [-1], "edges": [0, 1]}),
        (("features", NUMBER_FEATURE, "reference"), {"counts": [1.5], "edges": [0, 1]}),
        (("predictor", "inputs"), None),
        (("predictor", "inputs", 0, "shape"), ["n"]),
        (("calibration", "slope"), 0),
        (("calibration", "slope"), -1),
        (("calibration", "intercept"), None),
        (("calibration", "method"), "isotonic"),
        (("buckets", "edges"), []),
        (("buckets", "edges"), [0.0, 0.5]),
        (("buckets", "edges"), [0.5, 1.0]),
        (("buckets", "edges"), [n / 21 for n in range(1, 21)]),
        (("buckets", "closed"), "both"),
        (("buckets", "policy"), []),
        (("confidence", "log_odds"), [1]),
        (("confidence", "agreement"), [0, 1.1]),
        (("confidence", "refits"), 0),
        (("golden", "tolerance"), 0),
        (("golden", "tolerance"), 0.1),
        (("golden", "leads"), [{}]),
        (
            ("golden", "leads"),
            [{"covers": "x", "lead": [], "score": 1, "probability": 0.5, "confidence": 1, "features_used": 1}],
        ),
        (
            ("golden", "leads"),
            [{"covers": "x", "lead": {}, "score": 0, "probability": 0.5, "confidence": 1, "features_used": 1}],
        ),
        (
            ("golden", "leads"),
            [{"covers": "x", "lead": {}, "score": 1, "probability": 1.5, "confidence": 1, "features_used": 1}],
        ),
        (("training", "data_sha256"), "0" * 63),
        (("training", "data_sha256"), "A" * 64),
        (("training", "rows"), 0),
        (("training", "base_rate"), 1.5),
        (("training", "period"), ["2026-01-01T00:00:00Z"]),
        (("training", "trees"), 0),
        (("training", "metrics", "roc_auc"), 0.8),
        (("training", "metrics", "roc_auc"), {"value": 0.8}),
        (("training", "by_bucket"), [1]),
    ],
)
def test_the_schema_and_the_types_refuse_the_same(path: tuple[Any, ...], value: Any) -> None:
    broken = copy.deepcopy(SOUND)
    inner = broken
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(ContractError, match=r"contract\.json: .* - at `\$|unknown field"):
        files.decode(json.dumps(broken).encode())
    assert not VALIDATOR.is_valid(broken)


REQUIRED = [
    (path, field)
    for path, name in [
        ((), "Contract"),
        (("model",), "ModelIdentity"),
        (("features", 0), "Feature"),
        (("predictor",), "Predictor"),
        (("predictor", "inputs", 0), "TensorSpec"),
        (("calibration",), "Calibration"),
        (("buckets",), "Buckets"),
        (("confidence",), "Confidence"),
        (("golden",), "GoldenSet"),
        (("training",), "Training"),
        (("training", "metrics", "roc_auc"), "Interval"),
    ]
    for field in SCHEMA["$defs"][name]["required"]
]


@pytest.mark.parametrize(("path", "field"), REQUIRED)
def test_both_refuse_a_contract_without_a_required_field(path: tuple[Any, ...], field: str) -> None:
    broken = copy.deepcopy(SOUND)
    inner = broken
    for key in path:
        inner = inner[key]
    del inner[field]
    with pytest.raises(ContractError, match=f"missing required field `{field}`"):
        files.decode(json.dumps(broken).encode())
    assert not VALIDATOR.is_valid(broken)


def test_both_take_a_contract_without_its_optional_fields() -> None:
    lean = msgspec.to_builtins(draft())
    for name, definition in SCHEMA["$defs"].items():
        if name == "Feature":
            keep = {*definition["required"], "categories", "encoder", "unknown_category", "other_category"}
            lean["features"] = [{key: value for key, value in f.items() if key in keep} for f in lean["features"]]
    del lean["schema_version"], lean["id_field"]
    VALIDATOR.validate(lean)
    assert isinstance(files.decode(json.dumps(lean).encode()), Contract)
