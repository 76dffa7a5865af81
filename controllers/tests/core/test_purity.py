"""The planner is pure: no client, no clock, no process, no file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOREIGN = {"kubernetes", "prometheus_client", "urllib3", "socket", "subprocess", "threading", "asyncio", "logging"}


def test_importing_the_planner_imports_no_io() -> None:
    """Neither a Kubernetes client nor anything else that reaches outside."""
    code = "import sys, lead_controller.planner; print(*{name.split('.')[0] for name in sys.modules})"
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"]
    found = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split()
    assert "lead_controller" in found
    assert FOREIGN.isdisjoint(found)


def test_nothing_pure_reads_the_clock() -> None:
    """Time comes in as an argument."""
    sources = Path(__file__).parents[2] / "lead_controller"
    pure = ["planner", "view", "desired", "shares", "lanes", "routes", "policies", "autoscalers", "demand", "drift"]
    for name in [*pure, "events", "observation", "status", "model", "config", "names"]:
        text = (sources / f"{name}.py").read_text()
        assert ".now(" not in text
        assert "import time" not in text
