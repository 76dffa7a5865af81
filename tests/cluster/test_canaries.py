"""Canaries of every kind: several at once, never ready, chosen by name; and the way out of all of them."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lead_scoring.core.hashing import variant_of
from tests.cluster import questions
from tests.cluster.gateway import KEY
from tests.cluster.kubectl import Kubectl
from tests.cluster.load import Plan, under_load
from tests.cluster.release import Release
from tests.cluster.storage import Bucket
from tests.end_to_end.doors import Doors
from tests.support.stack import until

pytestmark = pytest.mark.timeout(400)

FORCE = "x-lead-force-variant"
KEYS = [f"account-{number}" for number in range(3000)]


def canary(release: Release, name: str, storage_uri: str, percent: int) -> dict[str, Any]:
    """Return a canary like v2 with another name and model."""
    predictor = copy.deepcopy(release.service["spec"]["canary"][0]["predictor"])
    predictor["name"] = predictor["labels"]["lead-scoring.io/variant"] = name
    predictor["model"]["storageUri"] = storage_uri
    return {"trafficPercent": percent, "predictor": predictor}


def add_canary(release: Release, added: dict[str, Any]) -> None:
    release.kubectl.patch("inferenceservice", release.name, {"op": "add", "path": "/spec/canary/-", "value": added})


def seen_restarting(release: Release, variant: str) -> bool:
    """Whether a pod of the variant has been tried, and has failed."""
    items = release.kubectl.items("pod", f"app=isvc.{release.name}-{variant}-predictor")
    return any(
        state.get("restartCount", 0) > 0 or "terminated" in state.get("lastState", {}) or "terminated" in state["state"]
        for item in items
        for kind in ("initContainerStatuses", "containerStatuses")
        for state in item["status"].get(kind, [])
        if kind == "containerStatuses" or state["state"].get("terminated", {}).get("exitCode", 0) != 0
    )


def wrong_digest(bucket: Bucket) -> str:
    """Publish version 2 with one byte of the model changed."""
    folder = questions.folder_of("2")
    uri = bucket.publish(folder, "lead-scoring/wrong-digest")
    model = bytearray((folder / "model.ubj").read_bytes())
    model[len(model) // 2] ^= 1
    bucket.put("lead-scoring/wrong-digest/model.ubj", bytes(model))
    return uri


def never_there(bucket: Bucket) -> str:
    """Return where no version was published."""
    return bucket.uri("lead-scoring/never-published")


@pytest.mark.parametrize("model", [never_there, wrong_digest])
def test_a_canary_that_cannot_be_ready_gets_no_traffic(
    calm: Release, plan: Plan, models_bucket: Bucket, model: Any
) -> None:
    name = model.__name__.replace("_", "-")
    added = canary(calm, name, model(models_bucket), 30)
    with under_load(plan) as report:
        add_canary(calm, added)
        until(lambda: seen_restarting(calm, name), f"{name} has been tried", within_s=150, every_s=1)
        assert calm.routed() == calm.routed("grpcroute") == {"v1": 100}
    report.expect_no_loss(at_least=300)
    assert report.share("v1") == 1
    told = {variant["name"]: variant for variant in calm.rollout["status"]["variants"]}
    assert (told[name]["intendedPercent"], told[name]["livePercent"], told[name]["readyPods"]) == (30, 0, 0)
    assert calm.condition("Routed")["status"] == "False" or calm.condition("CapacityReady")["status"] == "False"


def test_several_canaries_share_what_stable_leaves(calm: Release, plan: Plan, models_bucket: Bucket) -> None:
    uri = models_bucket.publish(questions.folder_of("2"), "lead-scoring/2-again")
    add_canary(calm, canary(calm, "v3", uri, 0))
    calm.until_ready("v3")
    shares = {"v1": 60, "v2": 10, "v3": 30}
    three = Plan(plan.url, plan.rest_host, plan.grpc_host, {**plan.versions, "v3": "2"})
    with under_load(three) as report:
        calm.shift(10)
        calm.shift(30, canary="v3", position=1)
        calm.until_routed(shares)
        probes = [key for key in KEYS if variant_of(key, shares) != "v1"][:60]
        calm.gateway.until_asked(
            probes, lambda seen: seen == {key: variant_of(key, shares) for key in probes}, "three variants answer"
        )
        assert calm.gateway.asked(KEYS) == {key: variant_of(key, shares) for key in KEYS}
        # and one of them goes: first its share, then what has carried it
        calm.shift(0, canary="v3", position=1)
        calm.until_routed({"v1": 90, "v2": 10})
        calm.kubectl.patch("inferenceservice", calm.name, {"op": "remove", "path": "/spec/canary/1"})
        until(lambda: not calm.pods("v3"), "v3 is gone", within_s=150, every_s=0.5)
    report.expect_no_loss(at_least=300)
    until(
        lambda: calm.kubectl.find("horizontalpodautoscaler", f"{calm.name}-v3-rollout") is None,
        "v3's autoscaler is gone",
        within_s=30,
    )


def test_a_variant_is_chosen_by_header_only_while_that_is_on(
    calm: Release, doors: Doors, leads: list[dict[str, Any]]
) -> None:
    lead = leads[0]

    def answers(variant: str) -> set[str]:
        return {
            doors.ask(door, [lead], headers={FORCE: variant, KEY: str(number)}).headers["x-lead-variant"]
            for door in ("V1", "V2 JSON", "gRPC typed")
            for number in range(5)
        }

    assert answers("v2") == {"v1"}
    calm.roll(forcedVariantHeader=FORCE)
    until(lambda: answers("v2") == {"v2"}, "v2 answers when forced", within_s=30)
    assert answers("v1") == {"v1"}
    assert answers("v9") == {"v1"}  # nobody of that name: as without the header
    calm.roll(forcedVariantHeader=None)
    until(lambda: answers("v2") == {"v1"}, "the header means nothing again", within_s=30)


def test_abort_sends_everything_to_stable_within_two_seconds(calm: Release, plan: Plan) -> None:
    calm.shift(50)
    shares = {"v1": 50, "v2": 50}
    calm.until_routed(shares)
    keys = [key for key in KEYS if variant_of(key, shares) == "v2"][:30]
    calm.gateway.until_asked(keys, lambda seen: set(seen.values()) == {"v2"}, "v2 answers half")
    with under_load(plan) as report:
        begin = time.monotonic()
        calm.roll(abort=True)
        calm.gateway.until_asked(keys, lambda seen: set(seen.values()) == {"v1"}, "v1 answers all", within_s=30)
        took = time.monotonic() - begin
        assert calm.routed() == calm.routed("grpcroute") == {"v1": 100}
        until(lambda: calm.condition("Aborted").get("status") == "True", "the status says so", within_s=10)
        assert calm.service["spec"]["canary"][0]["trafficPercent"] == 50  # whose field it is nobody's but the people's
        calm.shift(10)
        time.sleep(2)  # while it is on, shares of canaries mean nothing
        assert calm.routed() == {"v1": 100}
        calm.roll(abort=None)
        calm.until_routed({"v1": 90, "v2": 10})
    report.expect_no_loss(at_least=150)
    assert took < 2, took


@contextmanager
def scaled(kubectl: Kubectl, deployment: str, usual: int) -> Iterator[None]:
    kubectl("scale", "deployment", deployment, "--replicas=0")
    try:
        label = "control-plane=kserve-controller-manager"
        until(lambda: not kubectl.items("pod", label), "KServe is down", within_s=60, every_s=0.5)
        yield
    finally:
        kubectl("scale", "deployment", deployment, f"--replicas={usual}")
        kubectl("rollout", "status", f"deployment/{deployment}", "--timeout=120s")


def test_abort_works_while_kserve_is_down(calm: Release, plan: Plan) -> None:
    calm.shift(50)
    shares = {"v1": 50, "v2": 50}
    calm.until_routed(shares)
    keys = [key for key in KEYS if variant_of(key, shares) == "v2"][:30]
    calm.gateway.until_asked(keys, lambda seen: set(seen.values()) == {"v2"}, "v2 answers half")
    with scaled(Kubectl("kserve"), "kserve-controller-manager", 1), under_load(plan) as report:
        with pytest.raises(Exception, match="webhook"):
            calm.shift(0)
        begin = time.monotonic()
        calm.roll(abort=True)
        calm.gateway.until_asked(keys, lambda seen: set(seen.values()) == {"v1"}, "v1 answers all", within_s=30)
        took = time.monotonic() - begin
        # a promotion can be taken back in the same way: the other variant, by name
        calm.roll(abortTo="v2")
        calm.until_routed({"v2": 100}, within_s=10)
        calm.roll(abortTo=None)
        calm.until_routed({"v1": 100}, within_s=10)
    report.expect_no_loss(at_least=100)
    assert took < 2, took
