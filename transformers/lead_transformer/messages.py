"""What passes between the codecs and the service: one request form and one answer form for REST, gRPC and V1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_scoring.core.assembly import Tensor
from lead_scoring.core.explanation import Reason

__all__ = ["MAX_LEADS", "MAX_REASONS", "Answer", "Options", "OutputSpec", "ScoreRequest"]

MAX_LEADS = 500
"""Most leads in a request."""
MAX_REASONS = 20
"""Most reasons per lead that a client can ask for."""


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output that the client asked for; `binary` only has a meaning over REST."""

    name: str
    binary: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """The request parameters that we know.

    Attributes:
        explain: add the `reasons` output.
        reasons: how many reasons per lead, 1 to 20.
        prediction_time: add the `prediction_time_ms` output.
        as_of: moment of scoring in seconds since the epoch; None for now.
    """

    explain: bool = False
    reasons: int = 5
    prediction_time: bool = False
    as_of: float | None = None


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """A decoded request; exactly one of `tensors` (V2) and `records` (V1, any JSON value) is set."""

    id: str | None
    options: Options
    tensors: Sequence[Tensor] | None = None
    records: Any = None
    outputs: Sequence[OutputSpec] | None = None
    """None for the default outputs."""
    binary_default: bool = False
    """REST: every output binary unless said otherwise (`parameters.binary_data_output`)."""


@dataclass(frozen=True)
class Answer:
    """Scores for n leads with what the response says about itself. Arrays have shape `(n,)`."""

    lead_ids: Sequence[str]
    score: NDArray[np.int32]
    probability: NDArray[np.float64]
    confidence: NDArray[np.float64]
    features_used: NDArray[np.int32]
    model_name: str
    model_version: str
    variant: str
    request_id: str
    timestamp: str
    processing_time_ms: float
    prediction_time_ms: float
    """Time that the model server took for the whole batch, divided by its leads."""
    reasons: Sequence[Sequence[Reason]] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lead_ids)
