"""How a stack starts, refuses to start, ends and dies: real processes, small models."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lead_scoring.local import control
from lead_scoring.local.ports import free_ports
from tests.local.traffic import Answer, open_loop, questions
from tests.support.stack import DEADLINE_S, ROOT, Stack, alive, running_stack, small_versions, until


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_versions(tmp_path_factory.mktemp("small"))


@pytest.fixture
def own_stack(tmp_path: Path, stack: Stack, repository: Path) -> Iterator[Stack]:
    """A stack that a test may end, beside the shared one and with its state in the same folder."""
    with running_stack(tmp_path, repository, run_root=stack.folder.root.parent) as own:
        yield own


def command_line(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    code = "import sys; from lead_scoring.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *words], check=False, capture_output=True, text=True, timeout=DEADLINE_S, cwd=cwd
    )


def test_the_printed_curl_works_as_printed(stack: Stack) -> None:
    (line,) = re.findall(r"^  (curl .*)$", stack.output.read_text(), re.MULTILINE)
    answer = subprocess.run(["bash", "-c", line], check=True, capture_output=True, timeout=60, cwd=ROOT)
    (prediction,) = json.loads(answer.stdout)["predictions"]
    assert prediction["score"] in range(1, 6)
    assert prediction["variant"] == "v1"


def test_what_is_printed_is_what_runs(stack: Stack) -> None:
    text = stack.output.read_text()
    rows = re.findall(r"^  (envoy|v\d \w+) +(\S+) +(\d+) +(\d+) +(\d+) +(\S+\.log)$", text, re.MULTILINE)
    assert {row[0]: int(row[4]) for row in rows} == stack.state.pids
    assert len(rows) == 5
    for name, version, rest, _, pid, log in rows:
        assert alive(int(pid))
        assert Path(ROOT, log).exists()
        with socket.create_connection(("127.0.0.1", int(rest)), timeout=30):
            assert version == ("1.40.0" if name == "envoy" else name[1])


def test_everything_listens_on_loopback_alone(stack: Stack) -> None:
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}  # 127.0.0.1, also as gRPC's IPv6 socket holds it
    ports = {stack.port}
    for variant in stack.state.variants:
        ports |= {variant.rest_port, variant.grpc_port, variant.predictor_rest_port, variant.predictor_grpc_port}
    listening = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            address, port = line.split()[1].split(":")
            if line.split()[3] == "0A" and int(port, 16) in ports:
                listening.add(int(port, 16))
                assert address in loopback
    assert listening == ports


def test_status_says_the_same_to_people_and_programs(stack: Stack) -> None:
    words = ("status", "--port", str(stack.port), "--run-root", str(stack.folder.root.parent))
    found = json.loads(command_line(*words, "--json").stdout)
    assert (found["split"], found["in_force"], found["shadow_percent"]) == ({"v1": 100}, True, 0)
    assert [variant["ready"] for variant in found["variants"]] == [True, True]
    table = command_line(*words)
    assert table.returncode == 0
    assert re.search(r"v1 +stable +1 +yes +100 %", table.stdout)
    assert re.search(r"v2 +canary +2 +yes +0 %", table.stdout)


def test_commands_shift_shadow_and_roll_back(stack: Stack) -> None:
    words = ("--port", str(stack.port), "--run-root", str(stack.folder.root.parent))
    assert "v1=75 % v2=25 % (before: v1=100 %); in force after " in command_line("shift", "25", *words).stdout
    refused = command_line("shadow", "100", *words)
    assert (refused.returncode, refused.stderr.count("\n")) == (5, 1)
    assert "roll back first" in refused.stderr
    assert "v1=100 % (before" in command_line("rollback", *words).stdout
    assert "100 % copied to v2" in command_line("shadow", "100", *words).stdout
    assert "v1=100 % (before" in command_line("rollback", *words).stdout


@pytest.mark.parametrize("percent", ["101", "-1", "25.5", "all", ""])
def test_a_percentage_that_is_none_is_wrong_usage(percent: str) -> None:
    assert command_line("shift", "--", percent).returncode == 2


@pytest.mark.parametrize("command", [["shift", "25"], ["shadow", "100"], ["rollback"], ["status"], ["stop"]])
def test_without_a_stack_commands_say_so_in_one_line(tmp_path: Path, command: list[str]) -> None:
    refused = command_line(*command, "--run-root", str(tmp_path), "--port", "1")
    assert refused.returncode == 5
    assert refused.stderr == (f"lead-scoring {command[0]}: no stack runs on port 1; start one with: make run PORT=1\n")


def test_a_taken_port_is_said_in_one_line_before_anything_starts(tmp_path: Path, repository: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = ["--port", str(port), "--repository", str(repository), "--run-root", str(tmp_path)]
        refused = command_line("up", *words)
    assert (refused.returncode, refused.stdout) == (5, "")
    assert refused.stderr == (
        f"lead-scoring up: port {port} is taken; end what listens there or choose another with PORT=\n"
    )
    assert not (tmp_path / str(port) / "logs").exists()


def test_a_stack_on_the_same_port_is_refused_and_the_first_one_stays(stack: Stack, repository: Path) -> None:
    words = ["--port", str(stack.port), "--repository", str(repository), "--run-root", str(stack.folder.root.parent)]
    refused = command_line("up", *words)
    assert (refused.returncode, refused.stderr) == (5, f"lead-scoring up: a stack runs on port {stack.port} already\n")
    assert control.status(stack.folder)["in_force"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stable", "9"], "STABLE=9: no such version of lead-scoring in {repository}; there are: 1, 2"),
        (["--canary", "x"], "CANARY=x: no such version of lead-scoring in {repository}; there are: 1, 2"),
        (["--model", "other"], "STABLE=1: no such version of other in {repository}; there are: none"),
        (["--predictor-python", "/nowhere"], "/nowhere: no such file; make install makes the predictor's environment"),
    ],
)
def test_a_wrong_choice_is_said_in_one_line(tmp_path: Path, repository: Path, words: list[str], message: str) -> None:
    port = str(free_ports(1)[0])
    refused = command_line("up", "--port", port, "--repository", str(repository), "--run-root", str(tmp_path), *words)
    assert refused.returncode == 5
    assert refused.stderr == f"lead-scoring up: {message.format(repository=repository)}\n"


def test_a_canary_that_stopped_gets_no_traffic_and_stable_serves_on(own_stack: Stack) -> None:
    canary, asked = own_stack.state.pids["v2 transformer"], questions(own_stack)
    os.kill(canary, signal.SIGSTOP)
    try:
        with pytest.raises(control.StackError, match="v2 is not ready"):
            control.shift(own_stack.folder, 25, wait_s=0.5)
        stop_after = iter(range(60))
        answers = asyncio.run(open_loop(own_stack, asked, rate_hz=50, until=lambda: next(stop_after, None) is None))
    finally:
        os.kill(canary, signal.SIGCONT)
    assert {answer.variant for answer in answers} == {"v1"}
    assert control.shift(own_stack.folder, 25, wait_s=DEADLINE_S).after.canary_percent == 25


@pytest.mark.parametrize("victim", ["v2 predictor", "envoy"])
def test_a_dead_child_ends_it_all_with_its_last_words(own_stack: Stack, victim: str) -> None:
    pids = own_stack.pids()
    os.kill(own_stack.state.pids[victim], signal.SIGKILL)
    assert own_stack.process.wait(DEADLINE_S) == 5
    text = own_stack.output.read_text()
    assert (
        f"lead-scoring up: {victim} ended (killed by SIGKILL), so the whole stack ends; its last words, from " in text
    )
    assert not any(map(alive, pids))
    assert not own_stack.folder.running


def test_a_version_that_was_altered_never_serves(tmp_path: Path) -> None:
    repository = small_versions(tmp_path)
    with (repository / "lead-scoring" / "2" / "model.ubj").open("ab") as model:
        model.write(b"x")
    port = str(free_ports(1)[0])
    refused = command_line("up", "--port", port, "--repository", str(repository), "--run-root", str(tmp_path / ".run"))
    assert refused.returncode == 5
    assert re.search(r"v2 \w+ ended \(exit code 3\), so the whole stack ends; its last words, from ", refused.stderr)
    assert "altered" in refused.stderr
    assert "scores on" not in refused.stdout


def test_a_killed_runner_leaves_no_orphan(own_stack: Stack) -> None:
    pids = own_stack.pids()
    assert all(map(alive, pids))
    own_stack.process.kill()
    own_stack.process.wait(DEADLINE_S)
    until(lambda: not any(map(alive, pids)), "all are gone")
    assert not own_stack.folder.running


def test_the_end_drops_no_request_that_was_let_in(own_stack: Stack) -> None:
    pids, asked = own_stack.pids(), questions(own_stack)

    async def run() -> list[Answer]:
        loop = asyncio.get_running_loop()
        sending = asyncio.create_task(
            open_loop(own_stack, asked, rate_hz=50, until=lambda: own_stack.process.poll() is not None)
        )
        loop.call_later(1.0, own_stack.process.send_signal, signal.SIGTERM)
        return await sending

    answers = asyncio.run(run())
    assert own_stack.process.wait(DEADLINE_S) == 0
    assert {answer.status for answer in answers} == {"ok", "refused"}
    assert Counter(fault for answer in answers if answer.status == "ok" for fault in answer.faults) == {}
    assert not any(map(alive, pids))
    last_word_ns = {path.stem: path.stat().st_mtime_ns for path in own_stack.folder.logs.glob("*.log")}
    transformers = [last_word_ns["v1-transformer"], last_word_ns["v2-transformer"]]
    assert last_word_ns["envoy"] < min(transformers)
    assert max(transformers) < min(last_word_ns["v1-predictor"], last_word_ns["v2-predictor"])
    text = own_stack.output.read_text()
    assert "had to kill" not in text
    assert re.search(r"^ended after [\d.]+ s$", text, re.MULTILINE)


def test_a_second_ctrl_c_kills_at_once(own_stack: Stack) -> None:
    pids = own_stack.pids()
    for name in ("v1 transformer", "v2 predictor"):
        os.kill(own_stack.state.pids[name], signal.SIGSTOP)  # they would need all of their grace
    own_stack.process.send_signal(signal.SIGHUP)  # as when the terminal is closed
    until(lambda: "ending:" in own_stack.output.read_text(), "it ends")
    own_stack.process.send_signal(signal.SIGINT)
    assert own_stack.process.wait(15) == 0  # each of the two stopped processes would get 20 s
    assert "had to kill" in own_stack.output.read_text()
    assert not any(map(alive, pids))


def test_make_run_and_its_commands(tmp_path: Path) -> None:
    """As a person would; what `make install` made is taken as it is."""
    environments = ["-o", "install"]
    with running_stack(
        tmp_path,
        ROOT / "model-repo",
        run_root=ROOT / ".run",
        command=["make", *environments, "run", "PORT={port}", "CANARY=1"],
    ) as own:
        pids = [*own.pids(), own.state.pid]
        assert [variant.name for variant in own.state.variants] == ["v1", "v1-canary"]
        for target, said in (
            (["shift", "CANARY=25"], "v1=75 % v1-canary=25 % (before: v1=100 %)"),
            (["rollback"], "v1=100 % (before: v1=75 % v1-canary=25 %)"),
            (["shadow", "PERCENT=100"], "v1=100 %, 100 % copied to v1-canary (before: v1=100 %)"),
            (["status"], "v1-canary"),
        ):
            done = subprocess.run(
                ["make", *target, f"PORT={own.port}"], check=True, cwd=ROOT, capture_output=True, text=True, timeout=60
            )
            assert said in done.stdout
        os.killpg(own.process.pid, signal.SIGINT)  # as a terminal does at Ctrl-C
        own.process.wait(DEADLINE_S)
        until(lambda: not any(map(alive, pids)), "all are gone")
        assert re.search(r"^ended after [\d.]+ s$", own.output.read_text(), re.MULTILINE)
        shutil.rmtree(own.folder.root)
