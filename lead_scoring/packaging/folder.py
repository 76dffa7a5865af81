"""The version folder: what is in it, how it is written, how it is known to be whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lead_scoring.contract import files
from lead_scoring.contract.types import Contract
from lead_scoring.errors import PackageError

__all__ = [
    "CONTRACT",
    "IMPLEMENTATION",
    "MODEL",
    "SETTINGS",
    "SUMS",
    "check_integrity",
    "digest",
    "model_settings",
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


def write(repository: Path, contract: Contract, model: bytes, *, extra: Mapping[str, bytes] | None = None) -> Path:
    """Write ``<repository>/<name>/<version>/`` all at once and return it.

    Args:
        repository: the model repository (``model-repo``).
        contract: the version's contract.
        model: the booster in UBJSON.
        extra: further files by name, from `ALLOWED`.

    Raises:
        PackageError: the version exists already (published versions are immutable), or a file name is not allowed.
    """
    target = repository / contract.model.name / contract.model.version
    if target.exists():
        raise PackageError(f"{target}: already published; versions are immutable, choose another version")
    settings = json.dumps(model_settings(contract), indent=2).encode() + b"\n"
    contents = {MODEL: model, CONTRACT: files.encode(contract), SETTINGS: settings, **(extra or {})}
    if unknown := contents.keys() - ALLOWED:
        raise PackageError(f"not part of a version folder: {', '.join(sorted(unknown))}")
    target.parent.mkdir(parents=True, exist_ok=True)
    workspace = Path(tempfile.mkdtemp(prefix=".publishing-", dir=target.parent))
    try:
        for name, data in contents.items():
            (workspace / name).write_bytes(data)
        sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(contents.items()))
        (workspace / SUMS).write_text(sums)
        workspace.chmod(0o755)
        workspace.rename(target)
    except OSError as error:
        raise PackageError(f"{target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
    return target


def check_integrity(folder: Path) -> dict[str, str]:
    """Check that a version folder holds exactly the files that `SHA256SUMS` lists, unaltered, and nothing that can run code.

    Returns:
        SHA-256 by file name.

    Raises:
        PackageError: a file is missing, altered, unlisted, not a plain file, oddly named or not allowed; or the settings name
            anything but our runtime, the model beside them and the tensors of the contract. Says which.
    """
    listed = _listed(folder)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not path.is_file():
            raise PackageError(f"{folder}: {name} is not a plain file")
        if name != SUMS and name not in listed:
            raise PackageError(f"{folder}: {name} is not listed in {SUMS}")
    for name, expected in listed.items():
        try:
            found = digest(folder / name)
        except OSError as error:
            raise PackageError(f"{folder}: {name} is listed in {SUMS} but can't be read: {error.strerror}") from error
        if found != expected:
            raise PackageError(f"{folder}: {name} was altered: its SHA-256 is {found}, {SUMS} says {expected}")
    contract = files.read(folder / CONTRACT)
    try:
        settings = json.loads((folder / SETTINGS).read_bytes())
    except ValueError as error:
        raise PackageError(f"{folder}: {SETTINGS} is not JSON: {error}") from error
    if settings != model_settings(contract):
        raise PackageError(f"{folder}: {SETTINGS} is not what the contract implies (foreign implementation, path or tensor)")
    return listed


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _listed(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / SUMS).read_text("ascii").splitlines()
    except OSError as error:
        raise PackageError(f"{folder}: {SUMS}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise PackageError(f"{folder}: {SUMS} is not ASCII") from error
    listed: dict[str, str] = {}
    for line in lines:
        expected, separator, name = line.partition("  ")
        if not separator or len(expected) != 64 or name in listed or name != os.path.basename(name) or name not in ALLOWED:
            raise PackageError(f"{folder}: {SUMS} has a line that lists no file of a version folder")
        listed[name] = expected
    if absent := REQUIRED - listed.keys():
        raise PackageError(f"{folder}: {SUMS} does not list {', '.join(sorted(absent))}")
    return listed
