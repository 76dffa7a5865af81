"""Write the chart's values as a table for its README, from values.yaml and the comments that start with `# --`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

BEGIN = "<!-- values: begin -->"
END = "<!-- values: end -->"


def rows(text: str, node: yaml.MappingNode, above: tuple[str, ...] = ()) -> Iterator[tuple[str, str, str]]:
    """Yield key, default and what its comment says, for every value that has a comment."""
    lines = text.splitlines()
    for key, value in node.value:
        path = (*above, key.value)
        described: list[str] = []
        at = key.start_mark.line - 1
        while at >= 0 and lines[at].strip().startswith("#"):
            described.insert(0, lines[at].strip().removeprefix("#").strip())
            at -= 1
        start = next((index for index, line in enumerate(described) if line.startswith("-- ")), None)
        if start is not None:
            short = isinstance(value, yaml.ScalarNode) or value.flow_style
            default = f"`{text[value.start_mark.index : value.end_mark.index]}`" if short else "see values.yaml"
            yield ".".join(path), default, " ".join(described[start:]).removeprefix("-- ")
        if isinstance(value, yaml.MappingNode):
            yield from rows(text, value, path)


def table(values: str) -> str:
    """Return the table."""
    root = yaml.compose(values)
    assert isinstance(root, yaml.MappingNode)
    lines = ["| value | default | what it does |", "| --- | --- | --- |"]
    for key, default, text in rows(values, root):
        lines.append(f"| `{key}` | {default} | {text.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def main() -> int:
    """Write the table into the README, or check it; return 1 if it isn't what it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chart", type=Path)
    parser.add_argument("--check", action="store_true", help="only say whether the README is up to date")
    options = parser.parse_args()
    readme = options.chart / "README.md"
    text = readme.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = f"{before}{BEGIN}\n{table((options.chart / 'values.yaml').read_text())}\n{END}{after}"
    if options.check:
        if made != text:
            sys.stderr.write(f"{readme} is not up to date: {sys.argv[0]} {options.chart}\n")
        return int(made != text)
    readme.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
