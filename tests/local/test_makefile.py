"""What a person types on a machine that lacks something."""

from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.stack import ROOT


@pytest.fixture
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_machine", ROOT / ".ci" / "check_machine.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *words], check=False, capture_output=True, text=True, timeout=120, cwd=ROOT)


def test_help_is_what_make_says_by_itself() -> None:
    for target in ("run", "test", "lint", "shift", "shadow", "rollback", "status", "lock", "install", "models"):
        assert f"make {target} " in make().stdout


def test_this_machine_will_do(check: ModuleType) -> None:
    assert check.complaint() == ""
    assert make("check-machine", f"PYTHON={sys.executable}").returncode == 0


@pytest.mark.parametrize("version", [(2, 7), (3, 10), (3, 13)])
def test_a_wrong_python_is_said_in_one_line(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int]
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    assert check.complaint() == (
        f"Python 3.11 or 3.12 is needed, {sys.executable} is {version[0]}.{version[1]}; choose another with PYTHON="
    )


def test_make_says_it_before_it_downloads_anything(tmp_path: Path) -> None:
    python = tmp_path / "python"
    old = "import sys; sys.version_info = (3, 9); exec(open(sys.argv[1]).read())"
    python.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{old}' \"$@\"\n")
    python.chmod(0o755)
    refused = make("check-machine", f"PYTHON={python}")
    assert refused.returncode != 0
    assert refused.stderr.splitlines()[0].startswith("Python 3.11 or 3.12 is needed")
    assert not refused.stdout


@pytest.mark.parametrize(
    ("system", "machine", "libc"),
    [
        ("Darwin", "arm64", ("", "")),
        ("Windows", "AMD64", ("", "")),
        ("Linux", "riscv64", ("glibc", "2.36")),
        ("Linux", "x86_64", ("glibc", "2.28")),
        ("Linux", "x86_64", ("", "")),
    ],
)
def test_another_platform_is_said_in_one_line(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, system: str, machine: str, libc: tuple[str, str]
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: libc)
    complaint = check.complaint()
    assert "is needed" in complaint
    assert "\n" not in complaint


@pytest.mark.parametrize(("target", "says"), [("shift", "make shift CANARY=25"), ("shadow", "make shadow PERCENT=100")])
def test_a_share_must_be_said(target: str, says: str) -> None:
    refused = make("-o", "check-installed", target)
    assert refused.returncode != 0
    assert says in refused.stderr.splitlines()[0]
