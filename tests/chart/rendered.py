"""Check what the chart renders, whatever the values.

All of it stays in its namespace, every pod is restricted and bounded, and no release is in another's way.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CLUSTER_SCOPED = {"CustomResourceDefinition"}
"""The one kind of object that may be outside the namespace."""

Object = dict[str, Any]


def read(path: Path) -> list[Object]:
    """Return the objects of a rendered file."""
    return [item for item in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader) if item]


def name_of(item: Object) -> str:
    """Return kind, namespace and name."""
    return f"{item['kind']} {item['metadata'].get('namespace', '-')}/{item['metadata']['name']}"


def pods(item: Object) -> Iterator[tuple[Object, Object]]:
    """Yield the pod-level settings and the spec with containers of what becomes pods."""
    if item["kind"] in ("Deployment", "Job"):
        spec = item["spec"]["template"]["spec"]
        yield spec, spec
    elif item["kind"] == "Pod":
        yield item["spec"], item["spec"]
    elif item["kind"] == "InferenceService":
        for predictor in (item["spec"]["predictor"], *(each["predictor"] for each in item["spec"].get("canary", []))):
            yield predictor, {"containers": []}


def faults_of_container(container: Object) -> Iterator[str]:
    """Yield what PodSecurity `restricted`, or a fair share of the node, finds missing in a container."""
    name = container["name"]
    for kind in ("requests", "limits"):
        for resource in ("cpu", "memory"):
            if not container.get("resources", {}).get(kind, {}).get(resource):
                yield f"{name} has no resources.{kind}.{resource}"
    context = container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"{name} may escalate its privileges"
    if context.get("capabilities", {}).get("drop") != ["ALL"]:
        yield f"{name} keeps capabilities"
    if context.get("readOnlyRootFilesystem") is not True:
        yield f"{name} can write to its root"


def faults_of_pod(pod: Object) -> Iterator[str]:
    """Yield what PodSecurity `restricted` finds missing at the level of the pod."""
    context = pod.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield "may run as root"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "has no seccomp profile"
    if pod.get("hostNetwork") or any("hostPath" in volume for volume in pod.get("volumes", [])):
        yield "reaches into its node"


def faults(item: Object) -> Iterator[str]:
    """Yield what is wrong with an object."""
    if item["kind"] in CLUSTER_SCOPED:
        return
    if not item["metadata"].get("namespace"):
        yield "has no namespace"
    if item["kind"].startswith("Cluster") or item["kind"] in ("Namespace", "PriorityClass", "Secret"):
        yield "is not the chart's to make"
    for pod, spec in pods(item):
        yield from faults_of_pod(pod)
        for container in (*spec.get("initContainers", []), *spec["containers"]):
            yield from faults_of_container(container)
    if item["kind"] == "ServingRuntime":
        for container in item["spec"]["containers"]:
            yield from faults_of_container(container)
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if "httpGet" not in container.get(probe, {}):
                    yield f"{container['name']} has no {probe} that asks"
            if "sleep" not in container.get("lifecycle", {}).get("preStop", {}):
                yield f"{container['name']} doesn't wait before it stops"


def main() -> int:
    """Say what is wrong; return 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rendered", type=Path, nargs="+")
    parser.add_argument("--beside", type=Path, nargs="+", required=True, help="renderings of releases side by side")
    options = parser.parse_args()
    found = [
        f"{path.name}: {name_of(item)}: {fault}"
        for path in options.rendered
        for item in read(path)
        for fault in faults(item)
    ]
    owners: dict[str, Path] = {}
    found += [
        f"{path.name}: {name_of(item)} is also in {owners[name_of(item)].name}"
        for path in options.beside
        for item in read(path)
        if item["kind"] not in CLUSTER_SCOPED and owners.setdefault(name_of(item), path) != path
    ]
    sys.stdout.write("\n".join(found or [f"{len(options.rendered)} renderings are as they should be"]) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
