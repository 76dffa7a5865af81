"""From somebody's table to the draft of a contract that a person can read, edit and train from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lead_scoring.errors import TableError, TrainingError
from lead_scoring.intake import remarks
from lead_scoring.intake.features import draft_feature
from lead_scoring.intake.outcome import read_outcome
from lead_scoring.intake.profile import Profile, profile
from lead_scoring.intake.screening import screen
from lead_scoring.tables import cells
from lead_scoring.tables.files import decimal_of, open_table, read_table
from lead_scoring.training.dataset import Dataset, chance_of
from lead_scoring.training.draft import ContractDraft, DraftModel, LeftOut, NearestShares, Parameters, Shares, Split
from lead_scoring.training.parts import Parts, divide, rfc3339

__all__ = ["Columns", "Drafted", "draft_contract"]

_SPLITS = (Split(), Split(train=0.5, stopping=0.16, calibration=0.17, test=0.17),
           Split(train=0.4, stopping=0.2, calibration=0.2, test=0.2))  # fmt: skip
_SMALL, _MEDIUM = 1_500, 15_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What the columns of a table are for, as the person who brings it says.

    `id` is None where every row is a lead of its own, `time` where no moment of scoring is known, `positive` where the
    target holds true and false, 1 and 0 or yes and no. `unwanted` ones must not become features.
    """

    target: str
    id: str | None = None
    time: str | None = None
    positive: str | None = None
    unwanted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drafted:
    """A draft with what was seen on the way.

    Attributes:
        draft: to be edited and trained from; its notes and left-out columns say what to look at.
        profiles: of every column that could be a feature, in the table's order.
        rows: in the table.
        base_rate: share of positive outcomes.
    """

    draft: ContractDraft
    profiles: tuple[Profile, ...]
    rows: int
    base_rate: float


def draft_contract(path: Path, columns: Columns, *, name: str | None = None, now: datetime) -> Drafted:
    """Read a CSV or Parquet file and draft a contract.

    Args:
        path: the table.
        columns: what its columns are for.
        name: of the model; else made of the file's name.
        now: the moment of scoring where the table tells no time at all.

    Raises:
        TableError: the file can't be read, lacks a column, or its ids, times or outcomes can't be used.
        TrainingError: it has too few rows of either outcome for a model that can be judged.
    """
    source = open_table(path)
    table, sha256 = read_table(path)
    chosen = [column for column in (columns.target, columns.id, columns.time) if column is not None]
    _check_columns(path, table, [*chosen, *columns.unwanted])
    if table.num_rows == 0:
        raise TableError(f"{path}: has no rows")
    labelled = cells.texts(table.column(columns.target)).is_valid()
    unlabelled = table.num_rows - labelled.to_numpy().sum()
    table = table.filter(labelled)
    target, positive = read_outcome(columns.target, table.column(columns.target), columns.positive)
    profiles = [
        profile(column, table.column(column), decimal=decimal_of(table))
        for column in table.column_names
        if column not in chosen
    ]
    moment_s, time_format = _moments(table, columns.time, profiles, now)
    data = _dataset(table, columns, target, moment_s, sha256)
    split, parts = _parts(data, moment_s)
    in_days = [replace(p, value=_days(p, moment_s)) if p.kind == "timestamp" else p for p in profiles]
    screened = screen(in_days, target, parts if columns.time else None, unwanted=columns.unwanted)
    features, left_out = [], []
    for found in profiles:
        if found.kind == "empty" and found.name not in screened.left_out:
            continue
        feature = draft_feature(found, moment_s)
        if found.name in screened.left_out:
            left_out.append(LeftOut(reason=screened.left_out[found.name], feature=feature))
        else:
            features.append(feature)
    if not features:
        raise TableError(f"{path}: no column is left that could be a feature")
    id_field = columns.id or _free("row_id", table.column_names)
    notes = [
        *remarks.about_file(source),
        *remarks.about_outcomes(columns.target, int(unlabelled)),
        *remarks.about_rows(columns.id, data, parts, [p for p in in_days if p.name not in screened.left_out]),
        *remarks.about_columns(profiles, {feature.name: feature for feature in features}),
        *screened.notes,
    ]  # fmt: skip
    outcome = columns.target if positive is None else f"{columns.target} is {positive}"
    draft = ContractDraft(
        model=DraftModel(name=name or _slug(path.stem), description=f"Drafted from {path.name}.", target=outcome),
        id_field=id_field,
        id_from="row" if columns.id is None else "column",
        time_field=columns.time,
        time_format=time_format,
        as_of=None if columns.time else rfc3339(moment_s[0]),
        target_field=columns.target,
        positive=positive,
        without_outcome="leave_out" if unlabelled else "refuse",
        features=features,
        buckets=NearestShares(shares=[0.2] * 5) if table.num_rows < _MEDIUM else Shares(shares=[0.2] * 5),
        training=_parameters(table.num_rows, split),
        left_out=left_out,
        notes=notes,
    )
    return Drafted(draft, tuple(profiles), table.num_rows, float(target.mean()))


