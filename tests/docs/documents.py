"""The documents as their readers meet them: blocks to type, answers to expect, links to follow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.stack import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:\A|\n)\n((?: {4}\S.*\n)+)")


@dataclass(frozen=True)
class Block:
    """A fenced or indented block; `answer` is the JSON block right after it, if there is one."""

    document: Path
    line: int
    language: str
    text: str
    answer: str | None = None

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks(document: Path) -> list[Block]:
    """Return all blocks of a document."""
    text = document.read_text()
    found, fences = [], list(_FENCE.finditer(text))
    for position, fence in enumerate(fences):
        after = fences[position + 1] if position + 1 < len(fences) else None
        answers = after is not None and after[1] == "json" and not text[fence.end() : after.start()].strip()
        answer = after[2] if after is not None and answers else None
        found.append(Block(document, _line(text, fence.start()), fence[1], fence[2], answer))
    outside = _FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), text)
    indented = _INDENTED.finditer(outside)
    return found + [Block(document, _line(outside, one.start(1)), "indented", one[1]) for one in indented]


def commands(block: Block) -> list[str]:
    """Return the lines of a shell block that hold a command, continued ones joined, comments left out."""
    joined = block.text.replace("\\\n", " ")
    lines = [re.sub(r"\s{2,}#.*", "", line).strip() for line in joined.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def all_blocks(*languages: str) -> list[Block]:
    """Return the blocks of all documents in any of these languages."""
    return [block for document in DOCUMENTS for block in blocks(document) if block.language in languages]


def prose(document: Path) -> str:
    """Return the text without blocks and code, in which brackets are no links."""
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", document.read_text()))


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
