"""Routes and policies: what requests meet at the Gateway."""

from __future__ import annotations

from typing import Any

import pytest
from lead_controller.routes import GRPC_METHODS, rest_paths

from core.world import NAME, World, config_of
from lead_scoring.local import routes as local
from lead_scoring.local.split import Split

Json = dict[str, Any]


def settled(**situation: Any) -> World:
    world = World(**situation)
    world.settle()
    return world


def rules(world: World, kind: str = "HTTPRoute") -> dict[str, Json]:
    return {rule["name"]: rule for rule in world.objects[kind, f"{NAME}-rollout"]["spec"]["rules"]}


def active(world: World, kind: str = "HTTPRoute") -> Json:
    return next(
        rule
        for name, rule in rules(world, kind).items()
        if name != "information" and "headers" not in rule["matches"][0]
    )


def test_only_these_paths_exist_and_they_are_the_local_stacks() -> None:
    """Exact path and method, each once, over all rules that a request without special headers can meet."""
    document = local.routes(model=NAME, split=Split(stable="v1", canary="v2"), version="1")
    listed = document["resources"][0]["virtual_hosts"][0]["routes"]
    expected = {
        (each["match"]["headers"][0]["string_match"]["exact"], each["match"]["path"])
        for each in listed
        if "grpc" not in each["match"]
    }
    predicting, informing = rest_paths(NAME)
    assert {*predicting, *informing} == expected
    world = settled(canaries={"v2": 25}, wishes={"forcedVariantHeader": "x-force"})
    matches = [match for rule in rules(world).values() for match in rule["matches"]]
    assert all(match["path"]["type"] == "Exact" for match in matches)
    plain = [(match["method"], match["path"]["value"]) for match in matches if "headers" not in match]
    assert sorted(plain) == sorted(expected)
    grpc = [match for rule in rules(world, "GRPCRoute").values() for match in rule["matches"]]
    assert all(match["method"]["type"] == "Exact" for match in grpc)
    assert sorted(match["method"]["method"] for match in grpc if "headers" not in match) == sorted(local.GRPC_METHODS)
    assert sorted(GRPC_METHODS) == sorted(local.GRPC_METHODS)


@pytest.mark.parametrize(("kind", "port"), [("HTTPRoute", 80), ("GRPCRoute", 8081)])
def test_backends_say_who_they_are_and_what_the_split_is(kind: str, port: int) -> None:
    """Each with filters of its own: without them Envoy Gateway makes one cluster of all and forgets the weights."""
    world = settled(canaries={"v2": 20, "v3": 5})
    assert [
        (backend["name"], backend["port"], backend["weight"], backend["filters"])
        for backend in active(world, kind)["backendRefs"]
    ] == [
        (
            f"{NAME}-{variant}-predictor",
            port,
            share,
            [
                {
                    "type": "RequestHeaderModifier",
                    "requestHeaderModifier": {
                        "set": [
                            {"name": "x-lead-variant", "value": variant},
                            {"name": "x-lead-split", "value": "v1=75,v2=20,v3=5"},
                        ],
                        "remove": ["authorization"],
                    },
                },
                {
                    "type": "ResponseHeaderModifier",
                    "responseHeaderModifier": {"set": [{"name": "x-lead-variant", "value": variant}]},
                },
            ],
        )
        for variant, share in (("v1", 75), ("v2", 20), ("v3", 5))
    ]


def test_routes_attach_to_the_gateway_with_a_hostname_and_a_deadline() -> None:
    """Each kind its own hostname; a GRPCRoute has no deadline of its own, so the policy has it."""
    gateway = {"name": "gate", "namespace": "kserve", "sectionName": "https"}
    world = settled(config=config_of(gateway=gateway, routeTimeout="750ms"))
    rest, grpc = (world.objects[kind, f"{NAME}-rollout"]["spec"] for kind in ("HTTPRoute", "GRPCRoute"))
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", **gateway}
    assert rest["parentRefs"] == grpc["parentRefs"] == [parent]
    assert (rest["hostnames"], grpc["hostnames"]) == (["leads.example.com"], ["grpc.leads.example.com"])
    assert all(rule["timeouts"] == {"request": "750ms"} for rule in rest["rules"])
    for name in (f"{NAME}-rollout", f"{NAME}-rollout-split"):
        policy = world.objects["BackendTrafficPolicy", name]["spec"]
        assert policy["timeout"]["http"]["requestTimeout"] == "750ms"
        assert policy["healthCheck"] == {"panicThreshold": 0}


