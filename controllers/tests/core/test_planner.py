"""Plans: from a whole cluster on paper to what is written, turn by turn."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lead_controller.model import Observed, Plan
from lead_controller.planner import plan

from core.world import GENERATED, NAME, NOW, World, config_of
from lead_scoring.core.hashing import variant_of

KEYS = [f"lead-{number}" for number in range(2000)]


def settled(**situation: Any) -> World:
    world = World(**situation)
    world.settle()
    return world


def test_everything_is_written_once_and_owned() -> None:
    """One turn writes routes, policies and autoscalers; the next one has nothing to do."""
    world = World(canaries={"v2": 25})
    made = world.turn()
    kinds = ["BackendTrafficPolicy"] * 2 + ["HTTPRoute", "GRPCRoute"] + ["HorizontalPodAutoscaler"] * 2
    assert [item["kind"] for item in made.apply] == kinds
    for item in made.apply:
        owner = item["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("ModelRollout", "u-1", True)
        assert owner["blockOwnerDeletion"] is False
        assert item["metadata"]["labels"]["app.kubernetes.io/part-of"] == NAME
    assert world.turn().apply == ()
    assert world.plan() == Plan(shares=made.shares)
    assert world.shares() == world.shares("GRPCRoute") == {"v1": 75, "v2": 25}


@pytest.mark.parametrize(
    ("before", "after", "shares", "turns"),
    [
        pytest.param({}, {"canaries": {"v2": 25}}, {"v1": 75, "v2": 25}, 3, id="a new canary"),
        pytest.param({"canaries": {"v2": 0}}, {"canaries": {"v2": 25}}, {"v1": 75, "v2": 25}, 2, id="a warm canary"),
        pytest.param({"canaries": {"v2": 5}}, {"canaries": {"v2": 50}}, {"v1": 50, "v2": 50}, 2, id="up"),
        pytest.param({"canaries": {"v2": 50}}, {"canaries": {"v2": 0}}, {"v1": 100}, 2, id="down"),
        pytest.param({"canaries": {"v2": 50}}, {"stable": "v2", "canaries": {"v1": 0}}, {"v2": 100}, 3, id="promotion"),
        pytest.param(
            {"stable": "v2", "canaries": {"v1": 0}},
            {"stable": "v1", "canaries": {"v2": 0}},
            {"v1": 100},
            3,
            id="rollback",
        ),
        pytest.param(
            {"canaries": {"v2": 30}}, {"canaries": {}}, {"v1": 100}, 3, id="a canary removed with its traffic"
        ),
        pytest.param(
            {"canaries": {"v2": 25, "v3": 0}},
            {"canaries": {"v2": 25, "v3": 5}},
            {"v1": 70, "v2": 25, "v3": 5},
            3,
            id="a second canary",
        ),
        pytest.param(
            {"canaries": {"v2": 25, "v3": 5}},
            {"canaries": {"v2": 0, "v3": 5}},
            {"v1": 95, "v3": 5},
            4,
            id="one of two canaries ends",
        ),
        pytest.param({"canaries": {"v2": 100}}, {"canaries": {"v2": 0}}, {"v1": 100}, 2, id="all back"),
        pytest.param({"canaries": {"v2": 50}}, {"wishes": {"abort": True}}, {"v1": 100}, 2, id="abort"),
        pytest.param(
            {"stable": "v2", "canaries": {"v1": 0}},
            {"wishes": {"abort": True, "abortTo": "v1"}},
            {"v1": 100},
            2,
            id="abort to",
        ),
        pytest.param(
            {"canaries": {"v2": 50}, "wishes": {"abort": True}},
            {"wishes": {}},
            {"v1": 50, "v2": 50},
            2,
            id="abort cleared",
        ),
        pytest.param({"canaries": {"v2": 25}}, {"ready": {"v1": 0}}, {"v2": 100}, 3, id="stable lost its pods"),
        pytest.param(
            {"canaries": {"v2": 25}, "ready": {"v1": 0}},
            {"ready": {}},
            {"v1": 75, "v2": 25},
            4,
            id="stable has its pods again",
        ),
        pytest.param(
            {"canaries": {"v2": 25}},
            {"ready": {"v1": 0, "v2": 0}},
            {"v1": 75, "v2": 25},
            1,
            id="nothing ready keeps the last route",
        ),
    ],
)
def test_transitions(before: dict[str, Any], after: dict[str, Any], shares: dict[str, int], turns: int) -> None:
    """From one settled state to another, in a few turns, no cluster of the active lane coming or going on the way."""
    world = settled(**before)
    for name, value in after.items():
        setattr(world, name, value)
    world.generation += 1
    plans = world.settle()
    assert (world.shares(), world.shares("GRPCRoute")) == (shares, shares)
    assert len(plans) <= turns


def test_falling_is_immediate_even_if_the_gateway_has_not_answered() -> None:
    """Everything to one variant needs no preparation."""
    world = World(canaries={"v2": 50})
    world.turn(accept=False)
    world.canaries = {"v2": 0}
    world.turn(accept=False)
    assert world.shares() == {"v1": 100}


def test_a_lane_carries_nothing_before_the_gateway_has_taken_it_up() -> None:
    """The first turn prepares, and the second waits; seen to lose requests when the switch came at once."""
    world = settled()
    world.canaries = {"v2": 25}
    for _ in range(2):
        world.turn(accept=False)
        assert world.shares() == {"v1": 100}
        assert world.conditions()["Routed"] == "Pending"
    world.accept()
    world.turn()
    assert world.shares() == {"v1": 75, "v2": 25}


def test_a_lane_that_carries_traffic_keeps_its_backends_in_place() -> None:
    """Envoy Gateway names clusters after places: in every step the active rule has the backends that it had."""
    world = settled(canaries={"v2": 0, "v3": 0})
    steps: list[dict[str, Any]] = [
        {"canaries": {"v2": 5, "v3": 0}},
        {"canaries": {"v2": 5, "v3": 5}},
        {"canaries": {"v2": 0, "v3": 5}},
        {"stable": "v3", "canaries": {"v2": 10, "v1": 0}},
        {"stable": "v3", "canaries": {"v1": 20}},
        {"ready": {"v3": 0}},
        {"ready": {}},
        {"wishes": {"abort": True}},
        {"wishes": {}},
        {"canaries": {"v1": 0, "v4": 50}},
    ]
    for step in steps:
        for name, value in step.items():
            setattr(world, name, value)
        for _ in range(6):
            routes = {
                kind: copy.deepcopy(world.objects[kind, f"{NAME}-rollout"]) for kind in ("HTTPRoute", "GRPCRoute")
            }
            world.turn()
            for kind, before in routes.items():
                after = world.objects[kind, f"{NAME}-rollout"]
                carrying = {
                    rule["name"] for route in (before, after) for rule in route["spec"]["rules"] if _carries(rule)
                }
                for name in carrying:
                    assert _weighted(before, name) == _weighted(after, name), (step, name)


def _carries(rule: dict[str, Any]) -> bool:
    first = rule["matches"][0]
    return rule["name"] != "information" and "headers" not in first


def _weighted(route: dict[str, Any], name: str) -> list[bool]:
    rule = next(each for each in route["spec"]["rules"] if each["name"] == name)
    return [each["weight"] > 0 for each in rule["backendRefs"]]


def test_keys_once_in_the_canary_stay_while_it_grows() -> None:
    """Envoy takes xxh64(key) % 100 over the weights in order: the planner's own order and weights are used here."""
    world = settled(canaries={"v2": 0})
    last: set[str] = set()
    for share in (0, 1, 5, 20, 40, 75, 100):
        world.canaries = {"v2": share}
        world.settle()
        chosen = {key for key in KEYS if variant_of(key, world.shares()) == "v2"}
        assert last <= chosen
        last = chosen
    assert last == set(KEYS)


