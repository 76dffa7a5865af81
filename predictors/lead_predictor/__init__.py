"""The model server of one model version: MLServer with a runtime that answers in margins and contributions.

Input: the tensor `features` `(n, f)` float32 in contract order, as `lead_scoring.core.features.encode` makes it, NaN
for a gap, never infinite. The answer takes the form of the question:

- *frame* (gRPC): datatype ``BYTES``, shape ``[1]``, ``contents.bytes_contents=[frame]`` where `frame` is the
  little-endian float32 of the whole matrix, row after row, so that n is ``len(frame) / 4 / f``. No parameters. Every
  output comes back as ``BYTES``, shape ``[1]``, with one such frame in ``contents.bytes_contents``.
- *raw* (gRPC): datatype ``FP32``, shape ``[n, f]``, ``raw_input_contents=[frame]``. Outputs are ``FP32`` of their own
  shape, in ``raw_output_contents``. (A BYTES frame may come raw too; then so do the answers, each after its length.)
- *plain* (gRPC ``contents.fp32_contents``, or REST JSON ``data``, flat or nested, null for a gap): datatype ``FP32``,
  shape ``[n, f]``. Outputs are ``FP32`` of their own shape in ``contents.fp32_contents`` or JSON ``data``.

Outputs by name, in the order asked for, all float32: ``probability`` `(n,)` (the default, not calibrated), ``margin``
`(n,)`, ``contributions`` `(n, f + 1)` with the bias last. `docs/predictor.md` has statuses and settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lead_predictor.runtime import LeadScoringRuntime

__all__ = ["LeadScoringRuntime"]


def __getattr__(name: str) -> type[LeadScoringRuntime]:
    """Load the runtime on first use: MLServer and XGBoost are not imported before the folder has been checked."""
    if name == "LeadScoringRuntime":
        from lead_predictor.runtime import LeadScoringRuntime

        return LeadScoringRuntime
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
