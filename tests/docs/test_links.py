"""What a document points to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.documents import DOCUMENTS, prose
from tests.support.stack import ROOT

LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")  # the text of a link may be code, which `prose` leaves out
TOP = sorted(entry.name for entry in ROOT.iterdir() if entry.is_dir() and not entry.name.startswith("."))
PATH = re.compile(rf"`((?:{'|'.join(map(re.escape, TOP))})/[\w./-]*)`")


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(prose(document)):
        if re.match(r"[a-z]+:", target):
            continue  # another site; nothing here depends on it
        path, _, anchor = target.partition("#")
        found = (document.parent / path).resolve() if path else document
        assert found.exists(), target
        assert found.is_relative_to(ROOT), target
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(document: Path) -> None:
    for path in PATH.findall(document.read_text()):
        assert (ROOT / path).exists(), path


def test_the_index_lists_every_document() -> None:
    listed = set(LINK.findall(prose(ROOT / "docs" / "README.md")))
    there = {path.name for path in (ROOT / "docs").iterdir() if path.name != "README.md"}
    assert listed == there | {"../README.md", "../charts/lead-scoring/README.md"}


def test_documents_that_the_code_names_exist() -> None:
    for folder in ("lead_scoring", "transformers", "predictors", "bench"):
        for path in (ROOT / folder).rglob("*.py"):
            if ".venv" in path.parts:
                continue
            for name in re.findall(r"`docs/([\w.-]+\.(?:md|json|yaml|proto))`", path.read_text()):
                assert (ROOT / "docs" / name).exists(), f"{path.relative_to(ROOT)} names docs/{name}"
