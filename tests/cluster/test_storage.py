"""Models from storage: S3 by KServe's storage initializer, a volume by claim; and no folder but what was published."""

from __future__ import annotations

import base64
import io
import json
import secrets
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from tests.cluster import questions
from tests.cluster.kubectl import Kubectl
from tests.cluster.release import Release
from tests.cluster.settings import Settings
from tests.cluster.storage import Bucket
from tests.cluster.test_canaries import add_canary, canary
from tests.support.stack import until

pytestmark = pytest.mark.timeout(400)

CONTAINERS = ("kserve-container", "transformer-container")
UNTRUSTWORTHY = 3
"""What both programs exit with for a folder that they don't trust."""


def changed(bucket: Bucket, path: str) -> str:
    """One byte of the model is another."""
    uri, model = bucket.publish(questions.folder_of("2"), path), bytearray(read("2", "model.ubj"))
    model[len(model) // 2] ^= 1
    bucket.put(f"{path}/model.ubj", bytes(model))
    return uri


def truncated(bucket: Bucket, path: str) -> str:
    """An upload that broke off."""
    uri = bucket.publish(questions.folder_of("2"), path)
    bucket.put(f"{path}/model.ubj", read("2", "model.ubj")[:-1])
    return uri


def extra(bucket: Bucket, path: str) -> str:
    """Something to be imported lies beside the model."""
    uri = bucket.publish(questions.folder_of("2"), path)
    bucket.put(f"{path}/lead_predictor.py", b"raise SystemExit\n")
    return uri


def missing(bucket: Bucket, path: str) -> str:
    """Not everything was uploaded."""
    uri = bucket.publish(questions.folder_of("2"), path)
    bucket.delete(f"{path}/contract.json")
    return uri


def swapped(bucket: Bucket, path: str) -> str:
    """The other version's model, sound in itself, with its own line in the list of sums."""
    uri = bucket.publish(questions.folder_of("2"), path)
    bucket.put(f"{path}/model.ubj", read("1", "model.ubj"))
    return uri


def sibling(bucket: Bucket, path: str) -> str:
    """A URI without its closing slash, which fetches version 10 along with version 1."""
    bucket.publish(questions.folder_of("2"), f"{path}/10")
    return bucket.publish(questions.folder_of("1"), f"{path}/1").removesuffix("/")


BAD: dict[Callable[[Bucket, str], str], str] = {
    changed: "model.ubj was altered",
    truncated: "model.ubj was altered",
    extra: "'lead_predictor.py' is not listed in SHA256SUMS",
    missing: "contract.json can't be read",
    swapped: "model.ubj was altered",
    sibling: "is not listed in SHA256SUMS",
}


def read(version: str, name: str) -> bytes:
    """Return a file of a shipped version."""
    return (questions.folder_of(version) / name).read_bytes()


def exits(release: Release, variant: str) -> dict[str, int]:
    """Return how the containers of a variant's pods have ended, if they have; none of them may ever be ready."""
    found = {}
    for item in release.kubectl.items("pod", f"app=isvc.{release.name}-{variant}-predictor"):
        for status in item["status"].get("containerStatuses", []):
            assert not status["ready"]
            for state in (status["state"], status.get("lastState", {})):
                if "terminated" in state:
                    found[status["name"]] = state["terminated"]["exitCode"]
    return found


def says(release: Release, pod: str, container: str, words: str) -> bool:
    """Return whether a container's log has these words."""
    return words in release.kubectl("logs", pod, "-c", container)


@contextmanager
def added(release: Release, variant: str, uri: str) -> Iterator[None]:
    """Have a silent canary while something is looked at."""
    add_canary(release, canary(release, variant, uri, 0))
    try:
        yield
    finally:
        kept = [found for found in release.service["spec"]["canary"] if found["predictor"]["name"] != variant]
        change = {"op": "replace", "path": "/spec/canary", "value": kept}
        release.kubectl.patch("inferenceservice", release.name, change)
        until(lambda: not release.pods(variant), f"{variant} is gone", within_s=150, every_s=0.5)


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_what_was_not_published_like_this_is_never_ready(
    release: Release, models_bucket: Bucket, make: Callable[[Bucket, str], str]
) -> None:
    variant = make.__name__
    with added(release, variant, make(models_bucket, f"tampered/{variant}")):
        until(lambda: len(exits(release, variant)) == 2, f"{variant} has been tried", within_s=180, every_s=0.5)
        assert exits(release, variant) == dict.fromkeys(CONTAINERS, UNTRUSTWORTHY)
        pod = release.pods(variant)[0].name
        for container in CONTAINERS:  # which may just have been started anew and said nothing yet
            until(partial(says, release, pod, container, BAD[make]), BAD[make], within_s=90, every_s=0.5)


def test_version_1_is_served_from_s3_while_version_10_lies_beside_it(release: Release, models_bucket: Bucket) -> None:
    uri = sibling(models_bucket, "neighbours")
    with added(release, "beside", f"{uri}/"):
        release.until_ready("beside")
        assert metadata(release, "beside")["versions"] == ["1"]


def metadata(release: Release, variant: str) -> dict[str, Any]:
    """Ask a variant's pod what it serves, by the API server."""
    pod = release.pods(variant)[0].name
    path = f"/api/v1/namespaces/{release.kubectl.namespace}/pods/{pod}:8080/proxy/v2/models/{questions.MODEL}"
    found: dict[str, Any] = json.loads(release.kubectl("get", "--raw", path))
    return found


@pytest.fixture
def claim(release: Release, cluster: Kubectl, settings: Settings) -> Iterator[str]:
    """A claim on a folder of the node with version 2 in `lead-scoring/2`, filled by a pod outside of the namespace."""
    name = f"models-{secrets.token_hex(3)}"
    folder = f"/var/tmp/{name}"  # noqa: S108 - on the node, with a name of its own
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(questions.folder_of("2"), arcname="lead-scoring/2")
    text = base64.b64encode(packed.getvalue()).decode()
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "binaryData": {"folder": text}}
    size = {"storage": "10Mi"}
    labels = {"kind": "PersistentVolume", "apiVersion": "v1", "metadata": {"name": name}}
    mode = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    volume = {**labels, "spec": {**mode, "capacity": size, "hostPath": {"path": folder}}}
    claimed = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {**mode, "volumeName": name, "resources": {"requests": size}},
    }
    cluster.apply(config)
    try:
        on_node(cluster, settings, name, folder, "tarfile.open('/packed/folder').extractall('/node')")
        release.kubectl.apply(volume, claimed)
        yield name
    finally:
        release.kubectl("delete", "persistentvolumeclaim", name, "--ignore-not-found", "--wait=false")
        cluster("delete", "persistentvolume", name, "--ignore-not-found", "--wait=false")
        on_node(cluster, settings, name, folder, "[shutil.rmtree(p) for p in pathlib.Path('/node').iterdir()]")
        cluster("delete", "configmap", name)


