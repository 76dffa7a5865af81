"""Written tables are whole or not there."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_scoring.errors import TableError
from lead_scoring.tables.output import TableWriter

PIECES = [pa.table({"row": [1, 2], "word": ["é", None]}), pa.table({"row": [3], "word": ["z"]})]
RECORDS = [{"row": 1, "word": "é"}, {"row": 2, "word": None}, {"row": 3, "word": "z"}]


@pytest.mark.parametrize("name", ["t.json", "t.csv", "t.parquet"])
def test_pieces_become_one_table(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with TableWriter(path) as writer:
        for piece in PIECES:
            writer.write(piece)
        assert not path.exists()
    if name == "t.json":
        found = json.loads(path.read_bytes())
    elif name == "t.parquet":
        found = pq.read_table(path).to_pylist()
    else:
        with path.open(encoding="utf-8", newline="") as file:
            found = [{"row": int(row["row"]), "word": row["word"] or None} for row in csv.DictReader(file)]
    assert found == RECORDS


def test_a_json_file_without_rows_is_an_empty_list(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "t.json"):
        pass
    assert json.loads((tmp_path / "t.json").read_bytes()) == []


def test_nothing_is_left_of_a_table_that_failed(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("what was there before")

    def fail() -> None:
        with TableWriter(tmp_path / "t.csv") as writer:
            writer.write(PIECES[0])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
    assert (tmp_path / "t.csv").read_text() == "what was there before"


@pytest.mark.parametrize(
    ("name", "expected"), [("t.xlsx", "call it .parquet, .csv or .json"), ("absent/t.csv", "can't be written")]
)
def test_what_can_t_be_written_is_refused(tmp_path: Path, name: str, expected: str) -> None:
    with pytest.raises(TableError, match=expected), TableWriter(tmp_path / name):
        pass