def test_of_several_canaries_the_last_one_grows_without_moving_the_others_keys() -> None:
    """Growth of a canary before others shifts these along: the price of shares that are slots in order."""
    world = settled(canaries={"v2": 20, "v3": 5})
    before = {key: variant_of(key, world.shares()) for key in KEYS}
    world.canaries = {"v2": 20, "v3": 30}
    world.settle()
    after = {key: variant_of(key, world.shares()) for key in KEYS}
    assert all(after[key] == "v3" for key in KEYS if before[key] == "v3")
    assert list(world.shares()) == ["v1", "v2", "v3"]


def test_a_promotion_waits_for_the_new_stable_variants_pods_and_keeps_the_old_ones() -> None:
    """The old stable variant keeps what the new one can't carry, and stays large enough to take all back."""
    world = settled(canaries={"v2": 10}, ready={"v1": 8, "v2": 2}, load={"v1": 60, "v2": 60})
    world.stable, world.canaries = "v2", {"v1": 0}
    world.settle()
    assert world.shares() == {"v1": 80, "v2": 20}
    assert world.floors() == {"v1": 10, "v2": 10}
    assert world.conditions()["CapacityReady"] == "TooFewPods"
    world.ready = {"v1": 10, "v2": 10}
    world.load = {"v1": 0, "v2": 60}
    world.settle()
    assert world.shares() == {"v2": 100}
    assert world.floors() == {"v1": 10, "v2": 10}
    assert world.status is not None
    assert (world.status["stable"], world.status["formerStable"]) == ("v2", "v1")
    world.canaries = {}
    world.settle()
    assert world.floors() == {"v2": 2}
    assert world.status["formerStable"] == ""


