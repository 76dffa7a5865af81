"""skaffold.yaml: an artifact per image, a profile per overlay; Skaffold's own schema (Apache-2.0) lies beside."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.stack import ROOT

SCHEMA = json.loads((Path(__file__).parent / "skaffold-v4beta13.json").read_text())
IMAGE = re.compile(r"^\s+image: ([^:@\s]+)", re.MULTILINE)
PARTS = ["controller", "predictor", "transformer"]


@pytest.fixture
def config() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    return found


def test_skaffold_understands_it(config: dict[str, Any]) -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(config)


def test_the_schema_refuses_what_skaffold_does_not_know(config: dict[str, Any]) -> None:
    broken = copy.deepcopy(config)
    broken["build"]["artifacts"][0]["dockerfile"] = "x"
    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(broken)


def test_an_artifact_per_image(config: dict[str, Any]) -> None:
    found = {name(artifact["image"]): artifact["docker"]["dockerfile"] for artifact in config["build"]["artifacts"]}
    assert {f"lead-{part}": f"{part}s/Dockerfile" for part in PARTS} == found
    assert all((ROOT / path).is_file() for path in found.values())


def test_a_profile_per_overlay(config: dict[str, Any]) -> None:
    paths = {profile["name"]: profile["manifests"]["kustomize"]["paths"] for profile in config["profiles"]}
    overlays = {folder.name for folder in (ROOT / "manifests" / "overlays").iterdir()}
    assert {overlay: [f"manifests/overlays/{overlay}"] for overlay in overlays} == paths


def test_a_profile_names_the_images_as_its_overlay_does(config: dict[str, Any]) -> None:
    for profile in config["profiles"]:
        artifacts = [artifact["image"] for artifact in config["build"]["artifacts"]]
        for patch in profile.get("patches", []):
            *path, position, field = patch["path"].strip("/").split("/")
            assert (patch["op"], path, field) == ("replace", ["build", "artifacts"], "image")
            assert name(patch["value"]) == name(artifacts[int(position)])
            artifacts[int(position)] = patch["value"]
        rendered = (ROOT / "manifests" / "rendered" / profile["name"]).glob("*.yaml")
        images = {found for file in rendered for found in IMAGE.findall(file.read_text())}
        assert images == set(artifacts), profile["name"]


def name(image: str) -> str:
    """Return the last part of an image's repository."""
    return image.rpartition("/")[2]
