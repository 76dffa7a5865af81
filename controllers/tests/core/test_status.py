"""Status, conditions and events: what people are told."""

from __future__ import annotations

import copy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from lead_controller.events import EVENTS
from lead_controller.planner import plan
from lead_controller.status import REASONS

from core.world import NOW, World

_ROOT = Path(__file__).parents[3]
_CRD = yaml.safe_load((_ROOT / "charts/lead-scoring/crds/modelrollouts.yaml").read_text())
_VERSION = _CRD["spec"]["versions"][0]
_SCHEMA = _VERSION["schema"]["openAPIV3Schema"]


def settled(**situation: Any) -> World:
    world = World(**situation)
    world.settle()
    return world


def test_status_says_everything_about_every_variant() -> None:
    """Intended, live, ready and needed by variant, the split, the shadow, the generations."""
    world = settled(canaries={"v2": 60, "v3": 0}, ready={"v1": 8, "v2": 4}, wishes={"shadow": {"variant": "v3"}})
    assert world.status is not None
    conditions = {each["type"]: (each["status"], each["reason"]) for each in world.status.pop("conditions")}
    assert world.status == {
        "observedGeneration": 1,
        "observedInferenceServiceGeneration": 1,
        "stable": "v1",
        "formerStable": "",
        "split": "v1=50,v2=50",
        "intended": "v1=40,v2=60,v3=0",
        "shadow": "v3 100%",
        "variants": [
            {"name": "v1", "role": "stable", "intendedPercent": 40, "livePercent": 50, "readyPods": 8, "neededPods": 4},
            {"name": "v2", "role": "canary", "intendedPercent": 60, "livePercent": 50, "readyPods": 4, "neededPods": 5},
            {"name": "v3", "role": "canary", "intendedPercent": 0, "livePercent": 0, "readyPods": 2, "neededPods": 0},
        ],
    }
    assert conditions == {
        "Ready": ("False", "WaitingForPods"),
        "Routed": ("True", "Accepted"),
        "CapacityReady": ("False", "TooFewPods"),
        "ShadowActive": ("True", "Mirroring"),
        "Aborted": ("False", "NotAsked"),
        "Degraded": ("False", "AsExpected"),
    }


def test_transition_times_move_with_the_status_only() -> None:
    """A later look at the same cluster changes nothing; a new reason keeps the time; a new status moves it."""
    world = settled(canaries={"v2": 25})
    later = NOW + timedelta(hours=1)
    assert plan(world.observe(), world.config, now=later).status is None
    world.wishes = {"abort": True}
    world.generation += 1
    changed = plan(world.observe(), world.config, now=later).status
    assert changed is not None
    times = {each["type"]: each["lastTransitionTime"] for each in changed["conditions"]}
    assert {type_ for type_, time in times.items() if time == "2026-11-21T13:00:00Z"} == {"Aborted", "Ready", "Routed"}
    assert {each["observedGeneration"] for each in changed["conditions"]} == {2}


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"canaries": {"v2": 25}}, [("Normal", "SharesShifted")]),
        ({"wishes": {"abort": True}}, [("Normal", "SharesShifted"), ("Warning", "AbortedSentToStable")]),
        ({"wishes": {"shadow": {"variant": "v3"}}}, [("Warning", "ShadowActiveUnknownVariant")]),
        ({"wishes": {"shadow": {"variant": "v2"}}}, [("Warning", "ShadowActiveHasShare")]),
        ({"ready": {"v1": 8, "v2": 0}}, [("Normal", "SharesShifted"), ("Warning", "CapacityReadyTooFewPods")]),
        ({"ready": {"v1": 0, "v2": 0}}, [("Warning", "CapacityReadyTooFewPods"), ("Warning", "RoutedNothingReady")]),
        ({"inference_service": None}, [("Warning", "DegradedInferenceServiceMissing"), ("Warning", "RoutedNoSpec")]),
    ],
)
def test_events_tell_transitions_and_only_once(step: dict[str, Any], told: list[tuple[str, str]]) -> None:
    """While it lasts nothing more is said; when it is over, that is said."""
    world = settled(canaries={"v2": 10})
    for name, value in step.items():
        setattr(world, name, value)
    found = [(event.type, event.reason) for made in world.settle() for event in made.events]
    assert [each for each in told if each not in found] == []
    assert len(found) == len(set(found))
    assert [event for made in world.settle() for event in made.events] == []


