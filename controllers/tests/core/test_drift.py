"""Drift: defaults of the API server are none, other people's edits are."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from lead_controller import drift
from lead_controller.model import Json

from core.world import NAME, World, fields_of

ROUTE, POLICY = ("HTTPRoute", f"{NAME}-rollout"), ("BackendTrafficPolicy", f"{NAME}-rollout")


def edited(item: Json, path: str, value: Any, *, manager: str = "kubectl-edit") -> None:
    """Change a field of the spec as the API server records it: a new owner, the old one loses the field."""
    at = item["spec"]
    *parents, last = path.split(".")
    for key in parents:
        at = at.setdefault(key, {})
    at[last] = value
    fields = item["metadata"]["managedFields"]
    mine = fields[0]["fieldsV1"]["f:spec"]
    for key in parents:
        mine = mine.get(f"f:{key}", {})
    mine.pop(f"f:{last}", None)
    tree: Json = {f"f:{last}": {}}
    for key in reversed(parents):
        tree = {f"f:{key}": tree}
    fields.append({"manager": manager, "fieldsV1": {"f:spec": tree}})


def backends(item: Json) -> list[Json]:
    return next(rule["backendRefs"] for rule in item["spec"]["rules"] if "headers" not in rule["matches"][0])


def weigh(item: Json) -> None:
    backends(item)[0]["weight"] = 1
    edited(item, "rules", item["spec"]["rules"])


def filter_added(item: Json) -> None:
    item["spec"]["rules"][0]["filters"] = [{"type": "RequestRedirect"}]
    edited(item, "rules", item["spec"]["rules"])


def label_gone(item: Json) -> None:
    item["metadata"]["labels"].pop("app.kubernetes.io/part-of")


@pytest.mark.parametrize(
    ("key", "edit"),
    [
        pytest.param(ROUTE, weigh, id="weights"),
        pytest.param(ROUTE, filter_added, id="a filter inside a list that we own"),
        pytest.param(ROUTE, lambda item: edited(item, "hostnames", ["a.example.com"]), id="hostnames"),
        pytest.param(ROUTE, lambda item: item["spec"].pop("rules"), id="a field gone"),
        pytest.param(ROUTE, label_gone, id="a label gone"),
        pytest.param(ROUTE, lambda item: item["metadata"]["ownerReferences"].clear(), id="its owner gone"),
        pytest.param(POLICY, lambda item: edited(item, "timeout.http.requestTimeout", "9s"), id="a value"),
        pytest.param(POLICY, lambda item: edited(item, "faultInjection.abort.percentage", 100), id="a field added"),
        pytest.param(POLICY, lambda item: edited(item, "timeout.tcp.connectTimeout", "9s"), id="a field added deeper"),
    ],
)
def test_an_edit_is_put_right_once_and_reported(key: tuple[str, str], edit: Callable[[Json], Any]) -> None:
    """One turn repairs and says so by event and count; the next one has nothing to do."""
    world = World(canaries={"v2": 25})
    world.settle()
    before = copy.deepcopy(world.objects[key])
    edit(world.objects[key])
    made = world.turn()
    assert [(each.kind, each.name) for each in made.repairs] == [key]
    assert [event.reason for event in made.events].count("Repaired") == 1
    if made.strip:
        world.objects[key]["metadata"]["managedFields"] = before["metadata"]["managedFields"]
    assert world.objects[key]["spec"] == before["spec"]
    world.settle()
    assert world.plan().repairs == ()


@pytest.mark.parametrize("key", [ROUTE, POLICY, ("HorizontalPodAutoscaler", f"{NAME}-v1-rollout")])
def test_a_deleted_object_comes_back_and_is_reported(key: tuple[str, str]) -> None:
    """What the status says was there is a repair when it is missing, not a first creation."""
    world = World(canaries={"v2": 25})
    first = world.turn()
    assert first.repairs == ()
    world.settle()
    del world.objects[key]
    made = world.turn()
    assert [(each.kind, each.name) for each in made.repairs] == [key]
    assert key in world.objects


def test_our_own_change_of_mind_is_no_repair() -> None:
    """Another share is another desired object: its digest says so."""
    world = World(canaries={"v2": 25})
    world.settle()
    world.canaries = {"v2": 26}
    assert world.turn().repairs == ()


def test_defaults_other_peoples_labels_and_their_statuses_are_no_drift() -> None:
    """What only the live object has is tolerated unless somebody claims it."""
    world = World(canaries={"v2": 25})
    world.settle()
    route, policy = world.objects[ROUTE], world.objects[POLICY]
    route["metadata"]["labels"]["team"] = "sales"
    route["metadata"]["annotations"]["note"] = "hello"
    route["metadata"]["ownerReferences"].append({"uid": "u-9", "kind": "Team", "name": "sales"})
    route["spec"]["rules"][0]["retry"] = {"attempts": 1}
    policy["spec"]["mergeType"] = "default"
    route["metadata"]["managedFields"].append({"manager": "gateway", "fieldsV1": {"f:status": {"f:parents": {}}}})
    route["metadata"]["managedFields"] += fields_of({"hostnames": 1}, "co-owner-of-the-same-value")
    assert world.plan().apply == ()
    assert world.plan().strip == ()


def test_a_strip_takes_the_whole_branch_that_somebody_added() -> None:
    """An empty branch left behind could be refused by the schema."""
    world = World()
    world.settle()
    live = world.objects[POLICY]
    desired = copy.deepcopy(live)
    edited(live, "faultInjection.abort.percentage", 100)
    edited(live, "timeout.tcp.connectTimeout", "9s", manager="somebody")
    assert drift.foreign(desired, live) == {"spec": {"faultInjection": None, "timeout": {"tcp": None}}}
    live["spec"].pop("faultInjection")  # already gone: only managedFields remember it
    assert drift.foreign(desired, live) == {"spec": {"timeout": {"tcp": None}}}
