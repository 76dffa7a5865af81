"""A version folder with any fault whatsoever is refused before anything in it is believed."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lead_scoring.contract import files
from lead_scoring.errors import ContractError, LeadScoringError, PackageError
from lead_scoring.packaging import folder
from tests.support.small_model import draft

Fault = Callable[[Path], object]


def sums(version: Path) -> str:
    return (version / folder.SUMS).read_text()


def rewrite(change: Callable[[str], str]) -> Fault:
    return lambda version: (version / folder.SUMS).write_text(change(sums(version)))


def append(line: str) -> Fault:
    return rewrite(lambda text: text + line)


def flip(name: str) -> Fault:
    def change(version: Path) -> None:
        data = bytearray((version / name).read_bytes())
        data[len(data) // 2] ^= 1
        (version / name).write_bytes(data)

    return change


def cut(name: str) -> Fault:
    return lambda version: os.truncate(version / name, (version / name).stat().st_size - 1)


def replace_by_link(version: Path) -> None:
    outside = version.parent / "model.ubj"
    shutil.move(version / folder.MODEL, outside)
    (version / folder.MODEL).symlink_to(outside)


def replace_by_pipe(version: Path) -> None:
    (version / folder.MODEL).unlink()
    os.mkfifo(version / folder.MODEL)


def replace_by_folder(version: Path) -> None:
    (version / folder.CONTRACT).unlink()
    (version / folder.CONTRACT).mkdir()


def replace_sums_by_link(version: Path) -> None:
    outside = version.parent / "sums"
    shutil.move(version / folder.SUMS, outside)
    (version / folder.SUMS).symlink_to(outside)


DIGEST = "0" * 64


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (shutil.rmtree, "No such file or directory"),
        (lambda v: (v / "model.ubj").unlink(), "model.ubj can't be read: No such file"),
        (lambda v: (v / "contract.json").unlink(), "contract.json can't be read: No such file"),
        (lambda v: (v / "model-settings.json").unlink(), "model-settings.json can't be read: No such file"),
        (lambda v: (v / "SHA256SUMS").unlink(), "SHA256SUMS can't be read: No such file"),
        (flip("model.ubj"), "model.ubj was altered"),
        (flip("contract.json"), "contract.json was altered"),
        (flip("model-settings.json"), "model-settings.json was altered"),
        (cut("model.ubj"), "model.ubj was altered"),
        (cut("contract.json"), "contract.json was altered"),
        (lambda v: os.truncate(v / "model.ubj", 0), "model.ubj is empty"),
        (lambda v: os.truncate(v / "SHA256SUMS", 0), "SHA256SUMS is empty"),
        (lambda v: (v / "extra.txt").write_text("x"), "'extra.txt' is not listed"),
        (lambda v: (v / "settings.json").write_text("{}"), "'settings.json' is not listed"),
        (lambda v: (v / "model-card.html").write_text("x"), "'model-card.html' is not listed"),
        (lambda v: (v / ".env").write_text("x"), "'.env' is not listed"),
        (lambda v: (v / "model.ubj~").write_text(""), "'model.ubj~' is not listed"),
        (lambda v: (v / "lost+found").mkdir(), "'lost+found' is not listed"),
        (lambda v: (v / "..data").symlink_to("."), "'..data' is not listed"),
        (lambda v: (v / "__pycache__").mkdir(), "'__pycache__' is not listed"),
        (lambda v: os.mkfifo(v / "pipe"), "'pipe' is not listed"),
        (replace_by_link, "model.ubj is not a plain file"),
        (replace_by_pipe, "model.ubj is not a plain file"),
        (replace_by_folder, "contract.json is not a plain file"),
        (replace_sums_by_link, "SHA256SUMS is not a plain file"),
        (append(f"{DIGEST}  ../model.ubj\n"), "line 4 is not"),
        (append(f"{DIGEST}  /etc/passwd\n"), "line 4 is not"),
        (append(f"{DIGEST}  ./model.ubj\n"), "line 4 is not"),
        (append(f"{DIGEST}  SHA256SUMS\n"), "line 4 is not"),
        (append(f"{DIGEST}  model.pkl\n"), "line 4 is not"),
        (append(f"{DIGEST}  model.ubj\n"), "line 4 is not"),
        (append(f"{DIGEST} *model-card.html\n"), "line 4 is not"),
        (append(f"{DIGEST[:-1]}  model-card.html\n"), "line 4 is not"),
        (append(f"{DIGEST}0  model-card.html\n"), "line 4 is not"),
        (append(f"{'A' * 64}  model-card.html\n"), "line 4 is not"),
        (append(f"{DIGEST}  model-card.html\r\n"), "line 4 is not"),
        (append(f"{DIGEST}  model-card.html"), "does not end with a line end"),
        (append("\n"), "line 4 is not"),
        (append("é\n"), "line 4 is not"),
        (append("\x00\n"), "line 4 is not"),
        (append(f"{DIGEST}  model-card.html\n"), "model-card.html can't be read"),
        (append("#" * 70_000), "SHA256SUMS is larger than"),
        (rewrite(str.upper), "line 1 is not"),
        (rewrite(lambda text: "".join(text.splitlines(keepends=True)[1:])), "does not list contract.json"),
        (rewrite(lambda text: re.sub("[0-9a-f]{64}", DIGEST, text)), "was altered"),
    ],
)
def test_a_fault_is_refused_and_named(version: Path, fault: Fault, message: str) -> None:
    fault(version)
    with pytest.raises(PackageError) as raised:
        folder.check_integrity(version)
    assert message in str(raised.value)
    assert str(version) in str(raised.value)


def settings(**changes: Any) -> Fault:
    def change(version: Path) -> None:
        path = version / folder.SETTINGS
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def parameters(**changes: Any) -> Fault:
    return settings(parameters={"uri": "./model.ubj", "version": "1", **changes})


def raw_settings(text: str) -> Fault:
    return lambda version: (version / folder.SETTINGS).write_text(text)


def doubled(version: Path) -> None:
    """Name a class twice: one parser takes the first, another the last."""
    path = version / folder.SETTINGS
    path.write_text(path.read_text().replace("{", '{"implementation": "os.system", ', 1))


def put_contract(contract: Any) -> Fault:
    return lambda version: (version / folder.CONTRACT).write_bytes(files.encode(contract))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (settings(implementation="mlserver_sklearn.SKLearnModel"), "not what the contract implies"),
        (settings(implementation="subprocess.Popen"), "not what the contract implies"),
        (settings(parallel_workers=1), "not what the contract implies"),
        (settings(name="other"), "not what the contract implies"),
        (settings(version="2"), "not what the contract implies"),
        (settings(inputs=[]), "not what the contract implies"),
        (parameters(uri="../2/model.ubj"), "not what the contract implies"),
        (parameters(uri="/etc/passwd"), "not what the contract implies"),
        (parameters(uri="s3://elsewhere/model.ubj"), "not what the contract implies"),
        (parameters(environment_tarball="./env.tar.gz"), "not what the contract implies"),
        (parameters(extra={"a": 1}), "not what the contract implies"),
        (raw_settings("[]"), "not what the contract implies"),
        (raw_settings("null"), "not what the contract implies"),
        (raw_settings("{"), "not sound JSON"),
        (raw_settings("\ufeff{}"), "not sound JSON"),
        (raw_settings("[" * 100_000), "not sound JSON"),
        (doubled, "a key appears twice"),
        (lambda v: (v / folder.SETTINGS).write_bytes(b"\x80\x04\x95"), "not sound JSON"),
        (lambda v: (v / folder.CONTRACT).write_bytes(pickle.dumps({})), "contract.json: "),
        (lambda v: (v / folder.CONTRACT).write_text("{}"), "contract.json: "),
        (put_contract(draft("2")), "not what the contract implies"),
        (lambda v: (v / "extra.txt").write_text("x"), "is not a lower-case SHA-256"),
        (lambda v: (v / "model.pkl").write_bytes(pickle.dumps({})), "is not a lower-case SHA-256"),
        (lambda v: (v / "setup.py").write_text(""), "is not a lower-case SHA-256"),
    ],
)
def test_a_fault_with_right_digests_is_refused_too(
    version: Path, relist: Callable[[], None], fault: Fault, message: str
) -> None:
    fault(version)
    relist()
    with pytest.raises((PackageError, ContractError)) as raised:
        folder.check_integrity(version)
    assert message in str(raised.value)


def test_a_file_that_may_not_be_read_is_named(version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run as root, whom no mode stops: the refusal comes from the call itself."""
    opened = os.open

    def refuse(path: Any, *arguments: Any, **options: Any) -> int:
        if path == folder.MODEL:
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PackageError, match=r"model\.ubj can't be read: Permission denied"):
        folder.check_integrity(version)


