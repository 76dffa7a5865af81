"""Commands about somebody's table: draft a contract from it, score it, judge its quality."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lead_scoring.intake.drafting import Drafted
    from lead_scoring.quality.report import Report

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
    draft.add_argument(
        "--leave-out",
        action="append",
        default=[],
        metavar="COLUMN",
        help="a column that must not be a feature; may be repeated",
    )
    draft.add_argument("--name", metavar="NAME", help="of the model, as in its address (default: from the file's name)")
    draft.add_argument("--out", type=Path, required=True, metavar="FILE", help="the draft to write, JSON")

    score = _command(
        commands,
        "score",
        _score,
        "Score a file of leads offline, by the very steps of the service, and say which rows it would refuse, and why.",
        "lead-scoring score leads.csv --model model-repo/lead-scoring/2 --out scored.parquet",
        "0 all rows scored, 1 some refused, 2 wrong usage or contract, 3 untrustworthy package, 6 unusable table",
    )
    _add_file(score)
    score.add_argument("--out", type=Path, metavar="FILE", help="scores of all rows, to .parquet, .csv or .json")
    score.add_argument("--refused", type=Path, metavar="FILE", help="everything wrong with refused rows, likewise")
    score.add_argument("--show", type=int, default=20, metavar="N", help="how many problems to print (default 20)")

    quality = _command(
        commands,
        "quality",
        _quality,
        "Judge a batch or feed of leads: contract violations, duplicates, freshness, coverage, shift, outcomes.",
        "lead-scoring quality leads.parquet --model model-repo/lead-scoring/2 --time scored_at --html report.html",
        "0 nothing as bad as --fail-on, 1 something is, 2 wrong usage or contract, 3 package that can't be trusted, "
        "6 unusable table",
    )
    _add_file(quality)
    quality.add_argument("--target", metavar="COLUMN", help="outcomes, where they are known")
    quality.add_argument("--positive", metavar="WORD", help="the positive outcome, if not true, 1 or yes")
    quality.add_argument(
        "--max-age-days", type=float, metavar="DAYS", help="alarm if the newest row is older (default: not asked)"
    )
    quality.add_argument(
        "--fail-on", choices=("warning", "alarm", "never"), default="alarm", help="what ends with exit code 1"
    )
    quality.add_argument("--html", type=Path, metavar="FILE", help="the report as one HTML page, with pictures")
    quality.add_argument("--json", action="store_true", help="the report for programs instead of the table")
    quality.add_argument("--all", action="store_true", help="show what is well, too")


def _add_file(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path, metavar="FILE", help="CSV (any separator and encoding) or .parquet")
    command.add_argument("--model", type=Path, required=True, metavar="FOLDER", help="a version folder")
    moment = command.add_mutually_exclusive_group()
    moment.add_argument("--time", metavar="COLUMN", help="each row's own moment of scoring")
    moment.add_argument("--as-of", type=_moment, metavar="TIME", help="one moment for all, RFC 3339 (default: now)")
    command.add_argument("--time-format", metavar="FORMAT", help="how --time is written, for strptime")


def _moment(text: str) -> float:
    from lead_scoring.core.moments import seconds

    try:
        return seconds(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be an RFC 3339 time: 2026-06-01 or 2026-06-01T12:00:00Z") from None


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

    columns = Columns(
        target=options.target,
        id=options.id,
        time=options.time,
        positive=options.positive,
        unwanted=tuple(options.leave_out),
    )
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


def _score(options: argparse.Namespace) -> int:
    import pyarrow as pa

    from lead_scoring.intake.scoring import score_file
    from lead_scoring.packaging.verify import verify
    from lead_scoring.tables.files import open_table
    from lead_scoring.tables.output import TableWriter

    verified = verify(options.model)
    found = score_file(
        verified,
        open_table(options.file),
        as_of=_now() if options.as_of is None else options.as_of,
        time=options.time,
        time_format=options.time_format,
        out=options.out,
        progress=lambda rows: _tell(f"{rows} rows"),
    )
    if options.refused is not None:
        fields = ("row", "field", "reason", "expected", "got", "remedy")
        columns = {name: [getattr(refusal, name) for refusal in found.refusals] for name in fields}
        with TableWriter(options.refused) as writer:
            writer.write(
                pa.table(
                    columns, schema=pa.schema([(name, pa.int64() if name == "row" else pa.string()) for name in fields])
                )
            )
    for refusal in found.refusals[: options.show]:
        print(refusal)
    if len(found.refusals) > options.show:
        where = options.refused or "--refused FILE"
        print(f"… and {len(found.refusals) - options.show} more problems: all of them are in {where}")
    model = verified.contract.model
    scores = ", ".join(f"{score}: {rows}" for score, rows in sorted(found.by_score.items()))
    print(f"{found.scored} rows scored by {model.name} {model.version} ({scores or 'none'}), {found.refused} refused")
    return 1 if found.refused else 0


def _quality(options: argparse.Namespace) -> int:
    from lead_scoring.errors import TableError
    from lead_scoring.packaging.verify import verify
    from lead_scoring.quality.page import render
    from lead_scoring.quality.report import Question, judge_file
    from lead_scoring.quality.verdicts import LEVELS
    from lead_scoring.tables.files import open_table

    now = _now()
    question = Question(
        as_of=now if options.as_of is None else options.as_of,
        time=options.time,
        time_format=options.time_format,
        target=options.target,
        positive=options.positive,
        now_s=now,
        max_age_days=options.max_age_days,
    )
    verified, source = verify(options.model), open_table(options.file)
    report = judge_file(verified, source, question, progress=lambda rows: _tell(f"{rows} rows"))
    if options.html is not None:
        try:
            options.html.write_bytes(render(report))
        except OSError as error:
            raise TableError(f"{options.html}: {error.strerror or error}") from error
    if options.json:
        print(json.dumps(report.as_document(), indent=2))
    else:
        _show_report(report, every=options.all)
    if options.fail_on == "never":
        return 0
    return 1 if LEVELS.index(report.level) >= LEVELS.index(options.fail_on) else 0


def _show_report(report: Report, *, every: bool) -> None:
    model = report.contract.model
    print(f"{report.rows} rows held against {model.name} {model.version}; {report.refused} would be refused")
    if report.absent:
        print(f"no column for {', '.join(report.absent)}")
    shown = [check for check in report.checks if every or check.level in ("warning", "alarm") or not check.feature]
    _print_table(
        ["verdict", "area", "about", "seen"],
        [[check.level, check.area, check.feature or "all rows", check.message] for check in shown],
    )
    hidden = Counter(check.level for check in report.checks) - Counter(check.level for check in shown)
    if hidden:
        print("not shown: " + ", ".join(f"{count} {level}" for level, count in sorted(hidden.items())) + " (--all)")
    print(f"in all: {report.level}")


def _now() -> float:
    return datetime.now(UTC).timestamp()


def _show_draft(drafted: Drafted) -> None:
    draft = drafted.draft
    print(
        f"{drafted.rows} rows, {drafted.base_rate:.1%} of them positive ({draft.model.target}); "
        f"{len(draft.features)} features, {len(draft.left_out)} left out"
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
