"""How a CSV file is written: encoding, separator, decimal mark. Told from its bytes, as nobody writes it down."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lead_scoring.errors import TableError

__all__ = ["SEPARATORS", "Dialect", "column_names", "sniff"]

SEPARATORS = (",", ";", "\t", "|")
_SAMPLE_BYTES = 1024 * 1024
_SAMPLE_RECORDS = 1000
_BLOCK_BYTES = 1024 * 1024
_UNNAMEABLE = str.maketrans("[]<", "()‹")
"""XGBoost takes no feature name with these characters."""
_RESERVED = "features"
_MOST_LETTERS = 128
_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+")
_POINT = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)\.\d+")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a reader of the file must know.

    Attributes:
        encoding: a codec's name; `utf-8-sig` if the file begins with a byte order mark.
        separator: between cells.
        decimal: `.` or `,`; commas are looked for only where they don't separate cells.
        header: the names as they are written.
    """

    encoding: str
    separator: str
    decimal: str
    header: tuple[str, ...]


def sniff(path: Path) -> Dialect:
    """Tell how a CSV file is written, from its encoding as a whole and its first 1,000 records.

    Raises:
        TableError: it is empty, has no separator that gives every record as many cells as the header, or no header.
        OSError: it can't be read.
    """
    encoding = _encoding(path)
    with path.open("rb") as file:
        sample = file.read(_SAMPLE_BYTES)
    whole = len(sample) < _SAMPLE_BYTES
    text = codecs.getincrementaldecoder(encoding)().decode(sample, final=whole)
    if not whole:
        text = text[: text.rfind("\n") + 1] or text
    if not text.strip():
        raise TableError(f"{path}: is empty")
    if "\0" in text:
        raise TableError(f"{path}: is no text file")
    separator, records = _separator(path, text)
    header = tuple(records[0])
    if all(_NUMBER.fullmatch(name.strip()) for name in header):
        raise TableError(f"{path}: its first row is numbers, not names; put the columns' names in front")
    return Dialect(encoding, separator, _decimal(separator, records[1:]), header)


def column_names(written: tuple[str, ...] | list[str]) -> list[str]:
    """Return the columns' names as contracts and clients use them, all different; the same for the same header.

    They are the table's own words without blanks at their ends. Only what can't be a feature's name is changed: `[`,
    `]` and `<` become `(`, `)` and `‹`, control characters become blanks, the reserved `features` gets a final `_`, an
    empty name becomes `column 3`, a name that came before becomes `name (2)`; the 129th letter and on are cut.
    """
    names: list[str] = []
    taken: set[str] = set()
    for position, text in enumerate(written, start=1):
        plain = "".join(letter if letter.isprintable() else " " for letter in text.translate(_UNNAMEABLE))
        name = plain.strip()[:_MOST_LETTERS].strip() or f"column {position}"
        if name == _RESERVED:
            name += "_"
        first, number = name, 1
        while name in taken:
            number += 1
            end = f" ({number})"
            name = first[: _MOST_LETTERS - len(end)] + end
        taken.add(name)
        names.append(name)
    return names


def _encoding(path: Path) -> str:
    """Return UTF-8 wherever the whole file is that; else what Western Windows programs write."""
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(0)
        if start.startswith(codecs.BOM_UTF8):
            return "utf-8-sig"
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        for encoding in ("utf-8", "cp1252"):
            decoder = codecs.getincrementaldecoder(encoding)()
            file.seek(0)
            try:
                while block := file.read(_BLOCK_BYTES):
                    decoder.decode(block)
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                continue
            return encoding
    return "latin-1"


def _separator(path: Path, text: str) -> tuple[str, list[list[str]]]:
    """Return the separator that gives the most cells in the same number throughout, and the records with it."""
    best: tuple[tuple[float, int], str, list[list[str]]] | None = None
    for separator in SEPARATORS:
        try:
            records = [
                record
                for record in islice(csv.reader(io.StringIO(text, newline=""), delimiter=separator), _SAMPLE_RECORDS)
                if record
            ]
        except csv.Error:
            continue
        width = len(records[0]) if records else 0
        if width < 2:
            continue
        same = sum(len(record) == width for record in records) / len(records)
        key = (round(same, 1), width)
        if best is None or key > best[0]:
            best = (key, separator, records)
    if best is None or best[0][0] < 0.5:
        raise TableError(
            f"{path}: no comma, semicolon, tab or bar separates its columns; needs a header and two of them"
        )
    return best[1], best[2]


def _decimal(separator: str, records: list[list[str]]) -> str:
    if separator == ",":
        return "."
    seen: Counter[str] = Counter()
    for record in records:
        for cell in record:
            if "," in cell or "." in cell:
                text = cell.strip()
                seen["," if _COMMA.fullmatch(text) else "." if _POINT.fullmatch(text) else ""] += 1
    return "," if seen[","] > seen["."] else "."
