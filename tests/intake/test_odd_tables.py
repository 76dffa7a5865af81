"""Whatever a table holds, a draft comes of it that training can read, or a sentence that says why not."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lead_scoring.errors import LeadScoringError
from lead_scoring.intake.drafting import Columns, draft_contract
from lead_scoring.training import draft_files
from lead_scoring.training.dataset import load
from tests.intake.conftest import NOW
from tests.support.tables import write

ROWS = 400
NAMES = ["a", "b [x]", "<", "", "features", "Ü x", "c"]


def odd_column(rng: random.Random) -> list[Any]:
    scale = 10 ** rng.uniform(-8, 12)
    kinds: list[Callable[[], Any]] = [
        lambda: rng.randint(-3, 13),
        lambda: rng.gauss(0, 1) * scale,
        lambda: int(rng.gauss(0, 1) * scale),
        lambda: rng.choice(["a", "b", " c ", "", 'x"y', "é;,"]),
        lambda: rng.choice([-1, 999, rng.randint(0, 30)]),
        lambda: rng.choice(["1e300", "1e-300", "5", "NA"]),
        lambda: "x" * rng.choice([1, 2_000]),
        lambda: rng.choice(["2024-01-01", "0001-01-01", "9999-12-31", "0000-00-00", ""]),
        lambda: rng.choice(["Select", "Select ", "?", ""]),
        lambda: rng.choice([True, False, ""]),
        lambda: f"{rng.randint(1, 28)}/{rng.randint(1, 12)}/{rng.randint(1970, 2030)}",
        lambda: rng.choice(["1,5", "2,5", "3"]),
        lambda: rng.choice(["\x01", "tab\there", "new\nline"]),
        lambda: rng.choice([0.1, 99, 0.2, 0.3, 0.4, 0.5, -9]),
        lambda: rng.choice(["inf", "nan", "1", "2"]),
        lambda: rng.randint(10**17, 10**19),
    ]
    draw = rng.choice(kinds)
    gaps = rng.choice([0.0, 0.0, 0.05, 0.6, 0.99])
    return ["" if rng.random() < gaps else draw() for _ in range(ROWS)]


@pytest.mark.parametrize("seed", range(40))
def test_a_draft_that_training_can_read_or_a_sentence(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    table: dict[str, Any] = {"won": [rng.choice(["yes", "no"]) for _ in range(ROWS)]}
    for number in range(rng.randint(1, 6)):
        table[rng.choice(NAMES) + (str(number) if rng.random() < 0.7 else "")] = odd_column(rng)
    encoding = rng.choice(["utf-8", "utf-8-sig", "cp1252", "utf-16"])
    path = write(table, tmp_path / "t.csv", separator=rng.choice(",;\t|"), encoding=encoding)
    try:
        draft = draft_contract(path, Columns(target="won"), now=NOW).draft
    except LeadScoringError as error:
        if "no column is left that could be a feature" not in str(error):
            raise
        return
    draft = draft_files.decode(draft_files.encode(draft))
    assert all(len(word) <= 1_024 for feature in draft.features for word in feature.categories or ())
    data = load(path, draft, [draft_files.outline(feature) for feature in draft.features])
    assert len(data) == ROWS
    assert data.refused == {}
