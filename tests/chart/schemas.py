"""Make JSON schemas for kubeconform from what Kubernetes, KServe, Envoy Gateway and the Prometheus Operator publish.

They come from Go modules of pinned versions: nothing is asked of a cluster or of a site for schemas. What was made is
kept until a version changes.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CRDS = {
    "github.com/kserve/kserve@v0.20.0": "config/crd/full",
    "github.com/envoyproxy/gateway@v1.9.1": "charts/gateway-helm/charts/crds/crds",  # the Gateway API's too
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": "example/prometheus-operator-crd",
}
"""Module, and the folder in it that holds CRDs."""

KINDS = (
    "BackendTrafficPolicy",
    "ClientTrafficPolicy",
    "EnvoyProxy",
    "GRPCRoute",
    "Gateway",
    "HTTPRoute",
    "InferenceService",
    "ModelRollout",
    "PodMonitor",
    "PrometheusRule",
    "ReferenceGrant",
    "SecurityPolicy",
    "ServiceMonitor",
    "ServingRuntime",
)
"""The kinds of their CRDs that the chart or the controller makes."""


def folder_of(module: str) -> Path:
    """Return where Go keeps a module, downloading it where it isn't there yet."""
    answer = subprocess.run(
        ["go", "mod", "download", "-json", module], check=True, capture_output=True, text=True, cwd="/"
    )
    return Path(json.loads(answer.stdout)["Dir"])


def close(schema: Any) -> Any:
    """Return a copy of an OpenAPI v3 schema as JSON schema that refuses fields which the API server would drop."""
    if isinstance(schema, list):
        return [close(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: close(value) for key, value in schema.items() if key not in ("description", "default", "example")}
    if isinstance(schema.get("properties"), dict):
        # A property may be called like a keyword: `default`, `description`.
        made["properties"] = {name: close(value) for name, value in schema["properties"].items()}
        if "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            made["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        made = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    if schema.get("nullable") and isinstance(schema.get("type"), str):
        made["type"] = [schema["type"], "null"]
    made.pop("format", None)  # Go's ideas (int32, quantity), not JSON schema's
    return made


def of_kubernetes(version: str) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield group, version, kind and schema of everything built in."""
    for path in sorted((folder_of(f"k8s.io/kubernetes@v{version}") / "api/openapi-spec/v3").glob("*__v*_openapi.json")):
        schemas = json.loads(path.read_text())["components"].get("schemas", {})
        closed = {name: close(schema) for name, schema in schemas.items()}
        for name, schema in schemas.items():
            for named in schema.get("x-kubernetes-group-version-kind", []):
                if "metadata" in schema.get("properties", {}):
                    document = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": closed}}
                    yield named["group"], named["version"], named["kind"], document


class Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: PyYAML stumbles over a plain `=`, one of the Prometheus Operator's enums has it."""


Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: node.value)


def documents(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the CRDs of the kinds we need in the YAML files of a folder; parsing all of them takes a minute."""
    for path in sorted(folder.rglob("*.yaml")):
        for text in path.read_text().split("\n---\n"):
            if re.search(rf"^    kind: ({'|'.join(KINDS)})$", text, re.MULTILINE):
                document = yaml.load(text, Loader=Loader)  # noqa: S506 (a safe one)
                # kustomize's patches of CRDs, which KServe keeps beside them, have no versions.
                if "versions" in document["spec"]:
                    yield document


def of_crds(folder: Path) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield group, version, kind and schema of the CRDs in a folder."""
    for crd in documents(folder):
        spec = crd["spec"]
        for version in spec["versions"]:
            schema = close(version["schema"]["openAPIV3Schema"])
            if "properties" in schema:
                for name in ("apiVersion", "kind"):
                    schema["properties"].setdefault(name, {"type": "string"})
                schema["properties"].setdefault("metadata", {"type": "object"})
            yield spec["group"], version["name"], spec["names"]["kind"], schema


def write(out: Path, found: Iterator[tuple[str, str, str, dict[str, Any]]]) -> None:
    """Write schemas where kubeconform looks for them: it takes the core group's version for its name."""
    for group, version, kind, schema in found:
        path = out / (group or version) / f"{kind.lower()}_{version}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(schema))


def main() -> None:
    """Write the schemas."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubernetes", required=True, help="version, like 1.34.4")
    parser.add_argument("--crds", type=Path, required=True, help="folder of our own CRDs")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    pinned = json.dumps([options.kubernetes, CRDS, Path(__file__).read_text()])
    stamp = options.out / "made-from.json"
    if not stamp.exists() or stamp.read_text() != pinned:
        options.out.mkdir(parents=True, exist_ok=True)
        for path in options.out.rglob("*.json"):
            path.unlink()
        write(options.out, of_kubernetes(options.kubernetes))
        for module, folder in CRDS.items():
            write(options.out, of_crds(folder_of(module) / folder))
        stamp.write_text(pinned)
    write(options.out, of_crds(options.crds))  # ours change without a version


if __name__ == "__main__":
    main()