def test_keys_stick_in_split_lanes_only() -> None:
    """The hash also picks the pod: without a split it would put a hot key on one."""
    fragment = {"loadBalancer": {"type": "LeastRequest", "zoneAware": {"preferLocal": {}}}}
    world = settled(canaries={"v2": 20}, config=config_of(trafficPolicy=fragment))
    plain = world.objects["BackendTrafficPolicy", f"{NAME}-rollout"]["spec"]
    sticky = world.objects["BackendTrafficPolicy", f"{NAME}-rollout-split"]["spec"]
    assert plain["loadBalancer"] == fragment["loadBalancer"]
    assert sticky["loadBalancer"] == {
        "zoneAware": {"preferLocal": {}},
        "type": "ConsistentHash",
        "consistentHash": {"type": "Header", "header": {"name": "x-lead-key"}},
    }
    targets = [(each["kind"], each.get("sectionName")) for each in sticky["targetRefs"]]
    assert targets == [(kind, name) for kind in ("HTTPRoute", "GRPCRoute") for name in ("split-a", "split-b")]
    assert [(each["kind"], each.get("sectionName")) for each in plain["targetRefs"]] == [
        ("HTTPRoute", None),
        ("GRPCRoute", None),
    ]
    assert active(world)["name"] in ("split-a", "split-b")
    world.canaries = {"v2": 0}
    world.settle()
    assert active(world)["name"] == "alone-0"


@pytest.mark.parametrize(
    ("situation", "reason", "copied"),
    [
        ({"canaries": {"v2": 0}}, "Mirroring", True),
        ({"canaries": {"v2": 5}}, "HasShare", False),
        ({"canaries": {"v3": 0}}, "UnknownVariant", False),
        ({"canaries": {"v2": 0}, "ready": {"v2": 0}}, "NoReadyPods", False),
        ({"canaries": {"v2": 0}, "wishes": {"abort": True}}, "Aborted", False),
        ({"canaries": {"v2": 0}, "wishes": {"shadow": {"variant": "v2", "percent": 0}}}, "Off", False),
        ({"canaries": {"v2": 0}, "wishes": {"shadow": None}}, "NotAsked", False),
        ({"stable": "v2"}, "HasShare", False),
    ],
)
def test_shadow(situation: dict[str, Any], reason: str, copied: bool) -> None:
    """Copies of inference requests, for a variant that is ready and has no share; else not, and it is said why."""
    wishes = {"shadow": {"variant": "v2", "percent": 30}, **situation.pop("wishes", {})}
    world = settled(**situation, wishes=wishes)
    assert world.conditions()["ShadowActive"] == reason
    for kind, port in (("HTTPRoute", 80), ("GRPCRoute", 8081)):
        service = {"group": "", "kind": "Service", "name": f"{NAME}-v2-predictor", "port": port}
        mirror = [{"type": "RequestMirror", "requestMirror": {"backendRef": service, "percent": 30}}]
        found = {name: rule["filters"] for name, rule in rules(world, kind).items() if "filters" in rule}
        assert found == ({active(world, kind)["name"]: mirror} if copied else {})
    assert world.status is not None
    assert world.status["shadow"] == ("v2 30%" if copied else "")


@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])
def test_a_variant_can_be_asked_for_by_name(kind: str) -> None:
    """Every variant that has a Service, whatever its share; a pod that isn't ready answers 503, not another variant."""
    wishes = {"forcedVariantHeader": "x-force"}
    world = settled(canaries={"v2": 0, "v3": 0, "v4": 0}, ready={"v3": 0, "v4": None}, wishes=wishes)
    header = {"type": "Exact", "name": "x-force"}
    forced = {
        match["headers"][0]["value"]: rule["backendRefs"]
        for rule in rules(world, kind).values()
        for match in rule["matches"]
        if "headers" in match and match["headers"][0].items() >= header.items()
    }
    assert {variant: [each["name"] for each in backends] for variant, backends in forced.items()} == {
        variant: [f"{NAME}-{variant}-predictor"] for variant in ("v1", "v2", "v3")
    }
    world.wishes = {}
    world.settle()
    assert "x-force" not in str(rules(world, kind))


def test_no_backend_names_a_service_that_is_not_there() -> None:
    """It would make the Gateway refuse the route's references: somebody who serves stands in."""
    world = settled(canaries={"v2": 25, "v3": 0})
    world.canaries, world.ready = {"v3": 25}, {"v2": None}
    for _ in range(5):
        world.turn()
        named = {each["name"] for rule in rules(world).values() for each in rule["backendRefs"]}
        assert named <= {f"{NAME}-v1-predictor", f"{NAME}-v3-predictor"}
    assert world.shares() == {"v1": 75, "v3": 25}
    world.canaries, world.ready = {"v3": 25, "v5": 5}, {"v2": None}
    world.settle()
    assert sorted(rules(world)) == ["alone-0", "alone-1", "alone-2", "information", "split-a", "split-b"]
