"""Every variant has an autoscaler of its own, and pods come before the share that needs them."""

from __future__ import annotations

import pytest

from tests.cluster import questions
from tests.cluster.load import Plan, under_load
from tests.cluster.release import Release
from tests.cluster.storage import Bucket
from tests.cluster.test_canaries import add_canary, canary
from tests.support.stack import until

pytestmark = pytest.mark.timeout(400)


def test_every_variant_has_an_autoscaler_that_measures(calm: Release) -> None:
    for variant in ("v1", "v2"):
        deployment = f"{calm.name}-{variant}-predictor"
        found = calm.kubectl.until(
            "horizontalpodautoscaler",
            f"{calm.name}-{variant}-rollout",
            lambda found: any(
                condition["type"] == "ScalingActive" and condition["status"] == "True"
                for condition in found["status"].get("conditions", [])
            ),
            "measures",
        )
        assert found["spec"]["scaleTargetRef"]["name"] == deployment
        assert found["spec"]["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0
        assert found["spec"]["maxReplicas"] == calm.values["autoscaling"]["maxReplicas"]
    autoscalers = {item["metadata"]["name"] for item in calm.kubectl.items("horizontalpodautoscaler")}
    assert autoscalers == {f"{calm.name}-{variant}-rollout" for variant in ("v1", "v2")}  # none of KServe's


def test_a_share_waits_for_its_pods(calm: Release, plan: Plan, models_bucket: Bucket) -> None:
    """One pod of two carries half of the traffic: asked for 75 %, a canary gets 50 at once, the rest with a pod."""
    uri = models_bucket.publish(questions.folder_of("2"), "lead-scoring/2-for-more")
    add_canary(calm, canary(calm, "v4", uri, 0))
    calm.until_ready("v4")
    assert len(calm.pods("v4")) == 1
    seen: list[tuple[int, int]] = []

    def has_all() -> bool:
        share = calm.routed().get("v4", 0)
        ready = sum(pod.ready for pod in calm.pods("v4"))  # asked after the share: never fewer than it had then
        seen.append((share, ready))
        return share == 75

    with under_load(Plan(plan.url, plan.rest_host, plan.grpc_host, {**plan.versions, "v4": "2"})) as report:
        calm.shift(75, canary="v4", position=1)
        until(has_all, "75 % are carried", within_s=120, every_s=0.2)
        calm.shift(0, canary="v4", position=1)
        calm.until_routed({"v1": 100})
    report.expect_no_loss(at_least=200)
    assert (50, 1) in seen
    assert all(share <= 50 * ready for share, ready in seen), seen
