"""What V2 requests owe the protocol over REST and gRPC alike, before anything is known of the model."""

from __future__ import annotations

from collections.abc import Sequence

from lead_scoring.core.findings import Report
from lead_transformer.messages import OutputSpec
from lead_transformer.outputs import OUTPUTS

__all__ = ["MAX_DIMENSIONS", "MAX_ID_CHARACTERS", "MAX_TENSORS", "check_outputs", "refuse_id", "refuse_size"]

MAX_TENSORS = 4096
"""Most tensors in a request: no model has more than 2,000 features, and a hostile body must not cost a long loop."""
MAX_ID_CHARACTERS = 256
MAX_DIMENSIONS = 8


def check_outputs(outputs: Sequence[OutputSpec], report: Report) -> None:
    """Report unknown and repeated outputs."""
    seen: dict[str, int] = {}
    for position, output in enumerate(outputs):
        path = f"$.outputs[{position}].name"
        if output.name not in OUTPUTS:
            report.add(
                path,
                "unknown_output",
                expected="one of " + ", ".join(OUTPUTS),
                got="another name",
                remedy="remove it or correct its spelling",
            )
        elif output.name in seen:
            report.add(
                path,
                "duplicate_output",
                expected="each output once",
                got=f"the same name as $.outputs[{seen[output.name]}]",
                remedy="remove one of the two",
            )
        else:
            seen[output.name] = position


def refuse_id(got: str, report: Report) -> None:
    """Report a request id that can't be one."""
    report.add(
        "$.id",
        "invalid_id",
        expected=f"a text of at most {MAX_ID_CHARACTERS} characters",
        got=got,
        remedy="shorten it or leave it out",
    )


def refuse_size(path: str, got: str, report: Report) -> None:
    """Report a list of tensors or outputs that is empty or endless."""
    report.add(
        path,
        "batch_size",
        expected=f"a list of 1 to {MAX_TENSORS} tensors",
        got=got,
        remedy="send one tensor per feature, or all features in one",
    )
