"""The controller's own account: bound to exactly the Role that the chart renders, or to what a test leaves of it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.kubectl import Kubectl

__all__ = ["Account"]

_CHART = Path(__file__).parents[3] / "charts/lead-scoring"


@dataclass
class Account:
    """A ServiceAccount with the chart's Role in one namespace."""

    name: str
    kubectl: Kubectl
    admin: Path
    objects: list[dict[str, Any]]

    @classmethod
    def of_chart(cls, inference_service: str, kubectl: Kubectl, admin: Path) -> Account:
        """Make ServiceAccount, Role and RoleBinding as the chart has them for a release that bootstraps."""
        command = ["helm", "template", "release", str(_CHART), "--namespace", kubectl.namespace]
        command += ["--values", str(_CHART / "values-dev.yaml")]
        command += ["--set", f"fullnameOverride={inference_service},inferenceService.ownership=bootstrap"]
        for template in ("role", "service-account"):
            command += ["--show-only", f"templates/controller/{template}.yaml"]
        text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
        objects = [each for each in yaml.safe_load_all(text) if each]
        kubectl.apply(*objects)
        name = next(each["metadata"]["name"] for each in objects if each["kind"] == "ServiceAccount")
        return cls(name, kubectl, admin, objects)

    def forbid(self, resource: str) -> None:
        """Take a resource out of the Role."""
        role = json.loads(json.dumps(self._role))
        for rule in role["rules"]:
            rule["resources"] = [each for each in rule["resources"] if each != resource]
        role["rules"] = [rule for rule in role["rules"] if rule["resources"]]
        self.kubectl.apply(role)

    def restore(self) -> None:
        """Make the Role what the chart says."""
        self.kubectl.apply(self._role)

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig that acts as the account."""
        document = yaml.safe_load(self.admin.read_text())
        token = self.kubectl("create", "token", self.name).strip()
        context = next(each for each in document["contexts"] if each["name"] == document["current-context"])["context"]
        context["user"] = self.name
        document["users"] = [{"name": self.name, "user": {"token": token}}]
        path.write_text(json.dumps(document))
        return path

    @property
    def _role(self) -> dict[str, Any]:
        return next(each for each in self.objects if each["kind"] == "Role")
