"""Before anything is served: the folder is checked, the settings are ours, and a fault is one line and an exit code."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
from running import DEADLINE_S, MODEL, Predictor, infer, running
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from lead_scoring.packaging import folder as folders

FREE = ("--http-port", "0", "--grpc-port", "0")


def run(*options: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lead_predictor", *options]
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def refused(result: subprocess.CompletedProcess[str], code: int, fragment: str) -> None:
    assert result.returncode == code, result
    assert result.stderr.startswith("lead_predictor: ")
    assert result.stderr.count("\n") == 1, result.stderr
    assert fragment in result.stderr
    assert '"ready"' not in result.stdout


def copy_of(folder: Path, to: Path) -> Path:
    copy = to / "1"
    shutil.copytree(folder, copy)
    for path in copy.iterdir():
        path.chmod(0o644)
    return copy


def sign(folder: Path) -> None:
    """Make `SHA256SUMS` true again, as someone who may write the folder could."""
    names = sorted(path.name for path in folder.iterdir() if path.name != folders.SUMS)
    (folder / folders.SUMS).write_text("".join(f"{folders.digest(folder / name)}  {name}\n" for name in names))


def alter_model(folder: Path) -> None:
    data = bytearray((folder / folders.MODEL).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / folders.MODEL).write_bytes(data)


def truncate_model(folder: Path) -> None:
    path = folder / folders.MODEL
    path.write_bytes(path.read_bytes()[:1000])
    sign(folder)


def pickle_as_model(folder: Path) -> None:
    (folder / folders.MODEL).write_bytes(b"cos\nsystem\n(S'touch planted'\ntR.")
    sign(folder)


def json_as_model(folder: Path) -> None:
    (folder / folders.MODEL).write_bytes(b'{"learner": {}}')
    sign(folder)


def plant_module(folder: Path) -> None:
    (folder / "lead_predictor.py").write_text("open('planted', 'w')")


def sign_a_planted_module(folder: Path) -> None:
    plant_module(folder)
    sign(folder)


def name_a_foreign_class(folder: Path) -> None:
    path = folder / folders.SETTINGS
    settings = json.loads(path.read_bytes())
    path.write_text(json.dumps({**settings, "implementation": "planted.Runtime"}))
    (folder.parent / "planted.py").write_text("open('planted', 'w')")
    sign(folder)


def ask_for_batching(folder: Path) -> None:
    path = folder / folders.SETTINGS
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "max_batch_size": 10}))
    sign(folder)


def another_answer(folder: Path) -> None:
    path = folder / folders.CONTRACT
    contract = json.loads(path.read_bytes())
    contract["golden"]["leads"][3]["probability"] += 1e-3
    path.write_text(json.dumps(contract))
    sign(folder)


def another_score(folder: Path) -> None:
    path = folder / folders.CONTRACT
    contract = json.loads(path.read_bytes())
    contract["golden"]["leads"][-1]["score"] = 6 - contract["golden"]["leads"][-1]["score"]
    path.write_text(json.dumps(contract))
    sign(folder)


def no_golden_leads(folder: Path) -> None:
    path = folder / folders.CONTRACT
    contract = json.loads(path.read_bytes())
    contract["golden"]["leads"] = []
    path.write_text(json.dumps(contract))
    sign(folder)


def remove_model(folder: Path) -> None:
    (folder / folders.MODEL).unlink()


FAULTS: dict[str, tuple[Callable[[Path], None], int]] = {
    "altered model": (alter_model, 3),
    "truncated model": (truncate_model, 3),
    "pickle": (pickle_as_model, 3),
    "JSON of no model": (json_as_model, 3),
    "planted module": (plant_module, 3),
    "signed planted module": (sign_a_planted_module, 3),
    "foreign class": (name_a_foreign_class, 3),
    "other settings": (ask_for_batching, 3),
    "another probability": (another_answer, 3),
    "another score": (another_score, 3),
    "no golden leads": (no_golden_leads, 3),
    "no model": (remove_model, 3),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_folder_that_cannot_be_trusted_is_never_served(folder: Path, tmp_path: Path, fault: str) -> None:
    change, code = FAULTS[fault]
    copy = copy_of(folder, tmp_path)
    change(copy)
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    result = run("--model-dir", str(copy), *FREE, cwd=cwd, env={"PYTHONPATH": str(tmp_path)})
    refused(result, code, str(copy))
    assert list(cwd.iterdir()) == []


def test_the_folder_is_checked_before_mlserver_is_imported(folder: Path, tmp_path: Path) -> None:
    copy = copy_of(folder, tmp_path)
    alter_model(copy)
    script = (
        "import sys; from lead_predictor.__main__ import main; code = main(); "
        "print(code, sorted({'mlserver', 'xgboost', 'grpc', 'fastapi'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", script, "--model-dir", str(copy), *FREE]
    result = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert result.stdout == "3 []\n", result


def test_a_contract_that_is_malformed_ends_with_its_own_code(folder: Path, tmp_path: Path) -> None:
    copy = copy_of(folder, tmp_path)
    (copy / folders.CONTRACT).write_text("{}")
    sign(copy)
    refused(run("--model-dir", str(copy), *FREE, cwd=tmp_path), 2, "contract.json")


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    refused(run("--model-dir", str(tmp_path / "nowhere"), *FREE, cwd=tmp_path), 3, "nowhere")


@pytest.mark.parametrize("option", ["--http-port", "--grpc-port"])
def test_a_taken_port_is_one_line(folder: Path, tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("--model-dir", str(folder), *FREE, option, str(port), cwd=tmp_path)
        refused(result, 5, f"port {port} on 127.0.0.1")


def test_two_predictors_never_share_a_grpc_port(heavy: Predictor, folder: Path, tmp_path: Path) -> None:
    result = run("--model-dir", str(folder), "--http-port", "0", "--grpc-port", str(heavy.grpc_port), cwd=tmp_path)
    refused(result, 5, "gRPC port")


@pytest.mark.parametrize(
    ("options", "env", "fragment"),
    [
        (["--host", "0.0.0.0"], {}, "--expose-unvalidated-and-unauthenticated"),  # noqa: S104
        (["--host", "::"], {}, "--expose-unvalidated-and-unauthenticated"),
        (["--host", "example.org"], {}, "--expose-unvalidated-and-unauthenticated"),
        (["--http-port", "65536"], {}, "a port in [0, 65535]"),
        ([], {"PREDICTOR_GRPC_PORT": "many"}, "a port in [0, 65535]"),
        ([], {"OMP_NUM_THREADS": "0"}, "OMP_NUM_THREADS"),
        ([], {"OMP_NUM_THREADS": "all"}, "OMP_NUM_THREADS"),
    ],
)
def test_wrong_usage_ends_with_2(
    folder: Path, tmp_path: Path, options: list[str], env: dict[str, str], fragment: str
) -> None:
    result = run("--model-dir", str(folder), *options, cwd=tmp_path, env=env)
    assert result.returncode == 2
    assert fragment in result.stderr


def test_the_loud_flag_opens_other_addresses(folder: Path, tmp_path: Path) -> None:
    options = ("--host", "0.0.0.0", "--expose-unvalidated-and-unauthenticated", *FREE)  # noqa: S104
    with running(folder, tmp_path, *options) as predictor:
        assert predictor.log[0]["host"] == "0.0.0.0"  # noqa: S104


def test_help_has_an_example(tmp_path: Path) -> None:
    result = run("--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "python -m lead_predictor --model-dir model-repo/lead-scoring/1" in result.stdout


def test_nothing_around_it_changes_its_settings_and_it_writes_nothing(folder: Path, tmp_path: Path) -> None:
    """Environment, `.env` and `settings.json` as a hostile neighbour would leave them."""
    hostile = {
        "MLSERVER_DEBUG": "true",
        "MLSERVER_HOST": "0.0.0.0",  # noqa: S104
        "MLSERVER_PARALLEL_WORKERS": "2",
        "MLSERVER_METRICS_ENDPOINT": "/metrics",
        "MLSERVER_MODEL_REPOSITORY_ROOT": "/",
        "MLSERVER_MODEL_IMPLEMENTATION": "planted.Runtime",
        "MLSERVER_MODEL_NAME": "another",
        "MLSERVER_MODEL_MAX_BATCH_SIZE": "100",
        "MLSERVER_MODEL_MAX_BATCH_TIME": "1",
        "MLSERVER_MODEL_URI": "/etc/passwd",
        "MLSERVER_SERVER_VERSION": "planted",
        "MLSERVER_EXTENSIONS": '["planted"]',
        "MLSERVER_CACHE_ENABLED": "true",
        "MLSERVER_KAFKA_ENABLED": "true",
        "MLSERVER_TRACING_SERVER": "localhost:4317",
        "MLSERVER_LOGGING_SETTINGS": str(tmp_path / "logging.json"),
    }
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    (cwd / ".env").write_text("".join(f"{name}={value}\n" for name, value in hostile.items()))
    (cwd / "settings.json").write_text(json.dumps({"debug": True, "parallel_workers": 2, "host": "0.0.0.0"}))  # noqa: S104
    before = sorted(cwd.iterdir())
    env = {**hostile, "MODEL_DIR": str(folder), "PREDICTOR_HTTP_PORT": "0", "PREDICTOR_GRPC_PORT": "0"}
    with running(folder, cwd, *FREE, env=env) as predictor, predictor.channel() as channel:
        assert predictor.log[0]["host"] == "127.0.0.1"
        stub = GRPCInferenceServiceStub(channel)
        told = stub.ModelMetadata(pb.ModelMetadataRequest(name=MODEL), timeout=DEADLINE_S)
        assert (told.name, list(told.versions)) == (MODEL, ["1"])
        server = stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=DEADLINE_S)
        assert (server.version, list(server.extensions)) == ("1.7.1", [])
        assert infer(channel, np.zeros((2, 8), dtype=np.float32))["margin"].shape == (2,)
        children = Path(f"/proc/{predictor.process.pid}/task/{predictor.process.pid}/children").read_text()
        assert children == ""
    assert sorted(cwd.iterdir()) == before


def test_the_environment_says_which_folder_and_ports(folder: Path, tmp_path: Path) -> None:
    env = {"MODEL_DIR": str(folder), "PREDICTOR_HTTP_PORT": "0", "PREDICTOR_GRPC_PORT": "0"}
    environment = {**os.environ, **env}
    process = subprocess.Popen(
        [sys.executable, "-m", "lead_predictor"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["message"] == "listening"
    finally:
        process.kill()
        process.communicate()


def test_not_ready_and_no_answer_until_the_golden_leads_scored_right(folder: Path, tmp_path: Path) -> None:
    """Hold the load back with a pipe in the place of the model's check, and knock at every door meanwhile."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (tmp_path / "sitecustomize.py").write_text(
        "import lead_scoring.packaging.verify as module\n"
        "checked = module.verify\n"
        "def slow(path):\n"
        f"    open({str(gate)!r}).read()\n"
        "    return checked(path)\n"
        "module.verify = slow\n"
    )
    predictor = Predictor(folder, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    try:
        predictor.wait_for("listening")
        assert statuses(predictor) == {"live": 200, "ready": 503, "model": 503, "metadata": 503, "infer": 503}
        with predictor.channel() as channel:
            stub = GRPCInferenceServiceStub(channel)
            assert stub.ServerLive(pb.ServerLiveRequest(), timeout=DEADLINE_S).live
            assert not stub.ServerReady(pb.ServerReadyRequest(), timeout=DEADLINE_S).ready
            assert not stub.ModelReady(pb.ModelReadyRequest(name=MODEL), timeout=DEADLINE_S).ready
            for call, request in (
                (stub.ModelInfer, pb.ModelInferRequest(model_name=MODEL)),
                (stub.ModelMetadata, pb.ModelMetadataRequest(name=MODEL)),
            ):
                with pytest.raises(grpc.RpcError) as early:
                    call(request, timeout=DEADLINE_S)
                assert early.value.code() is grpc.StatusCode.UNAVAILABLE
            gate.write_text("go")
            line = predictor.wait_for("ready")
            assert line["golden_leads"] == len(folders.read_verified(folder).contract.golden.leads) >= 50
            assert stub.ServerReady(pb.ServerReadyRequest(), timeout=DEADLINE_S).ready
            assert statuses(predictor) == {"live": 200, "ready": 200, "model": 200, "metadata": 200, "infer": 400}
    finally:
        predictor.kill()


def statuses(predictor: Predictor) -> dict[str, int]:
    paths = {
        "live": "/v2/health/live",
        "ready": "/v2/health/ready",
        "model": f"/v2/models/{MODEL}/ready",
        "metadata": f"/v2/models/{MODEL}",
        "infer": f"/v2/models/{MODEL}/infer",
    }
    connection = http.client.HTTPConnection("127.0.0.1", predictor.http_port, timeout=DEADLINE_S)
    found = {}
    try:
        for name, path in paths.items():
            connection.request("POST" if name == "infer" else "GET", path, b"{}" if name == "infer" else None)
            response = connection.getresponse()
            response.read()
            found[name] = response.status
    finally:
        connection.close()
    return found


def test_one_thread_of_xgboost_unless_told_otherwise(folder: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    for env, expected in ((environment, 1), ({**environment, "OMP_NUM_THREADS": "2"}, 2)):
        command = [sys.executable, "-m", "lead_predictor", "--model-dir", str(folder), *FREE]
        with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    if (found := json.loads(line))["message"] == "ready":
                        assert found["threads"] == expected
                        break
                else:
                    pytest.fail("never ready")
            finally:
                process.kill()


def test_a_folder_of_another_name_serves_the_version_of_its_contract(folder: Path, tmp_path: Path) -> None:
    """In a pod the folder is mounted under a name of its own."""
    mounted = tmp_path / "models"
    shutil.copytree(folder, mounted)
    with running(mounted, tmp_path) as predictor:
        assert predictor.log[-1]["version"] == "1"


def test_the_runtime_refuses_settings_that_are_not_the_contract_s(folder: Path) -> None:
    """As a stock MLServer with settings of its own might use it."""
    script = f"""
import asyncio
from mlserver.settings import ModelParameters, ModelSettings
from lead_predictor import LeadScoringRuntime
settings = ModelSettings(
    name="another", implementation=LeadScoringRuntime, parameters=ModelParameters(uri={str(folder / "model.ubj")!r})
)
asyncio.run(LeadScoringRuntime(settings).load())
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert result.stderr.splitlines()[-1].startswith(
        "lead_scoring.errors.PackageError: the model's settings name another"
    )
