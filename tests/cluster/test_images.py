"""The images as the cluster runs them: small, complete, without leftovers, for nobody in particular, quick to start."""

from __future__ import annotations

import base64
import io
import json
import os
import secrets
import shlex
import subprocess
import tarfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cluster import questions
from tests.cluster.kubectl import Kubectl
from tests.cluster.settings import Settings
from tests.images import inspection, start
from tests.support.stack import ROOT

pytestmark = pytest.mark.timeout(600)

PYTHON = "/opt/lead/bin/python"
PARTS = ("transformer", "predictor", "controller")
BUDGET_BYTES = 800_000_000
"""Transformer and predictor together, unpacked, what they share counted once."""
READY_S = 10.0
"""On one idle core."""
INSPECT = shlex.split(os.environ.get("E2E_INSPECT", "docker image inspect --format '{{json .Config}}'"))
"""Prints an image's configuration as JSON: Docker's words, or the whole of OCI's, as of `skopeo inspect --config`."""
PINNED = (
    "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); os.execv(sys.executable, sys.argv[1:])"
)
"""Starts a Python program on one core."""

CONFINED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
RESTRICTED = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def pod(name: str, containers: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    """Return a pod whose containers may write to `/tmp` and `/run/lead` only."""
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "run", "mountPath": "/run/lead"}]  # noqa: S108
    volumes = [{"name": "tmp", "emptyDir": {}}, {"name": "run", "emptyDir": {"medium": "Memory"}}]
    spec["initContainers"] = spec.get("initContainers", [])
    for container in (*containers, *spec["initContainers"]):
        container |= {"securityContext": CONFINED, "imagePullPolicy": "IfNotPresent"}
        container["volumeMounts"] = mounts + container.get("volumeMounts", [])
    spec["volumes"] = volumes + spec.get("volumes", [])
    found = {"restartPolicy": "Never", "securityContext": RESTRICTED, "automountServiceAccountToken": False, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {**found, "containers": containers}}


def ended(kubectl: Kubectl, name: str, container: str) -> dict[str, Any]:
    """Wait until a container has ended well; return what it printed. None of its pod may end badly meanwhile."""

    def exits(found: dict[str, Any]) -> dict[str, int]:
        status = found["status"]
        states = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
        return {s["name"]: s["state"]["terminated"]["exitCode"] for s in states if "terminated" in s["state"]}

    def over(found: dict[str, Any]) -> bool:
        return container in exits(found) or any(exits(found).values())

    found = exits(kubectl.until("pod", name, over, f"{container} has ended", within_s=120))
    failed = [kubectl("logs", name, "-c", other) for other, code in found.items() if code]
    assert not failed, failed
    answer: dict[str, Any] = json.loads(kubectl("logs", name, "-c", container))
    return answer


