"""What Envoy is told, as data: checked by Envoy itself, and for the rules that only data shows."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lead_scoring.local import layout, local_replies
from lead_scoring.local.envoy import Upstream, bootstrap
from lead_scoring.local.layout import Choice
from lead_scoring.local.routes import GRPC_METHODS, routes
from lead_scoring.local.run_folder import Variant
from lead_scoring.local.split import Split


def actions(split: Split) -> list[dict[str, Any]]:
    found = routes(model="m", split=split, version="1")
    return [route["route"] for route in found["resources"][0]["virtual_hosts"][0]["routes"]]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1"])  # noqa: S104
def test_envoy_finds_no_fault_with_its_configuration(tmp_path: Path, host: str) -> None:
    routes_file = tmp_path / "xds" / "routes.json"
    routes_file.parent.mkdir()
    routes_file.write_text(json.dumps(routes(model="m", split=Split("v1", "v2", 25), version="1")))
    document = bootstrap(
        host=host,
        port=18080,
        upstreams=[Upstream("v1", 1, 2), Upstream("v2", 3, 4)],
        routes_file=routes_file,
        access_log=tmp_path / "access.log",
    )
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(document))
    envoy = layout.envoy_command(Choice(run_root=tmp_path)).arguments[0]
    checked = subprocess.run(
        [envoy, "--mode", "validate", "-c", str(path)], check=False, capture_output=True, text=True, timeout=120
    )
    assert checked.returncode == 0, checked.stderr
    assert "[warning]" not in checked.stderr


@pytest.mark.parametrize("percent", [0, 100])
def test_the_hash_chooses_only_while_there_is_a_split(percent: int) -> None:
    for action in actions(Split("v1", "v2", percent)):
        assert "hash_policy" not in action
        assert "use_hash_policy" not in action["weighted_clusters"]
        assert len(action["weighted_clusters"]["clusters"]) == 1
    for action in actions(Split("v1", "v2", 25)):
        assert action["weighted_clusters"]["use_hash_policy"] is True
        assert action["hash_policy"] == [{"header": {"header_name": "x-lead-key"}}]
        assert [cluster["weight"] for cluster in action["weighted_clusters"]["clusters"]] == [75, 25]


def test_every_route_mirrors_under_shadow_and_none_otherwise() -> None:
    assert all("request_mirror_policies" in action for action in actions(Split("v1", "v2", 0, 100)))
    assert not any("request_mirror_policies" in action for action in actions(Split("v1", "v2", 50)))


def test_no_method_of_the_repository_is_routed() -> None:
    assert not [method for method in GRPC_METHODS if method.startswith("Repository")]
    assert "epository" not in json.dumps(routes(model="m", split=Split("v1", "v2", 50), version="1"))


def test_transformer_and_predictor_meet_at_a_socket_unless_its_path_is_too_long(tmp_path: Path) -> None:
    variant = Variant("v1", "stable", "1", "/1", 1, 2, 3, 4)
    near, far = Choice(run_root=tmp_path), Choice(run_root=tmp_path / ("deep" * 30))
    predictor, transformer = layout.predictor_command(near, variant), layout.transformer_command(near, variant)
    assert predictor.arguments[-2] == "--socket"
    assert transformer.arguments[-2:] == ["--predictor-socket", predictor.arguments[-1]]
    assert Path(predictor.arguments[-1]).absolute().resolve() == near.folder.root.resolve() / "v1.sock"
    for command in (layout.predictor_command(far, variant), layout.transformer_command(far, variant)):
        assert not [word for word in command.arguments if "socket" in word or word.endswith(".sock")]


def test_local_replies_are_json_for_rest_and_text_for_grpc() -> None:
    for mapper in local_replies.config()["mappers"]:
        text = mapper["body_format_override"]["text_format_source"]["inline_string"]
        if "and_filter" in mapper["filter"]:
            assert "{" not in text
        else:
            assert list(json.loads(text)) == ["error"]
