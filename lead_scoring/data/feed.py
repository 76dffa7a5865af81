"""From drawn columns to the table that a feed would bring, with its few unknown categories and values out of range."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lead_scoring.data.builtin import lead_scoring_draft
from lead_scoring.data.columns import Columns, Values
from lead_scoring.data.population import Population

__all__ = ["to_table"]

_DAY_S = 86_400.0
_UNHEARD_OF = {
    "industry": "space_tourism",
    "job_title": "chief_vibes_officer",
    "geography": "atlantis",
    "custom_feature_7": "carrier_pigeon",
    "custom_feature_8": "vendor_z",
    "custom_feature_9": "unclear",
    "custom_feature_31": "d",
}
"""What a few records hold in columns whose rule allows an unknown category."""


def to_table(c: Columns, p: Population, converted: NDArray[np.bool_], seed: int) -> pa.Table:
    """Return `lead_id`, `scored_at`, the features in the draft's order and `converted`."""
    rng = c.rng
    arrays: dict[str, pa.Array] = {"lead_id": pa.array(_ids(p, seed)), "scored_at": _times(p.moment_s, None)}
    for feature in lead_scoring_draft().features:
        value, absent = c.value[feature.name], c.absent[feature.name]
        if feature.type == "category":
            words = list(feature.categories or [])
            if feature.name in _UNHEARD_OF:
                value = np.where(rng.random(c.rows) < 0.003, len(words), value)
                words.append(_UNHEARD_OF[feature.name])
            coded = pa.DictionaryArray.from_arrays(pa.array(value.astype(np.int32), mask=absent), words)
            arrays[feature.name] = coded.cast(pa.string())
        elif feature.type == "timestamp":
            wild = np.where(rng.random(c.rows) < 0.5, p.moment_s + 1.5 * _DAY_S, p.moment_s - 20 * 365 * _DAY_S)
            arrays[feature.name] = _times(np.where(rng.random(c.rows) < 0.001, wild, value), absent)
        elif feature.type == "boolean":
            arrays[feature.name] = pa.array(value > 0, mask=absent)
        else:
            if feature.out_of_range != "reject" and feature.maximum is not None:
                wild = np.where(rng.random(c.rows) < 0.5, feature.maximum * 1.5 + 1, -1.0 - abs(feature.minimum or 0))
                value = np.where(rng.random(c.rows) < 0.001, wild, value)
            arrays[feature.name] = pa.array(value.astype(np.int64) if feature.type == "integer" else value, mask=absent)
    arrays["converted"] = pa.array(converted)
    return pa.table(arrays)


def _ids(p: Population, seed: int) -> list[str]:
    """Name leads so that no two of them, of this seed or any other below 2^24, share a name."""
    scattered = (np.arange(p.leads, dtype=np.uint64) * np.uint64(0x9E3779B1)) & np.uint64(0xFFFFFFFF)
    names = [f"ld-{seed & 0xFFFFFF:06x}{value:08x}" for value in scattered.tolist()]
    return [names[lead] for lead in p.lead.tolist()]


def _times(seconds: Values, absent: NDArray[np.bool_] | None) -> pa.Array:
    return pa.array(seconds.astype(np.int64) * 1000, mask=absent).cast(pa.timestamp("ms", tz="UTC"))
