"""What whoever edits a draft should know about the file, its rows and how its columns were read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from lead_scoring.intake.features import MOST_LEVELS
from lead_scoring.intake.profile import Profile
from lead_scoring.intake.twins import row_keys
from lead_scoring.intake.words import names_absence
from lead_scoring.tables.files import Source
from lead_scoring.training.dataset import Dataset
from lead_scoring.training.draft import FeatureDraft, Note
from lead_scoring.training.parts import Parts

__all__ = ["about_columns", "about_file", "about_outcomes", "about_rows"]

_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_FEWEST_TWINS = 5
_TWIN_SHARE = 0.01


def about_file(source: Source) -> Iterator[Note]:
    """Say how the file was read where that was a guess, and which names had to be changed."""
    dialect = source.dialect
    if dialect is not None:
        mark = ", decimal commas" if dialect.decimal == "," else ""
        yield Note(kind="file", message=f"read as {dialect.encoding} with {_NAMES[dialect.separator]}{mark}")
    for name, written in zip(source.names, source.written, strict=True):
        if name != written.strip():
            yield Note(field=name, kind="name", message="its name in the file can't be a feature's; files may keep it")


def about_outcomes(target_field: str, unlabelled: int) -> Iterator[Note]:
    """Say how many rows nothing can be learnt from."""
    if unlabelled:
        yield Note(field=target_field, kind="no outcome", message=f"{unlabelled} rows have none and are left out")


def about_rows(id_field: str | None, data: Dataset, parts: Parts, profiles: Sequence[Profile]) -> Iterator[Note]:
    """Say how leads are split, and how many rows repeat another one, above all across the split."""
    rows = len(data)
    if data.chance is not None:
        yield Note(
            kind="no time",
            message="leads are split by chance (a hash of the id), so the figures won't show how scores age; name the "
            "moment of scoring with --time if the table has one",
        )
    if id_field is None:
        message = "every row counts as a lead of its own; name the lead's id with --id if there is one"
        yield Note(kind="no id", message=message)
    elif (again := rows - int(data.group.max()) - 1) > 0:
        message = f"{again} of {rows} rows repeat a lead; its rows stay in one part"
        yield Note(field=id_field, kind="repeated ids", message=message)
    if not profiles:
        return
    key = row_keys(profiles)
    first_use = np.zeros(key.max() + 1, dtype=np.intp)
    np.add.at(first_use, key, 1)
    repeated = rows - len(first_use)
    if repeated < max(_FEWEST_TWINS, _TWIN_SHARE * rows):
        return
    seen = np.zeros(key.max() + 1, dtype=bool)
    seen[key[np.concatenate([parts.train, parts.stopping, parts.calibration])]] = True
    across = int(seen[key[parts.test]].sum())
    yield Note(
        kind="duplicate rows",
        message=f"{repeated} of {rows} rows repeat another row's features; {across} of the {len(parts.test)} rows "
        "that judge the model have a twin among those it learns from, which flatters it if they are copies",
    )


def about_columns(profiles: Sequence[Profile], features: Mapping[str, FeatureDraft]) -> Iterator[Note]:
    """Say what was taken for a gap, which odd words a column has, what falls to `other`, and what was guessed."""
    for found in profiles:
        feature = features.get(found.name)
        if feature is None:
            continue
        if found.missing_values:
            listed = ", ".join(value if isinstance(value, str) else f"{value:g}" for value in found.missing_values)
            yield _note(found, "sentinel", f"{listed} counts as missing, also when a client sends it")
        if found.gap_words:
            yield _note(
                found, "mixed types",
                f"{', '.join(found.gap_words)} among {found.kind}s counts as a gap in files; clients send null",
            )  # fmt: skip
        if found.ambiguous:
            yield _note(found, "dates", f"day and month could be swapped; read as {found.date_format}")
        if absent := [level for level in found.levels[:MOST_LEVELS] if names_absence(level)]:
            yield _note(found, "absence", f"{', '.join(absent)} stays a category, as it may matter")
        rare = len(set(found.levels) - set(feature.categories or ()))
        if rare:
            yield _note(found, "rare categories", f"{rare} with few rows count as {feature.other_category}")
        if any("@" in level for level in found.levels[:MOST_LEVELS]):
            yield _note(found, "personal", "looks like e-mail addresses: leave it out, or set `personal`")


def _note(found: Profile, kind: str, message: str) -> Note:
    return Note(field=found.name, kind=kind, message=message)
