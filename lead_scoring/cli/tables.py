"""Commands about somebody's table: draft a contract from it, score it, judge its quality."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lead_scoring.intake.drafting import Drafted

__all__ = ["register"]

_WIDTH = 100


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the command line."""
    draft = _command(
        commands,
        "draft",
        _draft,
        "Draft a contract from a CSV or Parquet table, with everything that looks wrong in it.",
        'lead-scoring draft leads.csv --target Converted --id "Lead Number" --out draft.json',
        "0 done, 2 wrong usage, 4 too few rows to train on, 6 a table that can't be read or used",
    )
    draft.add_argument("table", type=Path, metavar="TABLE", help="CSV (any separator and encoding) or .parquet")
    draft.add_argument("--target", required=True, metavar="COLUMN", help="the outcome")
    draft.add_argument("--positive", metavar="WORD", help="the positive outcome, if not true, 1 or yes")
    draft.add_argument("--id", metavar="COLUMN", help="identifies a lead (default: every row is a lead of its own)")
    draft.add_argument("--time", metavar="COLUMN", help="the moment of scoring (default: split by chance, not by time)")
    draft.add_argument("--name", metavar="NAME", help="of the model, as in its address (default: from the file's name)")
    draft.add_argument("--out", type=Path, required=True, metavar="FILE", help="the draft to write, JSON")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    what: str,
    example: str,
    exit_codes: str,
) -> argparse.ArgumentParser:
    epilog = f"example: {example}. Exit codes: {exit_codes}."
    command = commands.add_parser(name, help=what, description=what, epilog=epilog)
    command.set_defaults(run=run)
    return command


def _draft(options: argparse.Namespace) -> int:
    from lead_scoring.errors import ContractError, TableError
    from lead_scoring.intake.drafting import Columns, draft_contract
    from lead_scoring.training import draft_files

    columns = Columns(target=options.target, id=options.id, time=options.time, positive=options.positive)
    drafted = draft_contract(options.table, columns, name=options.name, now=datetime.now(UTC))
    written = draft_files.encode(drafted.draft)
    try:
        draft_files.decode(written)
    except ContractError as error:
        raise ContractError(f"can't be drafted: {error}") from error
    try:
        options.out.write_bytes(written)
    except OSError as error:
        raise TableError(f"{options.out}: {error.strerror or error}") from error
    _show_draft(drafted)
    name = drafted.draft.model.name
    print(f"\nwrote {options.out}: read it, edit it, then")
    print(f"  lead-scoring train --data {options.table} --draft {options.out} --version 1 --out candidate-{name}")
    return 0


def _show_draft(drafted: Drafted) -> None:
    draft = drafted.draft
    print(
        f"{drafted.rows} rows, {drafted.base_rate:.1%} of them positive ({draft.model.target}); "
        f"{len(draft.features)} features, {len(draft.left_out)} columns left out"
    )
    gaps = {found.name: found.gaps / drafted.rows for found in drafted.profiles}
    rows = []
    for feature in draft.features:
        accepts = ", ".join(feature.categories or [])
        if feature.minimum is not None and feature.maximum is not None:
            accepts = f"{feature.minimum:.12g} … {feature.maximum:.12g}"
        rows.append([feature.name, feature.type, f"{gaps[feature.name]:.1%}", accepts])
    _print_table(["feature", "type", "missing", "accepts"], rows)
    if draft.notes:
        print()
        _print_table(["to look at", "column", ""], [[note.kind, note.field, note.message] for note in draft.notes])


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns side by side, the last one as long as it is; others are cut at 40 letters."""
    cut = [[_cut(cell, 40) for cell in row[:-1]] + [_cut(row[-1], 2 * _WIDTH)] for row in [head, *rows]]
    widths = [max(len(row[place]) for row in cut) for place in range(len(head))]
    for row in cut:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
