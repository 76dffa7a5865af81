"""Check that the chart's schema for values is closed: a misspelt key is refused at every depth."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OPEN = {"/properties/global"}
"""Helm's own, for umbrella charts."""


def open_objects(schema: Any, at: str = "") -> Iterator[str]:
    """Yield where in a schema an object takes keys that nobody named."""
    if isinstance(schema, list):
        for index, item in enumerate(schema):
            yield from open_objects(item, f"{at}/{index}")
    elif isinstance(schema, dict):
        if (schema.get("type") == "object" or "properties" in schema) and "additionalProperties" not in schema:
            yield at
        for name, part in schema.items():
            # The names of properties are no keywords.
            parts = part.items() if name in ("properties", "definitions") else ((None, part),)
            for key, item in parts:
                yield from open_objects(item, f"{at}/{name}" if key is None else f"{at}/{name}/{key}")


if __name__ == "__main__":
    found = sorted(set(open_objects(json.loads(Path(sys.argv[1]).read_text()))) - OPEN)
    sys.stdout.write("".join(f"{sys.argv[1]}: {at} is open\n" for at in found))
    sys.exit(1 if found else 0)
