"""The model server of one model version: MLServer with a runtime that answers in margins, probabilities and contributions.

The `features` tensor `(n, f)` float32, in contract order, encoded as `lead_scoring.core.features.encode` does, NaN for a gap:

==========  ============================================================================  ================================
form        request                                                                       answer
==========  ============================================================================  ================================
frame       gRPC: datatype ``BYTES``, shape ``[1]``, ``contents.bytes_contents=[frame]``,  every output ``BYTES``, shape
            `frame` the little-endian float32 of the whole matrix, row after row;          ``[1]``, one frame in
            n is ``len(frame) / 4 / f``                                                    ``contents.bytes_contents``
raw         gRPC: datatype ``FP32``, shape ``[n, f]``, ``raw_input_contents=[frame]``      ``FP32``, ``raw_output_contents``
plain       gRPC ``contents.fp32_contents``, REST JSON ``data`` (flat or nested, null      ``FP32``, ``contents.fp32_contents``
            for a gap): datatype ``FP32``, shape ``[n, f]``                                or JSON ``data``
==========  ============================================================================  ================================

Outputs by name: ``probability`` `(n,)` (the default), ``margin`` `(n,)`, ``contributions`` `(n, f + 1)` with the bias last, all
float32, in the order asked for. See `docs/predictor.md` for statuses and settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lead_predictor.runtime import LeadScoringRuntime

__all__ = ["LeadScoringRuntime"]


def __getattr__(name: str) -> type[LeadScoringRuntime]:
    """Load the runtime on first use only: MLServer and XGBoost must not be imported before the folder has been checked."""
    if name == "LeadScoringRuntime":
        from lead_predictor.runtime import LeadScoringRuntime

        return LeadScoringRuntime
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
