"""The outcome column: which of its words is the positive one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lead_scoring.errors import TableError
from lead_scoring.tables import cells

__all__ = ["read_outcome"]

_MOST_SHOWN = 8
_SENTENCE = "name the positive one with --positive"


def read_outcome(name: str, column: pa.ChunkedArray, positive: str | None) -> tuple[NDArray[np.bool_], str | None]:
    """Return the outcomes `(n,)` and the word that is positive; None where the column holds true and false or 1 and 0.

    Args:
        name: of the column.
        column: without gaps.
        positive: the word, if somebody said it.

    Raises:
        TableError: all have the same one, or it can't be told which word is positive.
    """
    words = cells.texts(column).to_pylist()
    counts = Counter(words)
    if len(counts) < 2:
        raise TableError(f"{name}: all {len(words)} rows have the same outcome")
    if positive is None:
        found = cells.truths(column)
        if found.bad.any() or not np.isin(found.value, (0.0, 1.0)).all():
            raise TableError(f"{name}: {_SENTENCE}: it holds {_shown(counts)}")
        target: NDArray[np.bool_] = found.value > 0
        plain = not cells.is_text(column.type) and not pa.types.is_dictionary(column.type)
        winners = {word for word, won in zip(words, target, strict=True) if won}
        return target, None if plain or len(winners) > 1 else winners.pop()
    if positive not in counts:
        raise TableError(f"{name}: no row has the outcome that --positive names; it holds {_shown(counts)}")
    return np.array([word == positive for word in words]), positive


def _shown(counts: Counter[str | None]) -> str:
    listed = ", ".join(f"{word} ({rows})" for word, rows in counts.most_common(_MOST_SHOWN))
    return listed + (f", … ({len(counts)} different)" if len(counts) > _MOST_SHOWN else "")
