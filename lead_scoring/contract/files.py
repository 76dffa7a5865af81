"""Reading and writing `contract.json`, byte for byte the same for the same contract."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import Any

import msgspec

from lead_scoring.contract.rules import violations
from lead_scoring.contract.types import Contract, Feature
from lead_scoring.errors import ContractError

__all__ = ["MAX_BYTES", "decode", "encode", "feature_set_sha256", "json_schema", "read"]

MAX_BYTES = 16 * 1024 * 1024


def decode(data: bytes) -> Contract:
    """Parse and check a contract.

    Raises:
        ContractError: not JSON, not of the contract's form, or against one of its rules; says where.
    """
    try:
        contract = msgspec.json.decode(data, type=Contract)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(f"contract.json: {error}") from error
    if broken := violations(contract):
        raise ContractError("contract.json: " + "; ".join(broken))
    return contract


def read(path: Path) -> Contract:
    """Read a contract from a file of at most 16 MiB.

    Raises:
        ContractError: as `decode`, or the file is missing, unreadable or too large.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ContractError(f"{path}: larger than {MAX_BYTES} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise ContractError(f"{path}: {error.strerror or error}") from error
    return decode(data)


def encode(contract: Contract) -> bytes:
    """Return the canonical bytes: fields in the order of the types, two spaces, a final newline.

    Raises:
        ContractError: the contract would not be read back as it is (wrong types, NaN), breaks its own rules, names
            another feature set than its own, or is too large.
    """
    try:
        read_back = decode(msgspec.json.encode(contract))
    except (TypeError, ValueError, RecursionError) as error:
        raise ContractError(f"the contract can't be written as JSON: {error}") from error
    data = msgspec.json.format(msgspec.json.encode(read_back), indent=2) + b"\n"
    if len(data) > MAX_BYTES:
        raise ContractError(f"the contract is larger than {MAX_BYTES} bytes")
    if read_back != contract:
        raise ContractError("the contract would not be read back as it is: it holds NaN or a type that JSON has not")
    if contract.training.feature_set_sha256 != feature_set_sha256(contract.features):
        raise ContractError("$.training.feature_set_sha256: is not that of the features")
    return data


def feature_set_sha256(features: list[Feature]) -> str:
    """Hash what the features mean (not how they were distributed): equal hashes read the same leads the same way."""
    written = msgspec.json.decode(msgspec.json.encode(features), type=list[Feature])  # 1 and 1.0 are one minimum
    meaning = [
        msgspec.structs.replace(feature, reference=None, description="", in_files=msgspec.UNSET) for feature in written
    ]
    return hashlib.sha256(msgspec.json.encode(meaning, order="deterministic")).hexdigest()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `contract.json`; only `decode` checks the rules between fields."""
    schema = msgspec.json.schema(Contract)
    for definition in schema["$defs"].values():
        definition["description"] = inspect.cleandoc(definition["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Lead-scoring model contract", **schema}
