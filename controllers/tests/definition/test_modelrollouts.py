"""The definition on a real API server: what it explains, refuses, fills in and prints."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.kubectl import Kubectl, Refused


def rollout(name: str = "leads", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name}
    spec = {"inferenceService": name, **spec}
    return {"apiVersion": "lead-scoring.io/v1alpha1", "kind": "ModelRollout", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"shadow": {"variant": "v2"}},
        {"shadow": {"variant": "v2", "percent": 0}},
        {"forcedVariantHeader": "x-lead-force-variant"},
        {"abort": True},
        {"abort": True, "abortTo": "v1"},
    ],
)
def test_accepted(namespace: Kubectl, spec: dict[str, Any]) -> None:
    """Every wish alone."""
    namespace("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(rollout(**spec)))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"inferenceService": "other"}, "so that an InferenceService has one ModelRollout"),
        ({"inferenceService": None}, "spec.inferenceService: Required value"),
        ({"abortTo": "v1"}, "abortTo needs abort to be true"),
        ({"abort": False, "abortTo": "v1"}, "abortTo needs abort to be true"),
        ({"abort": "yes"}, "must be of type boolean"),
        ({"shadow": {"percent": 5}}, "spec.shadow.variant: Required value"),
        ({"shadow": {"variant": "v2", "percent": 101}}, "should be less than or equal to 100"),
        ({"shadow": {"variant": "v2", "percent": -1}}, "should be greater than or equal to 0"),
        ({"shadow": {"variant": "V2"}}, "should match"),
        ({"forcedVariantHeader": "X-Force"}, "should match"),
        ({"forcedVariantHeader": "x-lead-key"}, "must not be a header that has a meaning of its own"),
        ({"forcedVariantHeader": "authorization"}, "must not be a header that has a meaning of its own"),
        ({"abrot": True}, "unknown field"),
    ],
)
def test_refused(namespace: Kubectl, spec: dict[str, Any], message: str) -> None:
    """With a message that says what is wrong."""
    with pytest.raises(Refused, match=message):
        namespace("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(rollout(**spec)))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("mro", "deleting it takes the service off the Gateway"),
        ("mro.spec.abort", "sends everything to the stable variant at once"),
        ("mro.spec.shadow.percent", "Percent of the inference requests that are copied"),
        ("mro.status.variants.neededPods", "Ready pods that the intended share takes"),
        ("mro.status.conditions.reason", "Why, in a word for programs"),
    ],
)
def test_explained(namespace: Kubectl, path: str, words: str) -> None:
    """`kubectl explain` gives the descriptions."""
    assert words in " ".join(namespace("explain", path).split())


def test_status_is_a_subresource_and_printed(namespace: Kubectl) -> None:
    """Who edits the spec can't edit the status; columns show what matters; conditions are one per type."""
    namespace.apply(rollout(shadow={"variant": "v2"}))
    made = namespace.get("mro", "leads")
    assert made["spec"] == {"inferenceService": "leads", "shadow": {"variant": "v2", "percent": 100}, "abort": False}
    namespace("patch", "mro", "leads", "--type=merge", "-p", '{"status": {"split": "v9=100"}}')
    assert "status" not in namespace.get("mro", "leads")
    condition = {"message": "", "lastTransitionTime": "2026-11-21T12:00:00Z", "reason": "AsAsked"}
    status = {
        "split": "v1=75,v2=25",
        "intended": "v1=75,v2=25",
        "shadow": "",
        "conditions": [
            {**condition, "type": "Ready", "status": "True"},
            {**condition, "type": "Aborted", "status": "False"},
        ],
    }
    document = json.dumps({"status": status})
    namespace("patch", "mro", "leads", "--subresource=status", "--type=merge", "-p", document)
    heads, values = (line.split() for line in namespace("get", "modelrollout", "leads").splitlines())
    assert heads == ["NAME", "SPLIT", "SHADOW", "ABORTED", "READY", "AGE"]
    assert values[:4] == ["leads", "v1=75,v2=25", "False", "True"]
    twice = json.dumps({"status": {"conditions": [status["conditions"][0]] * 2}})  # type: ignore[index]
    with pytest.raises(Refused, match="Duplicate value"):
        namespace("patch", "mro", "leads", "--subresource=status", "--type=merge", "-p", twice)
