"""The command line: `lead-scoring COMMAND`, one module per group of commands."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from lead_scoring.errors import LeadScoringError

__all__ = ["main"]

_GROUPS = ("lead_scoring.cli.models", "lead_scoring.cli.tables", "lead_scoring.cli.stack")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 2 usage or contract, 3 package, 4 training, 5 stack, 6 table."""
    parser = argparse.ArgumentParser(
        prog="lead-scoring",
        description="Draft contracts, train, package and verify models, score tables, run the service on this machine.",
        epilog="example: lead-scoring verify model-repo/lead-scoring/2",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in _GROUPS:
        importlib.import_module(group).register(commands)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except LeadScoringError as error:
        print(f"lead-scoring {options.command}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
