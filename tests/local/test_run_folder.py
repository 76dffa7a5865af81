"""State on disk: who holds it, and what a stack that is gone leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lead_scoring.errors import StackError
from lead_scoring.local.run_folder import RunFolder, State, Variant
from lead_scoring.local.split import Split

STATE = State(
    host="127.0.0.1", port=8080, model="m", pid=1, started_at=0.0, pids={"envoy": 2},
    variants=(Variant("v1", "stable", "1", "/1", 1, 2, 3, 4), Variant("v2", "canary", "2", "/2", 5, 6, 7, 8)),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "8080")


def test_state_comes_back_as_it_was(folder: RunFolder) -> None:
    with folder.held():
        folder.prepare()
        assert not folder.running
        folder.save_state(STATE)
        assert folder.running
        assert folder.load_state() == STATE
        assert folder.load_state().variant("canary").version == "2"


def test_a_stack_that_is_gone_is_gone_whatever_it_left(folder: RunFolder) -> None:
    with folder.held():
        folder.prepare()
        folder.save_state(STATE)
    with pytest.raises(StackError, match="no stack runs on port 8080; start one with: make run PORT=8080"):
        folder.load_state()


def test_no_stack_ever_is_the_same(folder: RunFolder) -> None:
    with pytest.raises(StackError, match="no stack runs"):
        folder.load_state()


def test_two_runners_cannot_hold_the_same_folder(folder: RunFolder) -> None:
    with folder.held(), pytest.raises(StackError, match="runs on port 8080 already"), folder.held():
        pass
    with folder.held():
        pass


def test_preparing_forgets_the_stack_before(folder: RunFolder) -> None:
    with folder.held():
        folder.prepare()
        folder.save_state(STATE)
        folder.admin_address.write_text("127.0.0.1:1")
        (folder.logs / "envoy.log").write_text("old")
        folder.prepare()
        assert not folder.running
        assert not folder.admin_address.exists()
        assert not list(folder.logs.iterdir())


def test_routes_are_replaced_in_one_step(folder: RunFolder) -> None:
    folder.prepare()
    folder.save_split(Split("v1", "v2"), "1", {"version_info": "1"})
    inode = folder.routes.stat().st_ino
    with folder.routes.open() as before:
        folder.save_split(Split("v1", "v2", 25), "2", {"version_info": "2"})
        assert json.load(before) == {"version_info": "1"}  # a reader keeps the file that it opened
    assert folder.routes.stat().st_ino != inode
    assert folder.load_split() == (Split("v1", "v2", 25), "2")
    assert [path.name for path in folder.routes.parent.iterdir()] == ["routes.json"]


def test_state_that_is_damaged_says_which(folder: RunFolder) -> None:
    folder.prepare()
    (folder.root / "split.json").write_text("{")
    with pytest.raises(StackError, match=r"split\.json can't be read"):
        folder.load_split()
