"""Print what is published about contracts: `python -m lead_scoring.contract schema > docs/contract.schema.json`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lead_scoring.contract.reference import field_tables, schema_text

_PARTS = {"schema": schema_text, "fields": field_tables}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one part; return 0."""
    parser = argparse.ArgumentParser(prog="python -m lead_scoring.contract", description=__doc__)
    parser.add_argument("part", choices=_PARTS, help="the JSON Schema, or the tables of docs/contract.md")
    sys.stdout.write(_PARTS[parser.parse_args(arguments).part]())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
