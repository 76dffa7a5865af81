"""Settings come from flags, then the environment; what can't be honoured is refused; all of them are explained."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from lead_transformer.settings import Settings, flag_of, parse

from tests.transformer.service.processes import ROOT


def test_flags_win_over_the_environment_and_both_over_the_defaults() -> None:
    settings = parse(
        ["--max-leads", "7", "--http_port", "1"],
        {"TRANSFORMER_MAX_LEADS": "8", "TRANSFORMER_QUEUE": "9", "TRANSFORMER_PREDICTOR_HOST": "h:1"},
    )
    assert (settings.max_leads, settings.http_port, settings.queue, settings.predictor_host) == (7, 1, 9, "h:1")
    assert parse([], {}) == Settings()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--max-leads", "501"],
        ["--max-leads", "0"],
        ["--http_port", "65536"],
        ["--deadline-ms", "-1"],
        ["--drain-s", "nan"],
        ["--access-log", "maybe"],
        ["--log-level", "LOUD"],
        ["--predictor_host", "somewhere"],
        ["--predictor_host", "unix:x:y"],
        ["--max-lead", "5"],
        ["--unheard-of"],
        ["--workers", "2"],
        ["--enable_docs_url", "true"],
        ["--predictor_use_ssl", "true"],
        ["--predictor_request_retries", "3"],
        ["--ssl_keyfile", "x"],
    ],
)
def test_what_is_wrong_or_would_be_ignored_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(arguments, {})
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_what_kubernetes_says_of_a_service_called_grpc_is_not_meant_for_us() -> None:
    assert parse([], {"GRPC_PORT": "tcp://10.0.0.1:80", "HOST": "elsewhere"}).grpc_port == 8081


def test_a_wrong_environment_variable_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([], {"TRANSFORMER_GRPC_PORT": "tcp://10.0.0.1:80"})
    assert "--grpc_port" in capsys.readouterr().err


def test_what_kserve_passes_is_accepted() -> None:
    settings = parse(
        ["--model_name", "lead-scoring", "--predictor_host", "127.0.0.1:9081", "--http_port", "8080",
         "--protocol", "grpc-v2", "--enable_latency_logging", "true", "--max_threads", "4"], {},
    )  # fmt: skip
    assert settings.predictor_host == "127.0.0.1:9081"


def test_every_setting_is_explained_with_its_default() -> None:
    rows = re.findall(
        r"^\| `(--[a-zA-Z_-]+)` \| `([A-Z_]+)` \| ([^|]*) \|",
        (ROOT / "docs" / "configuration.md").read_text(),
        re.MULTILINE,
    )
    explained = {flag: (variable, default.strip()) for flag, variable, default in rows}
    declared = {
        flag_of(item.name): (
            f"TRANSFORMER_{item.name.upper()}",
            f"`{str(item.default).lower() if isinstance(item.default, bool) else item.default}`",
        )
        for item in fields(Settings)
    }
    assert explained == {
        flag: (variable, "" if default == "``" else default) for flag, (variable, default) in declared.items()
    }


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lead_transformer", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_help_lists_every_flag_and_has_an_example() -> None:
    ended = run("--help")
    assert ended.returncode == 0
    for item in fields(Settings):
        assert flag_of(item.name) in ended.stdout
    assert "python -m lead_transformer --model-dir" in ended.stdout


def test_a_taken_port_is_said_in_one_line(folder: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as another gRPC server would, to share the port
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        rest = run("--model-dir", str(folder), "--host", "127.0.0.1", "--http_port", port, "--grpc_port", "0")
        rpc = run("--model-dir", str(folder), "--host", "127.0.0.1", "--http_port", "0", "--grpc_port", port)
    for ended in (rest, rpc):
        assert ended.returncode == 5
        assert ended.stderr.count("\n") == 1
        assert port in ended.stderr


def test_a_missing_folder_or_another_models_name_is_said_in_one_line(folder: Path, tmp_path: Path) -> None:
    missing = run("--model-dir", str(tmp_path / "none"))
    assert (missing.returncode, missing.stderr.count("\n")) == (3, 1)
    other = run("--model-dir", str(folder), "--model_name", "other")
    assert (other.returncode, other.stderr.count("\n")) == (2, 1)