@pytest.mark.parametrize(
    ("situation", "floors"),
    [
        pytest.param({}, {"v1": 2}, id="alone: the autoscaler's own affair"),
        pytest.param({"load": {"v1": 300}}, {"v1": 2}, id="alone under load"),
        pytest.param({"canaries": {"v2": 0}}, {"v1": 2, "v2": 2}, id="warm"),
        pytest.param(
            {"canaries": {"v2": 25}, "ready": {"v1": 8, "v2": 0}, "load": {"v1": 60}},
            {"v1": 8, "v2": 2},
            id="25 % of 8",
        ),
        pytest.param(
            {"canaries": {"v2": 40}, "ready": {"v1": 8, "v2": 0}, "load": {"v1": 60}},
            {"v1": 8, "v2": 4},
            id="40 % of 8",
        ),
        pytest.param(
            {"canaries": {"v2": 40}, "ready": {"v1": 8, "v2": 0}}, {"v1": 8, "v2": 4}, id="no metrics: replicas"
        ),
        pytest.param(
            {"canaries": {"v2": 50}, "ready": {"v1": 9}, "load": {"v1": 600, "v2": 0}},
            {"v1": 10, "v2": 5},
            id="maxReplicas",
        ),
        pytest.param(
            {
                "canaries": {"v2": 0},
                "ready": {"v1": 6},
                "load": {"v1": 60, "v2": 90},
                "wishes": {"shadow": {"variant": "v2", "percent": 50}},
            },
            {"v1": 6, "v2": 3},
            id="shadow",
        ),
        pytest.param(
            {"canaries": {"v2": 5}, "ready": {"v1": 6}, "load": {"v1": 60}, "wishes": {"abort": True}},
            {"v1": 6, "v2": 2},
            id="aborted: the canary stays warm",
        ),
        pytest.param(
            {"canaries": {"v2": 5}, "ready": {"v1": 6}, "load": {"v1": 60}, "wishes": {"abort": True, "abortTo": "v2"}},
            {"v1": 6, "v2": 6},
            id="abort target",
        ),
    ],
)
def test_floors_follow_intended_shares(situation: dict[str, Any], floors: dict[str, int]) -> None:
    """Capacity comes first, and whoever may have to take all of the traffic is sized for it."""
    world = World(**situation)
    for _ in range(4):  # load is measured by autoscalers of an earlier turn
        world.turn()
    assert world.floors() == floors


def test_floors_neither_flutter_nor_ratchet() -> None:
    """A floor rises at once and falls when a quarter is saved; floors never feed on themselves."""
    world = settled(canaries={"v2": 50}, ready={"v1": 8, "v2": 4}, load={"v1": 60})
    seen = []
    for load in (60, 52, 60, 45, 40, 20):
        world.load = {"v1": load, "v2": 0}
        world.settle()
        seen.append(world.floors()["v1"])
    assert seen == [8, 8, 8, 6, 6, 3]


@pytest.mark.parametrize(
    ("situation", "reason"),
    [
        ({"inference_service": None}, "InferenceServiceMissing"),
        (
            {"inference_service": {"metadata": {"deletionTimestamp": "2026-11-21T12:00:00Z"}}},
            "InferenceServiceDeleting",
        ),
        ({"inference_service": {"spec": {"predictor": {"name": None}}}}, "NoPredictorName"),
        ({"inference_service": {"spec": {"predictor": {"name": "V1"}}}}, "NoPredictorName"),
        ({"inference_service": {"spec": {"predictor": {"name": "v" * 60}}}}, "NoPredictorName"),
        ({"inference_service": {"spec": {"predictor": None}}}, "NoPredictorName"),
    ],
)
def test_a_spec_that_cannot_be_followed_leaves_everything_as_it_is(situation: dict[str, Any], reason: str) -> None:
    """Reported, and nothing else: no route is touched, no orphan deleted."""
    world = settled(canaries={"v2": 25})
    for name, value in situation.items():
        setattr(world, name, value)
    made = world.turn()
    assert (made.apply, made.delete, made.strip) == ((), (), ())
    assert world.conditions()["Degraded"] == reason
    assert [(event.type, event.reason) for event in made.events if "Degraded" in event.reason] == [
        ("Warning", f"Degraded{reason}")
    ]
    assert world.status is not None
    assert world.status["split"] == "v1=75,v2=25"


