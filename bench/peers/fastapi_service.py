"""What a careful engineer writes by hand: FastAPI, a pydantic model with every field typed, XGBoost inside, buckets.

Run: ``python -m bench.peers.fastapi_service --model-dir model-repo/lead-scoring/2 --port 9000``
"""

import argparse
import math
from bisect import bisect_right
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
import xgboost as xgb
from fastapi import FastAPI
from fastapi.responses import ORJSONResponse
from pydantic import BaseModel, ConfigDict, Field, create_model

from lead_scoring.contract import files
from lead_scoring.contract.types import Contract, Feature, TargetRate

_TYPES: dict[str, type] = {"number": float, "integer": int, "boolean": bool, "category": str, "timestamp": datetime}


def _field(feature: Feature) -> tuple[Any, Any]:
    kind: Any = _TYPES[feature.type]
    bounds: dict[str, Any] = {}
    if feature.type in ("number", "integer") and feature.out_of_range == "reject":
        bounds = {"ge": feature.minimum, "le": feature.maximum}
    return (kind | None, Field(None, **bounds)) if feature.nullable else (kind, Field(**bounds))


def build(contract: Contract, booster: xgb.Booster) -> FastAPI:
    """Return the service."""
    lead_type = create_model(
        "Lead",
        __config__=ConfigDict(extra="forbid"),
        **{contract.id_field: (str, ...)},
        **{feature.name: _field(feature) for feature in contract.features},
    )
    batch_type = create_model("Leads", leads=(list[lead_type], Field(min_length=1, max_length=500)))  # type: ignore[valid-type]
    codes = {
        feature.name: {name: i for i, name in enumerate(feature.categories or [])} for feature in contract.features
    }
    slope, intercept, edges = contract.calibration.slope, contract.calibration.intercept, contract.buckets.edges
    app = FastAPI(default_response_class=ORJSONResponse)

    def value(feature: Feature, lead: BaseModel, now: datetime) -> float:
        got = getattr(lead, feature.name)
        if feature.type == "category" and got is not None:
            code = codes[feature.name].get(got)
            if code is None and feature.other_category is not None:
                code = codes[feature.name][feature.other_category]
            got = code
        elif feature.type == "timestamp" and got is not None:
            got = math.floor((now - got).total_seconds() / 86400)
        if got is not None and feature.type in ("number", "integer", "timestamp"):
            low = -math.inf if feature.minimum is None else feature.minimum
            high = math.inf if feature.maximum is None else feature.maximum
            if not low <= got <= high:
                got = None if feature.out_of_range == "missing" else min(max(got, low), high)
        if got is None:
            got = feature.imputation.value
        if got is None:
            return math.nan
        return feature.encoder.values[int(got)] if isinstance(feature.encoder, TargetRate) else float(got)

    @app.post("/score")
    def score(batch: batch_type) -> ORJSONResponse:  # type: ignore[valid-type]
        now = datetime.now(UTC)
        rows = [[value(feature, lead, now) for feature in contract.features] for lead in batch.leads]  # type: ignore[attr-defined]
        margins = booster.inplace_predict(np.array(rows, dtype=np.float32), predict_type="margin")
        predictions = []
        for lead, margin in zip(batch.leads, margins.tolist(), strict=True):  # type: ignore[attr-defined]
            probability = 1 / (1 + math.exp(-(slope * margin + intercept)))
            predictions.append(
                {"lead_id": lead.lead_id, "score": 1 + bisect_right(edges, probability), "probability": probability}
            )
        return ORJSONResponse({"predictions": predictions})

    @app.get("/ready")
    def ready() -> dict[str, bool]:
        return {"ready": True}

    return app


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    booster = xgb.Booster(model_file=str(options.model_dir / "model.ubj"))
    booster.set_param({"nthread": 1})
    app = build(files.read(options.model_dir / "contract.json"), booster)
    uvicorn.run(app, host="127.0.0.1", port=options.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