def test_an_endless_file_is_not_read(version: Path) -> None:
    with (version / folder.SETTINGS).open("wb") as file:
        file.truncate(2 * 1024 * 1024)
    with pytest.raises(PackageError, match=r"model-settings\.json is larger than"):
        folder.check_integrity(version)


def test_a_folder_may_be_reached_through_a_link(version: Path) -> None:
    """As a mounted model is; only what is inside must be plain."""
    link = version.parent / "mounted"
    link.symlink_to(version)
    assert folder.check_integrity(link).keys() == {folder.MODEL, folder.CONTRACT, folder.SETTINGS}


def test_a_file_is_no_folder(version: Path) -> None:
    with pytest.raises(PackageError, match="Not a directory"):
        folder.check_integrity(version / folder.MODEL)


def test_what_was_hashed_is_what_is_returned(published: Path) -> None:
    found = folder.read_verified(published)
    assert found.model == (published / folder.MODEL).read_bytes()
    assert found.contract == files.read(published / folder.CONTRACT)
    assert {name: hashlib.sha256(data).hexdigest() for name, data in found.contents.items()} == found.digests
    assert found.digest == folder.digest(published / folder.SUMS)


def test_every_file_is_opened_once(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look could see another file than the one that was hashed."""
    opened: list[str] = []
    real = os.open

    def note(path: Any, *arguments: Any, **options: Any) -> int:
        opened.append(str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", note)
    folder.read_verified(published)
    assert sorted(opened) == sorted([str(published), folder.SUMS, folder.MODEL, folder.CONTRACT, folder.SETTINGS])


def test_sha256sum_agrees(published: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", folder.SUMS], cwd=published, check=True, capture_output=True)


# Writing


MODEL = b"{}"


def test_a_written_folder_is_whole_and_read_only(tmp_path: Path) -> None:
    path = folder.write(tmp_path, draft("1.2-rc"), MODEL, extra={folder.CARD: b"<html>"})
    assert path == tmp_path / "lead-scoring" / "1.2-rc"
    assert folder.check_integrity(path).keys() == {folder.MODEL, folder.CONTRACT, folder.SETTINGS, folder.CARD}
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {0o444}
    assert [entry.name for entry in path.parent.iterdir()] == ["1.2-rc"]


def test_the_same_version_has_the_same_bytes(tmp_path: Path) -> None:
    one, other = (folder.write(tmp_path / name, draft(), MODEL) for name in "ab")
    assert folder.digest(one / folder.SUMS) == folder.digest(other / folder.SUMS)


def test_a_published_version_is_never_overwritten(tmp_path: Path) -> None:
    path = folder.write(tmp_path, draft(), MODEL)
    before = folder.check_integrity(path)
    with pytest.raises(PackageError, match="already published; versions are immutable"):
        folder.write(tmp_path, draft(), b"other")
    assert folder.check_integrity(path) == before


@pytest.mark.parametrize(
    "name", ["evil.py", "../x", "model.pkl", folder.MODEL, folder.CONTRACT, folder.SETTINGS, folder.SUMS]
)
def test_only_a_model_card_may_be_added(tmp_path: Path, name: str) -> None:
    with pytest.raises(PackageError, match="not part of a version folder"):
        folder.write(tmp_path, draft(), MODEL, extra={name: b"x"})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_check_leaves_nothing(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def refuse(path: Path) -> None:
        seen.append(sorted(entry.name for entry in path.iterdir()))
        raise PackageError("no")

    with pytest.raises(PackageError, match="no"):
        folder.write(tmp_path, draft(), MODEL, check=refuse)
    assert seen == [[folder.SUMS, folder.CONTRACT, folder.SETTINGS, folder.MODEL]]
    assert list((tmp_path / "lead-scoring").iterdir()) == []


def test_a_repository_that_can_not_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "lead-scoring").write_text("in the way")
    with pytest.raises(PackageError, match=r"exists|directory"):
        folder.write(tmp_path, draft(), MODEL)


def test_of_concurrent_publishers_exactly_one_wins(tmp_path: Path) -> None:
    """All of them stand ready with a complete folder before the first one moves its own into place."""
    publishers = 8
    ready = threading.Barrier(publishers, timeout=60)
    outcomes: list[str] = []

    def publish(number: int) -> None:
        try:
            folder.write(tmp_path, draft(), f"model {number}".encode(), check=lambda _: ready.wait())
            outcomes.append(f"model {number}")
        except LeadScoringError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(publishers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if outcome.startswith("model")]
    losers = [outcome for outcome in outcomes if "already published" in outcome]
    assert (len(winners), len(losers)) == (1, publishers - 1)
    path = tmp_path / "lead-scoring" / "1"
    folder.check_integrity(path)
    assert (path / folder.MODEL).read_text() == winners[0]
    assert [entry.name for entry in path.parent.iterdir()] == ["1"]


KILLED = """
import os, signal, sys
from pathlib import Path
from lead_scoring.packaging import folder
from tests.support.small_model import draft
folder.write(Path(sys.argv[1]), draft(), b"{}", check=lambda path: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_a_killed_publisher_leaves_no_half_version_and_is_in_nobodys_way(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=root, check=False)
    assert killed.returncode == -9
    assert not (tmp_path / "lead-scoring" / "1").exists()
    folder.check_integrity(folder.write(tmp_path, draft(), MODEL))