@pytest.mark.parametrize(
    ("stable", "canary", "shares", "reason"),
    [
        ("v1", "v2", {"v1": 75, "v2": 25}, "AsExpected"),
        (None, None, {"v1": 75, "v2": 25}, "AsExpected"),
        ("v1", None, {"v1": 100}, "InvalidVariant"),
        ("v1", "v3", {"v1": 100}, "InvalidVariant"),
        ("v2", "v2", {"v1": 75, "v2": 25}, "InvalidVariant"),
    ],
)
def test_pods_that_take_themselves_for_another_variant_get_nothing(
    stable: str | None, canary: str | None, shares: dict[str, int], reason: str
) -> None:
    """A canary without a label of its own inherits stable's: its pods would call all that they answer copies."""

    def predictor(name: str, told: str | None) -> dict[str, Any]:
        return {"name": name, "labels": {"lead-scoring.io/variant": told} if told else None}

    spec = {
        "predictor": predictor("v1", stable),
        "canary": [{"predictor": predictor("v2", canary), "trafficPercent": 25}],
    }
    world = settled(inference_service={"spec": spec}, ready={"v2": 2})
    assert world.shares() == shares
    assert world.conditions()["Degraded"] == reason


@pytest.mark.parametrize(
    ("canaries", "shares", "reason"),
    [
        ([("v2", 80), ("v3", 40)], {"v1": 0, "v2": 80, "v3": 20}, "SharesExceed100"),
        ([("v1", 10), ("v2", 10)], {"v1": 90, "v2": 10}, "InvalidVariant"),
        ([("v2", 10), ("v2", 20)], {"v1": 90, "v2": 10}, "InvalidVariant"),
        ([("Not_a_name", 10)], {"v1": 100}, "InvalidVariant"),
        ([("v2", -5)], {"v1": 100, "v2": 0}, "AsExpected"),
        ([("v2", "50")], {"v1": 100, "v2": 0}, "AsExpected"),
        ([(f"c{number}", 1) for number in range(20)], {"v1": 88} | {f"c{n}": 1 for n in range(12)}, "TooManyVariants"),
    ],
)
def test_what_kserve_should_have_refused(canaries: list[tuple[str, Any]], shares: dict[str, int], reason: str) -> None:
    """Its webhook isn't always there: what can be followed is."""
    spec = {"canary": [{"predictor": {"name": name}, "trafficPercent": share} for name, share in canaries]}
    world = settled(inference_service={"spec": spec}, ready={name: 2 for name, _ in canaries})
    assert world.status is not None
    assert {each["name"]: each["intendedPercent"] for each in world.status["variants"]} == shares
    assert world.shares() == {name: share for name, share in shares.items() if share}
    assert world.conditions()["Degraded"] == reason
    for kind in ("HTTPRoute", "GRPCRoute"):
        rules = world.objects[kind, f"{NAME}-rollout"]["spec"]["rules"]
        assert len(rules) <= 16
        assert all(len(rule["backendRefs"]) <= 16 for rule in rules)
        assert all(1 <= len(rule["matches"]) <= 64 for rule in rules)
        assert sum(len(rule["matches"]) for rule in rules) <= 128


