"""V1 over REST: lead records in, one object per lead out."""

from __future__ import annotations

from typing import Any

import orjson

from lead_scoring.core.columns import kind_of
from lead_transformer.json_body import new_report, parse, raise_if_any
from lead_transformer.messages import Answer, ScoreRequest
from lead_transformer.outputs import reason_objects
from lead_transformer.parameters import read_options
from lead_transformer.v2_json import response_parameters

__all__ = ["decode", "encode"]

_KEYS = {"instances", "parameters"}


def decode(body: bytes) -> ScoreRequest:
    """Parse the body of ``POST /v1/models/{name}:predict``.

    Keys beside `instances` and `parameters` are refused: V1 has no others, so they are mistakes. The records are
    checked by `core.assembly`.

    Raises:
        InvalidLeads: not a JSON object, no `instances`, unknown keys beside it, or wrong parameters (400).
    """
    document = parse(body)
    report = new_report()
    if not document.keys() <= _KEYS:
        extra = len(document.keys() - _KEYS)
        report.add(
            "$",
            "unknown_field",
            expected='only "instances" and "parameters"',
            got=f"{extra} other key{'s' if extra > 1 else ''}",
            remedy="remove or correct them",
        )
    if "instances" not in document:
        report.add(
            "$.instances",
            "missing",
            expected="a list of lead records",
            got="nothing",
            remedy='send {"instances": [{…}, …]}',
        )
    parameters = document.get("parameters")
    if parameters is not None and type(parameters) is not dict:
        report.add(
            "$.parameters",
            "wrong_type",
            expected="an object",
            got=kind_of(parameters),
            remedy="correct it or leave it out",
        )
        parameters = None
    options = read_options(parameters or {}, report)
    raise_if_any(report)
    return ScoreRequest(id=None, options=options, records=document["instances"])


def encode(request: ScoreRequest, answer: Answer) -> bytes:
    """Return the JSON response body (``application/json``).

    Raises:
        ServiceError: the answer lacks the reasons that were asked for.
    """
    version, variant = answer.model_version, answer.variant
    predictions: list[dict[str, Any]] = [
        {
            "lead_id": lead_id,
            "score": score,
            "probability": probability,
            "confidence": confidence,
            "features_used": used,
            "model_version": version,
            "variant": variant,
        }
        for lead_id, score, probability, confidence, used in zip(
            answer.lead_ids,
            answer.score.tolist(),
            answer.probability.tolist(),
            answer.confidence.tolist(),
            answer.features_used.tolist(),
            strict=True,
        )
    ]
    if request.options.explain:
        for prediction, reasons in zip(predictions, reason_objects(answer), strict=True):
            prediction["reasons"] = reasons
    if request.options.prediction_time:
        for prediction in predictions:
            prediction["prediction_time_ms"] = answer.prediction_time_ms
    parameters = {"model_name": answer.model_name, "model_version": version, **response_parameters(answer)}
    return orjson.dumps({"predictions": predictions, "parameters": parameters})
