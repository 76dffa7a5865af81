"""The InferenceService to start from, where nobody else owns one: created once, and from then on people's."""

from __future__ import annotations

from pathlib import Path

import orjson

from lead_controller.apiserver import INFERENCE_SERVICE
from lead_controller.model import Json

__all__ = ["read_inference_service"]


def read_inference_service(path: Path, name: str, namespace: str) -> Json | None:
    """Return the manifest at `path`, in our namespace; None if there is no such file.

    Raises:
        ValueError: it isn't an InferenceService of that name and namespace.
        OSError: it can't be read.
    """
    try:
        body = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    metadata = body.get("metadata") if isinstance(body, dict) else None
    if not isinstance(metadata, dict):
        raise ValueError("expected an object with metadata")
    got = (body.get("apiVersion"), body.get("kind"), metadata.get("name"), metadata.get("namespace", namespace))
    expected = (INFERENCE_SERVICE.api_version, INFERENCE_SERVICE.kind, name, namespace)
    if got != expected:
        raise ValueError(f"expected apiVersion, kind, name and namespace {expected}, got {got}")
    return {**body, "metadata": {**metadata, "namespace": namespace}}