def test_no_rollout_no_plan() -> None:
    """It owns everything that is written: without it nothing is, but an InferenceService that is to be bootstrapped."""
    bootstrap = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": NAME}}
    config = config_of()
    assert plan(Observed(), config, now=NOW) == Plan()
    assert plan(Observed(), config, now=NOW, bootstrap=bootstrap) == Plan(create=(bootstrap,))
    assert plan(Observed(inference_service=bootstrap), config, now=NOW, bootstrap=bootstrap) == Plan()
    leaving = World().rollout()
    leaving["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    assert plan(Observed(rollout=leaving), config, now=NOW) == Plan()
    world = World(inference_service=None)
    made = plan(world.observe(), config, now=NOW, bootstrap=bootstrap)
    assert made.create == (bootstrap,)
    assert "InferenceServiceCreated" in [event.reason for event in made.events]


def test_nothing_ready_at_the_first_start_writes_no_route() -> None:
    """Policies and autoscalers are there; a route comes with the first ready pod."""
    world = settled(ready={"v1": 0})
    assert {kind for kind, _ in world.objects} == {"BackendTrafficPolicy", "HorizontalPodAutoscaler"}
    assert world.conditions()["Routed"] == "NothingReady"
    world.ready = {"v1": 1}
    world.settle()
    assert world.shares() == {"v1": 100}
    assert world.conditions()["Ready"] == "AsAsked"


def test_orphans_of_ours_are_deleted_and_nobody_elses() -> None:
    """What carries both labels and isn't wanted: an autoscaler of a removed canary, by its uid."""
    world = settled(canaries={"v2": 10})
    mine, other = f"{NAME}-v2-rollout", f"{NAME}-v9-rollout"
    world.objects["HorizontalPodAutoscaler", mine]["metadata"]["uid"] = "h-1"
    stray = copy.deepcopy(world.objects["HorizontalPodAutoscaler", mine])
    stray["metadata"] |= {"name": other, "labels": stray["metadata"]["labels"] | {"app.kubernetes.io/part-of": "else"}}
    world.objects["HorizontalPodAutoscaler", other] = stray
    world.canaries = {}
    plans = world.settle()
    assert [(each.name, each.uid) for made in plans for each in made.delete] == [(mine, "h-1")]
    assert ("HorizontalPodAutoscaler", other) in world.objects


def test_two_rollouts_in_one_namespace_leave_each_other_alone() -> None:
    """Everything is named and selected by the InferenceService."""
    world = settled(canaries={"v2": 10})
    for item in [*world.objects.values()]:
        twin = copy.deepcopy(item)
        twin["metadata"]["name"] = f"other-{item['metadata']['name']}"
        twin["metadata"]["labels"]["app.kubernetes.io/part-of"] = f"other-{NAME}"
        world.objects[twin["kind"], twin["metadata"]["name"]] = twin
    assert world.settle() == []


def test_a_successor_gets_a_lane_of_its_own_while_the_old_one_carries_traffic() -> None:
    """Somebody replaced the stable variant outright: its lane keeps its backend, the next variant may have it later."""
    world = settled()
    world.stable, world.ready = "v3", {"v1": 2}
    before = world.objects["HTTPRoute", f"{NAME}-rollout"]["spec"]["rules"][3]
    world.turn()
    rules = {rule["name"]: rule for rule in world.objects["HTTPRoute", f"{NAME}-rollout"]["spec"]["rules"]}
    assert _carries(rules["alone-1"])
    assert not _carries(rules["alone-0"])
    assert before["name"] == "alone-0"
    world.canaries = {"v4": 0}
    world.settle()
    assert [rule["name"] for rule in world.objects["HTTPRoute", f"{NAME}-rollout"]["spec"]["rules"]][3:] == [
        "alone-0",
        "alone-1",
    ]


steps = st.one_of(
    st.tuples(
        st.just("canaries"), st.dictionaries(st.sampled_from(["v2", "v3", "v4"]), st.integers(0, 60), max_size=3)
    ),
    st.tuples(st.just("ready"), st.dictionaries(st.sampled_from(["v1", "v2", "v3"]), st.none() | st.integers(0, 4))),
    st.tuples(st.just("load"), st.dictionaries(st.sampled_from(["v1", "v2", "v3"]), st.integers(0, 200))),
    st.tuples(
        st.just("wishes"),
        st.fixed_dictionaries(
            {},
            optional={
                "abort": st.booleans(),
                "abortTo": st.sampled_from(["v1", "v2", "v9"]),
                "forcedVariantHeader": st.just("x-force"),
                "shadow": st.fixed_dictionaries(
                    {"variant": st.sampled_from(["v1", "v2", "v9"]), "percent": st.integers(0, 100)}
                ),
            },
        ),
    ),
    st.tuples(st.just("stable"), st.sampled_from(["v1", "v2"])),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(steps, st.booleans()), min_size=1, max_size=8))
def test_whatever_happens(history: list[tuple[tuple[str, Any], bool]]) -> None:
    """At every turn: 100 %, nobody unready while anybody is ready, REST and gRPC alike; and it always comes to rest."""
    world = World()
    world.settle()
    for (name, value), accept in history:
        setattr(world, name, value)
        world.canaries.pop(world.stable, None)
        for _ in range(2):
            made = world.turn(accept=accept)
            names = [world.stable, *world.canaries]
            ready = [each for each in names if world.ready.get(each, 2)]
            live = world.shares()
            assert sum(live.values()) == 100
            assert list(live.items()) == list(world.shares("GRPCRoute").items())
            assert not ready or set(live) <= set(ready)
            assert all(item["kind"] in GENERATED for item in made.apply)
            assert not made.repairs
    world.accept()
    world.settle()
    assert world.plan().apply == ()
