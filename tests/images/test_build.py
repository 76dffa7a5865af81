"""images/build: what it tells the builder, whichever that is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stack import ROOT

BUILD = ROOT / "images" / "build"
SCRIPTS = [ROOT / "images" / name for name in ("build", "install", "lock")]


@pytest.fixture
def recorder(tmp_path: Path) -> Path:
    """A builder that only writes down what it was told, a line a call."""
    script = tmp_path / "recorder"
    script.write_text(f'#!/bin/sh\nprintf "%s " "$@" >>{tmp_path}/calls; echo >>{tmp_path}/calls\n')
    script.chmod(0o755)
    return script


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(
        [BUILD, *words], env={**kept, **environment}, capture_output=True, text=True, timeout=30, check=False
    )


def calls(recorder: Path) -> list[str]:
    return (recorder.parent / "calls").read_text().splitlines()


def test_every_part_is_built_listed_and_handed_over(recorder: Path) -> None:
    words = ["--tag", "t", "--registry", "example.com/x", "--base", "b"]
    done = run(*words, "--builder", f"{recorder} bud", "--load", f"{recorder} load")
    assert done.returncode == 0, done.stderr
    said = calls(recorder)
    assert len(said) == 9
    for part, (built, listed, loaded) in zip(
        ("transformer", "predictor", "controller"), zip(said[::3], said[1::3], said[2::3], strict=True), strict=True
    ):
        assert built.startswith("bud --build-arg BASE=b ")
        assert built.endswith(f"--file {part}s/Dockerfile --tag example.com/x/lead-{part}:t . ")
        assert "--target sbom --output type=local,dest=dist/images" in listed
        assert loaded == f"load example.com/x/lead-{part}:t "


def test_labels_say_version_commit_and_its_time(recorder: Path) -> None:
    run("--builder", str(recorder), "--source", "https://example.com/code", "controller")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    built = calls(recorder)[0]
    for expected in (
        f"REVISION={head.stdout.strip()}",
        "VERSION=0.1.0",
        "SOURCE=https://example.com/code",
        "CREATED=20",
    ):
        assert expected in built
    assert ":0.1.0 " in built


@pytest.mark.parametrize("name", ["PIP_INDEX_URL", "HTTPS_PROXY"])
def test_an_index_or_proxy_is_handed_on_only_when_there_is_one(recorder: Path, name: str) -> None:
    run("--builder", str(recorder), "controller")
    run("--builder", str(recorder), "controller", **{name: "http://example.invalid/simple"})
    without, _, with_one, _ = calls(recorder)
    assert name not in without
    assert f"--build-arg {name}=http://example.invalid/simple " in with_one


@pytest.mark.parametrize("words", [["--tag"], ["--nonsense"], ["other"]])
def test_what_it_does_not_know_it_says(words: list[str]) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert words[0] in done.stderr


def test_a_builder_that_fails_ends_it() -> None:
    done = run("--builder", "false")
    assert done.returncode == 1


def test_help_names_every_option() -> None:
    text = run("--help").stdout
    assert all(f"--{word} " in text for word in ("tag", "registry", "base", "builder", "load", "source"))


def test_scripts_are_clean() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, *SCRIPTS], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