def registry_hosts() -> list[str]:
    """Return the hosts of the package indexes that this machine's builds were told to use."""
    urls = (os.environ.get(name, "") for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX"))
    return [host for host in (urlsplit(url).hostname for url in urls) if host and not host.endswith("pypi.org")]


@pytest.fixture(scope="module")
def findings(settings: Settings, namespace: Kubectl) -> dict[str, dict[str, Any]]:
    """What each image says of itself."""
    script = (ROOT / "tests" / "images" / "inspection.py").read_text()
    for part in PARTS:
        command = [PYTHON, "-c", script, *registry_hosts()]
        limits = {"resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "requests": {"cpu": "50m"}}}
        namespace.apply(
            pod(f"inspect-{part}", [{"name": "inspect", "image": settings.images[part], "command": command, **limits}])
        )
    try:
        return {part: ended(namespace, f"inspect-{part}", "inspect") for part in PARTS}
    finally:
        namespace("delete", "pod", "--wait=false", *(f"inspect-{part}" for part in PARTS))


@pytest.fixture(scope="module", params=PARTS)
def part(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def test_transformer_and_predictor_fit_their_budget(findings: dict[str, dict[str, Any]]) -> None:
    pair = findings["transformer"], findings["predictor"]
    assert pair[0]["base_bytes"] == pair[1]["base_bytes"], "they stand on the same base"
    total = pair[0]["base_bytes"] + pair[0]["own_bytes"] + pair[1]["own_bytes"]
    print({part: (f["base_bytes"] // 10**6, f["own_bytes"] // 10**6) for part, f in findings.items()}, total // 10**6)  # noqa: T201
    assert 300_000_000 < total < BUDGET_BYTES


def test_nothing_of_the_build_is_left(findings: dict[str, dict[str, Any]], part: str) -> None:
    found = findings[part]
    for what in ("leftovers", "temporary", "compilers", "indexes", "registries"):
        assert found[what] == [], what
    assert not [name for name in found["environment"] if name.lower().endswith("proxy") or name.startswith("PIP_")]


def test_everything_is_compiled_for_a_root_that_can_not_be_written(findings: dict[str, Any], part: str) -> None:
    assert findings[part]["uncompiled"] == []


def test_nobody_in_particular_who_may_write_two_folders(findings: dict[str, Any], part: str) -> None:
    assert findings[part]["user"] == 65532
    assert findings[part]["writable"] == list(inspection.WRITABLE)


def test_the_list_of_contents_is_complete(findings: dict[str, dict[str, Any]], part: str) -> None:
    found = findings[part]
    (document,) = found["sbom"]
    assert document["bomFormat"] == "CycloneDX"
    listed = {(c["name"].lower(), c["version"]) for c in document["components"]}
    packages = {(name.lower(), version) for name, version in found["distributions"]}
    assert len(packages) > 15
    assert packages - listed == set()
    assert {tuple(entry.split("=", 1)) for entry in found["debian"]} - listed == set()
    assert ("python", found["python"]) in listed
    beside = json.loads((ROOT / "dist" / "images" / f"lead-{part}.cdx.json").read_text())
    assert document == beside


def test_the_configuration_says_what_runs_and_what_it_is(settings: Settings, part: str) -> None:
    done = subprocess.run([*INSPECT, settings.images[part]], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    config = json.loads(done.stdout)
    config = config.get("config", config)
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == [PYTHON, "-m", f"lead_{part}"]
    assert not config.get("Cmd")
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert labels["title"] == f"lead-{part}"
    assert all(labels[name] for name in ("description", "source", "base.name"))
    assert labels["version"][0].isdecimal()
    assert len(labels["revision"].removesuffix("-dirty")) == 40
    assert labels["created"].startswith("20")
    assert not [entry for entry in config["Env"] if "://" in entry]


@pytest.fixture
def pair(settings: Settings, namespace: Kubectl) -> Iterator[str]:
    """A pod of both on one core, and a third container that watches them start."""
    name = f"start-{secrets.token_hex(3)}"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(questions.folder_of("1"), arcname=".")
    text = base64.b64encode(packed.getvalue()).decode()
    unpack = "import tarfile; tarfile.open('/packed/folder').extractall('/mnt/models')"
    models = {"name": "models", "mountPath": "/mnt/models"}
    lead = [PYTHON, "-c", PINNED, PYTHON, "-m"]
    limits = {"resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "50m"}}}
    containers: list[dict[str, Any]] = [
        {
            "name": "kserve-container",
            "image": settings.images["predictor"],
            "command": [*lead, "lead_predictor", "--socket=/run/lead/predictor.sock"],
            "volumeMounts": [{**models, "readOnly": True}],
            **limits,
        },
        {
            "name": "transformer-container",
            "image": settings.images["transformer"],
            "command": [*lead, "lead_transformer", "--model-dir=/mnt/models", "--predictor_host=127.0.0.1:9081"],
            "env": [{"name": "PREDICTOR_SOCKET", "value": "/run/lead/predictor.sock"}],
            "volumeMounts": [{**models, "readOnly": True}],
            **limits,
        },
        {
            "name": "watch",
            "image": settings.images["transformer"],
            "command": [PYTHON, "-c", (ROOT / "tests" / "images" / "start.py").read_text()],
        },
    ]
    fetch = {
        "name": "fetch",
        "image": settings.images["transformer"],
        "command": [PYTHON, "-c", unpack],
        "volumeMounts": [models, {"name": "packed", "mountPath": "/packed"}],
    }
    volumes = [{"name": "models", "emptyDir": {}}, {"name": "packed", "configMap": {"name": name}}]
    namespace.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "binaryData": {"folder": text}},
        pod(name, containers, initContainers=[fetch], volumes=volumes, shareProcessNamespace=True),
    )
    yield name
    namespace("delete", "pod", name, "--grace-period=0", "--force")
    namespace("delete", "configmap", name)


def test_ready_within_ten_seconds_of_one_core(pair: str, namespace: Kubectl) -> None:
    """The core may be busy with others: what counts is what they used of it."""
    took = ended(namespace, pair, "watch")
    print(took)  # noqa: T201
    used = sum(took["cpu_s"].values())
    assert tuple(took["cpu_s"]) == start.MODULES
    assert 0 < used < READY_S
