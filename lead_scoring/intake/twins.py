"""The same thing twice: columns that say what another one says, rows that repeat another row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from lead_scoring.intake.profile import Profile

__all__ = ["column_twins", "identifying", "row_keys"]

_MOST_VALUES = 1000
_UNIQUE = 0.95
_FEWEST_ROWS = 20
_SAME_SIGN = 0.99


def identifying(found: Profile) -> bool:
    """Tell whether a column names rows rather than describes them: nearly all words different, or a running number."""
    present = found.present
    if present.size < _FEWEST_ROWS or found.kind in ("boolean", "empty", "number", "timestamp"):
        return False
    different = np.unique(present).size / present.size
    if found.kind == "category":
        return different >= _UNIQUE
    steps = np.diff(present)
    running = max((steps > 0).mean(), (steps < 0).mean()) >= _SAME_SIGN
    dense = np.ptp(present) < 2 * present.size
    return bool(different == 1 and (running or dense))


def column_twins(profiles: Sequence[Profile]) -> Iterator[tuple[Profile, Profile]]:
    """Yield each column that an earlier one stands for, with that one: equal, or other words for the same."""
    seen: dict[bytes, Profile] = {}
    for found in profiles:
        if found.kind == "empty":
            continue
        keys = [_digest(found.value, found.levels)]
        recoded = _recoded(found.value)
        if recoded is not None:
            keys.append(_digest(recoded, ("recoded",)))
        twin = next((seen[key] for key in keys if key in seen), None)
        if twin is not None:
            yield found, twin
        else:
            seen.update(dict.fromkeys(keys, found))


def row_keys(profiles: Sequence[Profile]) -> NDArray[np.intp]:
    """Return for each row a number that it shares with those rows alone that have the same values in all columns."""
    rows = len(profiles[0].value)
    key = np.zeros(rows, dtype=np.intp)
    for found in profiles:
        _, place = np.unique(found.value, return_inverse=True)  # gaps count as equal
        _, key = np.unique(key * (place.max() + 1) + place, return_inverse=True)
    return key


def _recoded(value: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the values numbered by first appearance, so that two spellings become equal; None for many values."""
    values, first, place = np.unique(value, return_index=True, return_inverse=True)
    if not 2 < values.size <= min(_MOST_VALUES, len(value) / 10):
        return None
    rank = np.empty(values.size)
    rank[np.argsort(first, kind="stable")] = np.arange(values.size)
    codes: NDArray[np.float64] = rank[place]
    return codes


def _digest(value: NDArray[np.float64], levels: Sequence[str]) -> bytes:
    plain = np.where(np.isnan(value), np.nan, value)  # one bit pattern for all gaps
    return xxhash.xxh128_digest(plain.tobytes() + "\0".join(levels).encode())