def on_node(kubectl: Kubectl, settings: Settings, name: str, folder: str, script: str) -> None:
    """Run a line of Python as root on the node, with a folder of it at `/node`."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "node",
                    "image": settings.images["transformer"],
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["/opt/lead/bin/python", "-c", f"import pathlib, shutil, tarfile; {script}"],
                    "securityContext": {"runAsUser": 0},
                    "volumeMounts": [
                        {"name": "node", "mountPath": "/node"},
                        {"name": "packed", "mountPath": "/packed"},
                    ],
                }
            ],
            "volumes": [
                {"name": "node", "hostPath": {"path": folder, "type": "DirectoryOrCreate"}},
                {"name": "packed", "configMap": {"name": name}},
            ],
        },
    }
    kubectl.apply(pod)
    try:
        ended = kubectl.until(
            "pod", name, lambda found: found["status"].get("phase") in ("Succeeded", "Failed"), "ends"
        )
        assert ended["status"]["phase"] == "Succeeded", kubectl("logs", name)
    finally:
        kubectl("delete", "pod", name, "--grace-period=0", "--force")


def test_a_version_is_served_from_a_volume(release: Release, claim: str) -> None:
    with added(release, "volume", f"pvc://{claim}/lead-scoring/2"):
        release.until_ready("volume")
        assert metadata(release, "volume")["versions"] == ["2"]
