"""The version folder: what is in it, how it is written, how it is known to be whole."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lead_scoring.contract import files
from lead_scoring.contract.types import Contract
from lead_scoring.errors import PackageError

__all__ = [
    "CARD",
    "CONTRACT",
    "IMPLEMENTATION",
    "MODEL",
    "SETTINGS",
    "SUMS",
    "VersionFiles",
    "check_integrity",
    "digest",
    "model_settings",
    "read_verified",
    "write",
]

MODEL = "model.ubj"
CONTRACT = "contract.json"
SETTINGS = "model-settings.json"
SUMS = "SHA256SUMS"
CARD = "model-card.html"
REQUIRED = frozenset({MODEL, CONTRACT, SETTINGS})
ALLOWED = REQUIRED | {CARD}
IMPLEMENTATION = "lead_predictor.LeadScoringRuntime"

_MIB = 1024 * 1024
_MAX_BYTES = {MODEL: 1024 * _MIB, CONTRACT: files.MAX_BYTES, SETTINGS: _MIB, SUMS: 64 * 1024, CARD: 64 * _MIB}
_SUMS_LINE = re.compile(r"([0-9a-f]{64})  ([0-9a-zA-Z.-]+)")


@dataclass(frozen=True)
class VersionFiles:
    """A whole version folder, as it was hashed: load from these bytes and not from the disk again.

    Attributes:
        contents: every file that `SHA256SUMS` lists, by name.
        digests: their SHA-256 in hex.
        digest: SHA-256 of `SHA256SUMS`: one name for all of it.
        contract: decoded from the contents.
    """

    contents: Mapping[str, bytes]
    digests: Mapping[str, str]
    digest: str
    contract: Contract

    @property
    def model(self) -> bytes:
        """The booster in UBJSON."""
        return self.contents[MODEL]


def model_settings(contract: Contract) -> dict[str, Any]:
    """Return what MLServer is told about the model: derived from the contract, nothing of its own."""
    return {
        "name": contract.model.name,
        "version": contract.model.version,
        "versions": [contract.model.version],
        "platform": "xgboost",
        "implementation": IMPLEMENTATION,
        "parameters": {"uri": f"./{MODEL}", "version": contract.model.version},
        "inputs": [{"name": t.name, "datatype": t.datatype, "shape": t.shape} for t in contract.predictor.inputs],
        "outputs": [{"name": t.name, "datatype": t.datatype, "shape": t.shape} for t in contract.predictor.outputs],
    }


def write(
    repository: Path,
    contract: Contract,
    model: bytes,
    *,
    extra: Mapping[str, bytes] | None = None,
    check: Callable[[Path], object] | None = None,
) -> Path:
    """Write ``<repository>/<name>/<version>/`` all at once and return it.

    Of several concurrent writers of one version exactly one succeeds; one that is killed leaves no folder of the
    version's name.

    Args:
        repository: the model repository (``model-repo``).
        contract: the version's contract.
        model: the booster in UBJSON.
        extra: further files by name, from `ALLOWED`.
        check: called with the complete folder before it gets its final place; what it raises stops everything.

    Raises:
        PackageError: the version exists already (published versions are immutable), a file name is not allowed, or the
        disk refuses. ContractError: the contract breaks the schema or one of its rules.
    """
    target = repository / contract.model.name / contract.model.version
    if extra and (unknown := extra.keys() - (ALLOWED - REQUIRED)):
        raise PackageError(f"not part of a version folder: {', '.join(sorted(unknown))}")
    settings = json.dumps(model_settings(contract), indent=2).encode() + b"\n"
    contents = {MODEL: model, CONTRACT: files.encode(contract), SETTINGS: settings, **(extra or {})}
    try:
        if target.exists():
            raise _already_published(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        workspace = Path(tempfile.mkdtemp(prefix=".publishing-", dir=target.parent))
    except OSError as error:
        raise PackageError(f"{target}: {error.strerror or error}") from error
    try:
        staged = workspace / target.name
        staged.mkdir()
        sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(contents.items()))
        for name, data in {**contents, SUMS: sums.encode()}.items():
            _write_durably(staged / name, data)
        staged.chmod(0o755)
        if check is not None:
            check(staged)
        staged.rename(target)  # fails if another publisher's folder is there by now
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise _already_published(target) from error
        raise PackageError(f"{target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
    return target


def check_integrity(folder: Path) -> dict[str, str]:
    """Check a version folder as `read_verified` does; return the SHA-256 of every listed file by name.

    Raises:
        PackageError: as `read_verified`.
        ContractError: as `read_verified`.
    """
    return dict(read_verified(folder).digests)


def read_verified(folder: Path) -> VersionFiles:
    """Read a version folder that holds just the files that `SHA256SUMS` lists, unaltered, none of which can run code.

    Every file is opened once, without following links, and hashed as it was read: what is returned is what was checked,
    even if somebody changes the folder meanwhile.

    Raises:
        PackageError: a file is missing, empty, altered, unlisted, too large, not a plain file, oddly named or not
            allowed; or the settings name anything but our runtime, the model beside them and the tensors of the
            contract. Says which.
        ContractError: the contract breaks the schema or one of its rules.
    """
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise PackageError(f"{folder}: {error.strerror}") from error
    try:
        present = set(os.listdir(directory))
        sums = _read(folder, directory, SUMS)
        listed = _listed(folder, sums)
        if unlisted := sorted(present - listed.keys() - {SUMS}):
            raise PackageError(f"{folder}: {unlisted[0]!r} is not listed in {SUMS}")
        contents = {name: _read(folder, directory, name) for name in listed}
    finally:
        os.close(directory)
    for name, data in contents.items():
        found = hashlib.sha256(data).hexdigest()
        if found != listed[name]:
            raise PackageError(f"{folder}: {name} was altered: its SHA-256 is {found}, {SUMS} says {listed[name]}")
    contract = files.decode(contents[CONTRACT])
    if _settings(folder, contents[SETTINGS]) != model_settings(contract):
        raise PackageError(
            f"{folder}: {SETTINGS} is not what the contract implies (foreign implementation, path or tensor)"
        )
    return VersionFiles(contents, listed, hashlib.sha256(sums).hexdigest(), contract)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _already_published(target: Path) -> PackageError:
    return PackageError(f"{target}: already published; versions are immutable, choose another version")


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())  # the name must not outlive the contents in a crash
    path.chmod(0o444)


def _read(folder: Path, directory: int, name: str) -> bytes:
    """Read one plain file of at most its allowed size; a link, pipe or device is never opened for its contents."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise PackageError(f"{folder}: {name} is not a plain file") from error
        raise PackageError(f"{folder}: {name} can't be read: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise PackageError(f"{folder}: {name} is not a plain file")
        if not 0 < status.st_size <= _MAX_BYTES[name]:
            fault = f"larger than {_MAX_BYTES[name]} bytes" if status.st_size else "empty"
            raise PackageError(f"{folder}: {name} is {fault}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size + 1)
    except OSError as error:
        raise PackageError(f"{folder}: {name} can't be read: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _listed(folder: Path, sums: bytes) -> dict[str, str]:
    lines = sums.decode("latin-1").split("\n")
    if lines.pop():
        raise PackageError(f"{folder}: {SUMS} does not end with a line end")
    listed: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        match = _SUMS_LINE.fullmatch(line)
        if match is None or match[2] not in ALLOWED or match[2] in listed:
            raise PackageError(
                f"{folder}: {SUMS} line {number} is not a lower-case SHA-256, two spaces and a file of its own"
            )
        listed[match[2]] = match[1]
    if absent := REQUIRED - listed.keys():
        raise PackageError(f"{folder}: {SUMS} does not list {', '.join(sorted(absent))}")
    return listed


def _settings(folder: Path, data: bytes) -> Any:
    """Parse settings; a key that appears twice would let another parser read another class."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key appears twice")
        return found

    try:
        return json.loads(data.decode(), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise PackageError(f"{folder}: {SETTINGS} is not sound JSON: {error}") from error
