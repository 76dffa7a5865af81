"""Commands about models: generate leads, train, package, verify."""

from __future__ import annotations

import argparse
import os
import subprocess  # nosec B404 - only ever `git rev-parse HEAD`
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["register"]

_EXIT_CODES = "Exit codes: 0 done, 2 wrong usage or contract, 3 package that can't be trusted, 4 training or its data."

# Imports of training's heavy libraries stay inside the commands: `lead-scoring --help` shouldn't wait for them.


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the command line."""
    _register_generate(commands)
    _register_train(commands)
    _register_package(commands)
    _register_verify(commands)


def _register_generate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands,
        "generate",
        _generate,
        "Make up realistic leads with outcomes; the same options give the same file.",
        "lead-scoring generate --leads 100000 --seed 1 --out leads.parquet",
    )
    command.add_argument("--leads", type=_count, required=True, metavar="N", help="how many rows")
    command.add_argument("--seed", type=_seed, default=0, metavar="N", help="another seed, other leads (default 0)")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .parquet or .csv file to write")
    command.add_argument(
        "--drift", type=_drift, action="append", default=[], metavar="KIND[=STRENGTH]",
        help="`covariate` (who comes) or `concept` (who converts), strength 0 to 1 (default 1); may be repeated",
    )  # fmt: skip
    command.add_argument(
        "--defect", action="append", default=[], metavar="NAME[:COLUMN]",
        help="plant a defect: unit_change, null_burst, category_rename, constant_column, stale_timestamps, duplicates, "
        "label_leakage, shuffled_labels; may be repeated",
    )  # fmt: skip
    command.add_argument(
        "--since", type=_share, default=0.7, metavar="SHARE",
        help="drift and defects begin after this share of the period (default 0.7; 0 for everywhere)",
    )  # fmt: skip


def _register_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands,
        "train",
        _train,
        "Train a candidate: model, contract, model card. The same options give the same bytes.",
        "lead-scoring train --data leads.parquet --version 3 --out candidate --baseline model-repo/lead-scoring/2",
    )
    command.add_argument("--data", type=Path, required=True, metavar="FILE", help="Parquet or CSV with outcomes")
    command.add_argument("--version", required=True, metavar="VERSION", help="the version to be")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder for the candidate")
    command.add_argument(
        "--draft", type=Path, metavar="FILE", help="draft of the contract (default: the built-in lead-scoring one)"
    )
    command.add_argument("--baseline", type=Path, metavar="FOLDER", help="a version folder to compare with")
    command.add_argument(
        "--parameter", type=_setting, action="append", default=[], metavar="NAME=VALUE",
        help="a training parameter other than the draft's: max_depth=3; may be repeated",
    )  # fmt: skip
    command.add_argument("--seed", type=_seed, default=0, metavar="N", help="of sampling and resampling (default 0)")
    command.add_argument("--author", default="data science", help="who answers for it (default: data science)")
    command.add_argument("--git-commit", metavar="SHA", help="commit of the code (default: what git says here)")
    command.add_argument(
        "--workers", type=_count, default=os.cpu_count() or 1, metavar="N",
        help="refits at once; changes nothing but the time (default: one per core)",
    )  # fmt: skip


def _register_package(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands,
        "package",
        _package,
        "Choose golden leads and publish a candidate as an immutable version folder.",
        "lead-scoring package candidate --repository model-repo",
    )
    command.add_argument("candidate", type=Path, metavar="DIR", help="what `train` wrote")
    command.add_argument("--repository", type=Path, required=True, metavar="DIR", help="the model repository")


def _register_verify(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _command(
        commands,
        "verify",
        _verify,
        "Check a version folder from its digests to the scores of its golden leads.",
        "lead-scoring verify model-repo/lead-scoring/2",
    )
    command.add_argument("folder", type=Path, metavar="FOLDER", help="a version folder")


def _generate(options: argparse.Namespace) -> int:
    from lead_scoring.data.defects import plant
    from lead_scoring.data.leads import generate
    from lead_scoring.data.population import Drift
    from lead_scoring.data.tables import write_table

    progress = _progress()
    progress(f"making up {options.leads} leads")
    strengths = dict(options.drift)
    table = generate(options.leads, seed=options.seed, drift=Drift(**strengths, since=options.since))
    for defect in options.defect:
        name, _, column = defect.partition(":")
        progress(f"planting {name}")
        table = plant(table, name, column=column or None, since=options.since, seed=options.seed)
    write_table(table, options.out)
    progress(f"wrote {table.num_rows} rows to {options.out}")
    return 0


def _train(options: argparse.Namespace) -> int:
    from lead_scoring.data.builtin import lead_scoring_draft
    from lead_scoring.packaging.verify import verify
    from lead_scoring.training import draft_files
    from lead_scoring.training.baseline import Baseline
    from lead_scoring.training.candidate import prepare
    from lead_scoring.training.dataset import load
    from lead_scoring.training.pipeline import Origin, train

    progress = _progress()
    draft = draft_files.read(options.draft) if options.draft else lead_scoring_draft()
    draft = draft_files.override(draft, dict(options.parameter))
    prepare(options.out)
    baseline = None
    if options.baseline:
        progress(f"verifying the baseline {options.baseline}")
        verified = verify(options.baseline)
        baseline = Baseline(verified.contract, verified.booster)
    progress(f"reading {options.data}")
    data = load(options.data, draft, [draft_files.outline(feature) for feature in draft.features])
    origin = Origin(
        version=options.version, seed=options.seed, author=options.author, git_commit=options.git_commit or _commit()
    )
    candidate = train(draft, data, origin, baseline=baseline, workers=options.workers, progress=progress)
    candidate.write(options.out)
    for name, measure in candidate.contract.training.metrics.items():
        print(f"{name:18} {measure.value:.4f}  [{measure.low:.4f}, {measure.high:.4f}]")
    compared = candidate.contract.training.compared_with
    if compared:
        auc = compared["difference"]["roc_auc"]
        print(f"roc_auc − version {compared['version']}: {auc['value']:+.4f}  [{auc['low']:+.4f}, {auc['high']:+.4f}]")
    progress(f"wrote the candidate to {options.out}")
    return 0


def _package(options: argparse.Namespace) -> int:
    from lead_scoring.packaging.publishing import publish
    from lead_scoring.training.candidate import CARD, Candidate

    progress = _progress()
    candidate = Candidate.read(options.candidate)
    progress(f"choosing golden leads of {len(candidate.pool)} and checking the written folder")
    folder = publish(
        options.repository, candidate.contract, candidate.model, candidate.pool,
        as_of=candidate.contract.golden.as_of, extra={CARD: candidate.card},
    )  # fmt: skip
    print(folder)
    return 0


def _verify(options: argparse.Namespace) -> int:
    from lead_scoring.packaging.verify import verify

    verified = verify(options.folder)
    model = verified.contract.model
    print(f"{model.name} {model.version}: {verified.leads} golden leads score right (within {verified.difference:.1e})")
    return 0


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    what: str,
    example: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=what, description=what, epilog=f"example: {example}. {_EXIT_CODES}")
    command.set_defaults(run=run)
    return command


def _progress() -> Callable[[str], None]:
    """Return a function that tells people what happens and when, on stderr."""
    start = time.monotonic()

    def tell(what: str) -> None:
        print(f"[{time.monotonic() - start:6.1f} s] {what}", file=sys.stderr, flush=True)

    return tell


def _commit() -> str:
    """Return the commit of the working directory, or `unknown`."""
    try:
        found = subprocess.run(  # nosec B603 B607
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - whichever git this person uses
            capture_output=True, check=True, text=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip()


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**24:
        raise argparse.ArgumentTypeError(f"must be from 0 to {2**24 - 1}")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError("must be at least 0 and below 1")
    return value


def _drift(text: str) -> tuple[str, float]:
    kind, _, strength = text.partition("=")
    if kind not in ("covariate", "concept"):
        raise argparse.ArgumentTypeError("must be covariate or concept")
    value = float(strength or 1)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("strength must be from 0 to 1")
    return kind, value


def _setting(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError("must be NAME=VALUE")
    return name, value
