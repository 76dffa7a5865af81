"""How features were distributed when the model learnt, and the same counts for any later batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lead_scoring.contract.types import Feature, Histogram
from lead_scoring.core.features import Encoded

__all__ = ["count", "reference"]

MOST_BINS = 20


def reference(features: Sequence[Feature], encoded: Encoded) -> list[Histogram]:
    """Return a histogram for each feature, with edges of its own.

    Numbers, integers and timestamps get up to 20 bins of about equally many rows, or one for each value where there are
    no more than that; booleans get two; categories one each.

    Args:
        features: in the order of the columns.
        encoded: accepted rows; `plain` and `unknown` are used.
    """
    return [
        _count(
            feature, _edges(feature, encoded.plain[:, column]), encoded.plain[:, column], int(encoded.unknown[column])
        )
        for column, feature in enumerate(features)
    ]


def count(features: Sequence[Feature], encoded: Encoded) -> list[Histogram]:
    """Count another batch in the bins of the features' own references.

    Raises:
        ValueError: a feature has no reference.
    """
    found = []
    for column, feature in enumerate(features):
        if feature.reference is None:
            raise ValueError(f"{feature.name} has no reference histogram")
        found.append(_count(feature, feature.reference.edges, encoded.plain[:, column], int(encoded.unknown[column])))
    return found


def _edges(feature: Feature, plain: NDArray[np.float64]) -> list[float]:
    if feature.type == "category":
        return []
    if feature.type == "boolean":
        return [0.0, 0.5, 1.0]
    values = np.unique(plain[~np.isnan(plain)])
    if not values.size:
        return [0.0, 1.0]
    if values.size <= MOST_BINS:
        middle = (values[:-1] + values[1:]) / 2
        reach = 0.5 if values.size == 1 else (values[-1] - values[0]) / (2 * (values.size - 1))
        edges = np.concatenate(([values[0] - reach], middle, [values[-1] + reach]))
    else:
        edges = np.unique(np.nanquantile(plain, np.linspace(0, 1, MOST_BINS + 1)))
    return [float(edge) for edge in edges]


def _count(feature: Feature, edges: Sequence[float], plain: NDArray[np.float64], unknown: int) -> Histogram:
    present = plain[~np.isnan(plain)]
    missing = len(plain) - len(present)
    if feature.type == "category":
        counts = np.bincount(present.astype(np.intp), minlength=len(feature.categories or []))
        # Unknown ones were given a place by their rule; here they are counted once, as `other`.
        if feature.unknown_category == "other":
            counts[(feature.categories or []).index(feature.other_category or "")] -= unknown
        else:
            missing -= unknown
        return Histogram(counts=counts.tolist(), other=unknown, missing=missing)
    counts, _ = np.histogram(present, bins=np.asarray(edges))
    return Histogram(
        edges=list(edges),
        counts=counts.tolist(),
        below=int((present < edges[0]).sum()),
        above=int((present > edges[-1]).sum()),
        missing=missing,
    )
