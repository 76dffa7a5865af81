"""generate → train → package → verify, as people type it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lead_scoring.cli import main
from lead_scoring.data.builtin import lead_scoring_draft
from lead_scoring.training import draft_files

SMALL = ["--parameter", "rounds=30", "--parameter", "max_depth=3", "--parameter", "refits=4", "--seed", "3"]


@pytest.fixture(scope="module")
def leads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("leads") / "leads.parquet"
    assert main(["generate", "--leads", "4000", "--seed", "9", "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def repository(leads: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with version 1, made by the commands."""
    folder = tmp_path_factory.mktemp("made")
    assert main(["train", "--data", str(leads), "--version", "1", "--out", str(folder / "c"), *SMALL]) == 0
    assert main(["package", str(folder / "c"), "--repository", str(folder / "repo")]) == 0
    return folder / "repo"


def test_a_version_made_by_the_commands_verifies(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(repository / "lead-scoring" / "1")]) == 0
    assert re.search(r"lead-scoring 1: \d+ golden leads score right", capsys.readouterr().out)


def test_an_altered_version_does_not(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "lead-scoring" / "1"
    folder.mkdir(parents=True)
    for file in (repository / "lead-scoring" / "1").iterdir():
        (folder / file.name).write_bytes(file.read_bytes() + (b" " if file.name == "contract.json" else b""))
    assert main(["verify", str(folder)]) == 3
    assert "contract.json" in capsys.readouterr().err


def test_a_published_version_is_not_published_again(
    leads: Path, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candidate = str(tmp_path / "c")
    assert main(["train", "--data", str(leads), "--version", "1", "--out", candidate, *SMALL]) == 0
    assert main(["package", candidate, "--repository", str(repository)]) == 3
    assert "immutable" in capsys.readouterr().err


def test_training_tells_what_it_does_and_how_good_the_model_is(
    leads: Path, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "--data", str(leads), "--version", "2", "--out", str(tmp_path / "c"), *SMALL]
    baseline = str(repository / "lead-scoring" / "1")
    assert main([*arguments, "--baseline", baseline, "--author", "Ada", "--git-commit", "abc"]) == 0
    said = capsys.readouterr()
    assert re.search(r"roc_auc +0\.\d{4}  \[0\.\d{4}, 0\.\d{4}\]", said.out)
    assert "roc_auc − version 1: +0.0000" in said.out  # the same data, seed and parameters: the same model
    assert "refit 4 of 4" in said.err
    training = json.loads((tmp_path / "c" / "contract.json").read_bytes())["training"]
    assert (training["author"], training["git_commit"]) == ("Ada", "abc")
    first = json.loads((repository / "lead-scoring" / "1" / "contract.json").read_bytes())["training"]
    assert first["git_commit"] == "unknown" or re.fullmatch("[0-9a-f]{40}", first["git_commit"])


def test_a_draft_of_ones_own_is_used(leads: Path, tmp_path: Path) -> None:
    document = json.loads(draft_files.encode(lead_scoring_draft()))
    document["model"]["name"] = "short-list"
    document["features"] = document["features"][:8]
    document["buckets"] = {"kind": "probabilities", "edges": [0.05, 0.2]}
    (tmp_path / "draft.json").write_text(json.dumps(document))
    arguments = ["train", "--data", str(leads), "--version", "1", "--out", str(tmp_path / "c"), *SMALL]
    assert main([*arguments, "--draft", str(tmp_path / "draft.json")]) == 0
    contract = json.loads((tmp_path / "c" / "contract.json").read_bytes())
    assert contract["model"]["name"] == "short-list"
    assert len(contract["features"]) == 8
    assert contract["buckets"]["edges"] == [0.05, 0.2]


def test_drift_and_defects_reach_the_file(leads: Path, tmp_path: Path) -> None:
    out = tmp_path / "spoilt.parquet"
    arguments = ["generate", "--leads", "4000", "--seed", "9", "--out", str(out), "--since", "0.5"]
    assert (
        main([*arguments, "--drift", "covariate=0.5", "--drift", "concept", "--defect", "null_burst:time_on_site"]) == 0
    )
    assert out.read_bytes() != leads.read_bytes()


def test_the_same_command_writes_the_same_file(leads: Path, tmp_path: Path) -> None:
    assert main(["generate", "--leads", "4000", "--seed", "9", "--out", str(tmp_path / "again.parquet")]) == 0
    assert (tmp_path / "again.parquet").read_bytes() == leads.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["generate", "--leads", "10", "--out", "{tmp}/x.txt"], 4, "call it .parquet or .csv"),
        (["generate", "--leads", "10", "--out", "{tmp}/x.csv", "--defect", "gremlins"], 4, "no defect 'gremlins'"),
        (["train", "--data", "{tmp}/none.parquet", "--version", "1", "--out", "{tmp}/c"], 4, "can't be read"),
        (["train", "--data", "x", "--version", "1", "--out", "{tmp}/full"], 4, "is not empty"),
        (["train", "--data", "x", "--version", "1", "--out", "{tmp}/c", "--parameter", "depth=1"], 2, "'depth'"),
        (["train", "--data", "x", "--version", "1", "--out", "{tmp}/c", "--draft", "{tmp}/none"], 2, "No such file"),
        (["train", "--data", "x", "--version", "1", "--out", "{tmp}/c", "--baseline", "{tmp}/none"], 3, "none"),
        (["package", "{tmp}/full", "--repository", "{tmp}/repo"], 2, "contract.json"),
        (["verify", "{tmp}/full"], 3, "SHA256SUMS"),
    ],
)
def test_refusals_say_why_in_a_line(
    arguments: list[str], code: int, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    assert main([argument.replace("{tmp}", str(tmp_path)) for argument in arguments]) == code
    last = capsys.readouterr().err.splitlines()[-1]
    assert expected in last
    assert last.startswith(f"lead-scoring {arguments[0]}: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "--leads", "0", "--out", "x.csv"],
        ["generate", "--leads", "5", "--out", "x.csv", "--since", "1"],
        ["generate", "--leads", "5", "--out", "x.csv", "--seed", "-1"],
        ["generate", "--leads", "5", "--out", "x.csv", "--drift", "sideways"],
        ["generate", "--leads", "5", "--out", "x.csv", "--drift", "concept=2"],
        ["train", "--data", "x", "--version", "1", "--out", "c", "--parameter", "max_depth"],
        ["train", "--version", "1"],
        ["verify"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize("command", ["generate", "train", "package", "verify"])
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"example: lead-scoring {command}" in capsys.readouterr().out.replace("\n", " ")