def test_a_recovery_is_told() -> None:
    """A warning that no longer holds is called off."""
    world = settled(canaries={"v2": 25}, ready={"v1": 8, "v2": 1})
    assert world.conditions()["CapacityReady"] == "TooFewPods"
    world.ready = {"v1": 8, "v2": 2}
    reasons = [(event.type, event.reason) for made in world.settle() for event in made.events]
    assert ("Normal", "CapacityReadyEnough") in reasons
    assert world.conditions()["Ready"] == "AsAsked"


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"Accepted": "True", "ResolvedRefs": "True"}, "Accepted"),
        ({"Accepted": "False", "ResolvedRefs": "True"}, "Refused"),
        ({"Accepted": "True", "ResolvedRefs": "False"}, "Refused"),
        ({"Accepted": "True"}, "Pending"),
        ({}, "Pending"),
    ],
)
def test_routed_is_what_the_gateway_says(answers: dict[str, str], reason: str) -> None:
    """Of the routes as they stand, not of an earlier generation."""
    world = settled()
    for (kind, _), item in world.objects.items():
        if kind.endswith("Route"):
            generation = item["metadata"]["generation"]
            item["status"]["parents"][0]["conditions"] = [
                {"type": each, "status": status, "reason": each, "message": "so", "observedGeneration": generation}
                for each, status in answers.items()
            ]
    world.turn(accept=False)
    assert world.conditions()["Routed"] == reason
    for (kind, _), item in world.objects.items():
        if kind.endswith("Route"):
            item["metadata"]["generation"] += 1
    world.turn(accept=False)
    assert world.conditions()["Routed"] == "Pending"


def strict(schema: Any) -> Any:
    """The API server prunes what a schema doesn't know: here it is an error."""
    if isinstance(schema, dict):
        closed = {key: strict(value) for key, value in schema.items()}
        return closed | ({"additionalProperties": False} if "properties" in schema and "type" in schema else {})
    return [strict(each) for each in schema] if isinstance(schema, list) else schema


def test_every_status_fits_the_schema_whole() -> None:
    """No field that the schema would prune, no reason that it would refuse."""
    validator = Draft202012Validator(strict(_SCHEMA["properties"]["status"]))
    for situation in (
        {},
        {"canaries": {"v2": 25}, "ready": {"v2": 0}},
        {"canaries": {"v2": 0}, "wishes": {"shadow": {"variant": "v2"}, "abort": True, "abortTo": "v2"}},
        {"inference_service": None},
        {"ready": {"v1": 0}},
    ):
        world = settled(**situation)
        validator.validate(world.status)
        broken = copy.deepcopy(world.status)
        assert broken is not None
        broken["surprise"] = 1
        assert not validator.is_valid(broken)


def test_every_field_of_the_definition_is_described() -> None:
    """`kubectl explain` has something to say at every step; metadata is the API server's own."""

    def missing(schema: dict[str, Any], path: str) -> list[str]:
        found = [] if schema.get("description") or path == ".metadata" else [path]
        for name, field in schema.get("properties", {}).items():
            found += missing(field, f"{path}.{name}")
        return found + (missing(schema["items"], f"{path}[]") if "items" in schema else [])

    assert missing(_SCHEMA, "") == []
    assert [each["name"] for each in _VERSION["additionalPrinterColumns"]] == [
        "Split", "Intended", "Shadow", "Aborted", "Ready", "Reason", "Age",
    ]  # fmt: skip
    assert _VERSION["subresources"] == {"status": {}}
    assert (_CRD["spec"]["names"]["shortNames"], _CRD["spec"]["scope"]) == (["mro"], "Namespaced")


def test_the_document_names_every_condition_reason_and_event() -> None:
    """And none that doesn't exist: the table is read row by row."""
    text = (_ROOT / "docs/controller.md").read_text()
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    listed: dict[str, set[str]] = {}
    for row in rows:
        kind = row[1].strip().strip("`")
        if kind in REASONS:
            listed.setdefault(kind, set()).update(word for word in row[2].split("`")[1::2])
    assert listed == {kind: set(reasons) for kind, reasons in REASONS.items()}
    events = next(line for line in text.splitlines() if line.startswith("Events:"))
    assert {word for word in events.split("`")[1::2] if word in EVENTS} == set(EVENTS)