def _check_columns(path: Path, table: pa.Table, chosen: Sequence[str]) -> None:
    for column in chosen:
        if column not in table.column_names:
            listed = ", ".join(table.column_names[:40]) + (", …" if len(table.column_names) > 40 else "")
            raise TableError(f"{path}: has no column {column!r}; it has {listed}")
        if chosen.count(column) > 1:
            raise TableError(f"{column}: can't be two of target, id and time")


def _moments(
    table: pa.Table, time: str | None, profiles: Sequence[Profile], now: datetime
) -> tuple[NDArray[np.float64], str | None]:
    """Return every row's moment of scoring and how the time column is written.

    Without one, all rows are scored at the end of the day on which the newest of their times falls, or else now.
    """
    if time is None:
        latest = [float(p.present.max()) for p in profiles if p.kind == "timestamp" and p.present.size]
        day = 86_400.0
        moment = (max(latest) // day + 1) * day if latest else now.replace(microsecond=0).timestamp()
        return np.full(table.num_rows, min(moment, now.timestamp() // 1) if latest else moment), None
    found = profile(time, table.column(time), decimal=decimal_of(table))
    if found.kind != "timestamp":
        found = replace(found, kind="timestamp", value=cells.moments(table.column(time)).value)
    gaps = found.gaps
    if gaps:
        raise TableError(f"{time}: {gaps} of {table.num_rows} rows have no time that can be read; every row needs one")
    return found.value, found.date_format


def _dataset(
    table: pa.Table, columns: Columns, target: NDArray[np.bool_], moment_s: NDArray[np.float64], sha256: str
) -> Dataset:
    """Return the rows in the table's order, without features: enough to be split as training will."""
    if columns.id is None:
        words = pa.array([str(row + 1) for row in range(table.num_rows)])
    else:
        words = cells.texts(table.column(columns.id)).combine_chunks()
        if words.null_count:
            raise TableError(
                f"{columns.id}: {words.null_count} of {table.num_rows} rows have no id; every row needs one"
            )
    ids = words.dictionary_encode()
    group = ids.indices.to_numpy(zero_copy_only=False).astype(np.intp)
    raw = np.empty((table.num_rows, 0))
    return Dataset(table, group, moment_s, target, raw, {}, sha256, None if columns.time else chance_of(ids))


def _parts(data: Dataset, moment_s: NDArray[np.float64]) -> tuple[Split, Parts]:
    """Return the first of some splits with enough of either outcome in every part; parts hold rows of the table."""
    order = np.argsort(data.order, kind="stable")
    chance = None if data.chance is None else data.chance[order]
    sorted_data = replace(
        data, group=data.group[order], moment_s=moment_s[order], target=data.target[order], chance=chance
    )
    refusal: TrainingError | None = None
    for split in _SPLITS:
        try:
            found = divide(sorted_data, split)
        except TrainingError as error:
            refusal = error
            continue
        return split, replace(
            found,
            train=order[found.train],
            stopping=order[found.stopping],
            calibration=order[found.calibration],
            test=order[found.test],
        )
    raise TrainingError(f"too few rows for a model that can be judged: {refusal}")


def _days(found: Profile, moment_s: NDArray[np.float64]) -> NDArray[np.float64]:
    days: NDArray[np.float64] = np.floor((moment_s - found.value) / 86_400)
    return days


def _parameters(rows: int, split: Split) -> Parameters:
    """Return gentler training for smaller tables."""
    if rows < _SMALL:
        return Parameters(
            learning_rate=0.05, max_depth=2, min_child_weight=5, category_smoothing=20, rounds=200, split=split
        )
    if rows < _MEDIUM:
        return Parameters(learning_rate=0.06, max_depth=4, min_child_weight=3, rounds=250, split=split)
    return Parameters(min_child_weight=5, rounds=200, split=split)


def _slug(stem: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:63].strip("-") or "model"


def _free(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name
