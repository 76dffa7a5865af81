"""The outputs that a client can ask for, named, typed and described once for all protocols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from lead_scoring.core.explanation import Reason
from lead_scoring.errors import ServiceError
from lead_transformer.messages import Answer, Options, OutputSpec, ScoreRequest

__all__ = ["BY_DEFAULT", "OUTPUTS", "Column", "Output", "reason_objects", "settle", "wanted"]

Column = NDArray[Any] | list[str]
"""An output's values for n leads: an array of the output's own dtype, or texts."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output tensor of shape `[n]`.

    Attributes:
        name, datatype: as V2 says them.
        description: for people.
        minimum, maximum: inclusive bounds, where there are any.
        values: takes the column out of an answer.
    """

    name: str
    datatype: str
    description: str
    values: Callable[[Answer], Column]
    minimum: float | None = None
    maximum: float | None = None


def reason_objects(answer: Answer) -> list[list[dict[str, Any]]]:
    """Return each lead's reasons as JSON objects, strongest first.

    Raises:
        ServiceError: the answer was made without reasons.
    """
    if answer.reasons is None:
        raise ServiceError("the reasons that were asked for are missing")
    return [[_reason_object(reason) for reason in reasons] for reasons in answer.reasons]


def _reason_object(reason: Reason) -> dict[str, Any]:
    return {"feature": reason.feature, "contribution": reason.contribution, "direction": reason.direction}


OUTPUTS = {
    output.name: output
    for output in (
        Output(
            "score",
            "INT32",
            "Bucket of the lead: 1 is least, the highest most likely to convert.",
            lambda answer: np.ascontiguousarray(answer.score, dtype=np.int32),
            minimum=1,
        ),
        Output(
            "probability",
            "FP64",
            "Calibrated probability of conversion.",
            lambda answer: np.ascontiguousarray(answer.probability, dtype=np.float64),
            minimum=0,
            maximum=1,
        ),
        Output(
            "confidence",
            "FP64",
            "How surely the lead belongs in its bucket: the share of refitted models that agree.",
            lambda answer: np.ascontiguousarray(answer.confidence, dtype=np.float64),
            minimum=0,
            maximum=1,
        ),
        Output(
            "features_used",
            "INT32",
            "How many features of the lead reached the model with a value of their own.",
            lambda answer: np.ascontiguousarray(answer.features_used, dtype=np.int32),
            minimum=0,
        ),
        Output(
            "model_version",
            "BYTES",
            "Version of the model that scored the lead.",
            lambda answer: [answer.model_version] * len(answer),
        ),
        Output(
            "variant",
            "BYTES",
            "Variant of the service that scored the lead.",
            lambda answer: [answer.variant] * len(answer),
        ),
        Output("lead_id", "BYTES", "The lead's id, as it was sent.", lambda answer: list(answer.lead_ids)),
        Output(
            "reasons",
            "BYTES",
            'Why: a JSON array per lead, strongest first, of {"feature", "contribution" in calibrated log-odds, '
            '"direction": "raises" or "lowers"}.',
            lambda answer: [orjson.dumps(reasons).decode() for reasons in reason_objects(answer)],
        ),
        Output(
            "prediction_time_ms",
            "FP64",
            "Milliseconds that the model server took, per lead of the batch.",
            lambda answer: np.full(len(answer), answer.prediction_time_ms),
            minimum=0,
        ),
    )
}
"""All outputs by name, in the order of the metadata."""

BY_DEFAULT = ("score", "probability", "confidence", "features_used", "model_version", "variant")
"""What is returned when nothing is asked for."""


def settle(options: Options, outputs: Sequence[OutputSpec] | None) -> Options:
    """Return the options with all on that the requested outputs need: asking for `reasons` is asking to explain."""
    names = {output.name for output in outputs or ()}
    if "reasons" in names and not options.explain:
        options = replace(options, explain=True)
    if "prediction_time_ms" in names and not options.prediction_time:
        options = replace(options, prediction_time=True)
    return options


def wanted(request: ScoreRequest) -> list[OutputSpec]:
    """Return the outputs of the response in order: those asked for or the default ones, then what the options add."""
    binary = request.binary_default
    specs = [OutputSpec(name, binary) for name in BY_DEFAULT] if request.outputs is None else list(request.outputs)
    for name, added in (("reasons", request.options.explain), ("prediction_time_ms", request.options.prediction_time)):
        if added and all(spec.name != name for spec in specs):
            specs.append(OutputSpec(name, binary))
    return specs
