"""`lead-scoring up`, `shift`, `shadow`, `rollback`, `status`, `stop`: the whole service on this machine."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lead_scoring.local.control import Change
    from lead_scoring.local.run_folder import RunFolder

__all__ = ["register"]

_DEFAULT_PORT = 8080


def register(commands: Any) -> None:
    """Add the commands of this group to the parser."""
    up = _add(commands, "up", _up, "start Envoy, and transformer and MLServer for stable and canary", "up --port 8081")
    up.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback only)")
    up.add_argument("--stable", default="1", metavar="VERSION", help="version that gets the traffic (default: 1)")
    up.add_argument("--canary", default="2", metavar="VERSION", help="version that is to prove itself (default: 2)")
    up.add_argument("--model", default="lead-scoring", help="name of the model (default: lead-scoring)")
    up.add_argument(
        "--repository", type=Path, default=Path("model-repo"), help="folder of the models (default: model-repo)"
    )
    up.add_argument(
        "--predictor-python",
        type=Path,
        default=Path("predictors/.venv/bin/python"),
        help="Python of MLServer's own environment (default: predictors/.venv/bin/python)",
    )
    up.add_argument(
        "--ready-within-s", type=float, default=120.0, metavar="S", help="give up after this long (default: 120)"
    )
    up.add_argument("--verbose", action="store_true", help="show all output of the processes, not warnings alone")

    shift = _add(commands, "shift", _shift, "give the canary a share of the traffic, sticky by x-lead-key", "shift 25")
    shift.add_argument("percent", type=_percent, help="the canary's share, 0 to 100")
    _add_wait(shift)
    shadow = _add(commands, "shadow", _shadow, "send the canary copies of a share of the requests", "shadow 100")
    shadow.add_argument("percent", type=_percent, help="share of the requests that are copied, 0 to 100")
    _add_wait(shadow)
    _add(commands, "rollback", _rollback, "give everything back to stable", "rollback")
    status = _add(commands, "status", _status, "show what runs where and how traffic is split", "status --json")
    status.add_argument("--json", action="store_true", help="for programs")
    _add(commands, "stop", _stop, "end the stack as Ctrl-C does", "stop")


def _add(commands: Any, name: str, run: Callable[[argparse.Namespace], int | None], text: str, example: str) -> Any:
    command = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"example: lead-scoring {example}. Exit codes: 0 done, 2 wrong usage or contract, 5 stack.",
    )
    command.add_argument("--port", type=int, default=_DEFAULT_PORT, help=f"the stack's port (default: {_DEFAULT_PORT})")
    command.add_argument("--run-root", type=Path, default=Path(".run"), help="where state is kept (default: .run)")
    command.set_defaults(run=run)
    return command


def _add_wait(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--wait-s", type=float, default=10.0, metavar="S", help="wait so long for a ready canary (default: 10)"
    )


def _percent(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else -1
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError("expected a whole number from 0 to 100")
    return value


def _folder(options: argparse.Namespace) -> RunFolder:
    from lead_scoring.local.run_folder import RunFolder

    return RunFolder((options.run_root / str(options.port)).absolute())


def _up(options: argparse.Namespace) -> int:
    from lead_scoring.local import stack
    from lead_scoring.local.layout import Choice

    choice = Choice(
        port=options.port,
        host=options.host,
        stable=options.stable,
        canary=options.canary,
        model=options.model,
        repository=options.repository,
        run_root=options.run_root,
        predictor_python=options.predictor_python,
        ready_within_s=options.ready_within_s,
        verbose=options.verbose,
    )
    stack.run(choice, lambda line: print(line, flush=True))
    return 0


def _shift(options: argparse.Namespace) -> int:
    from lead_scoring.local import control

    return _report(control.shift(_folder(options), options.percent, wait_s=options.wait_s))


def _shadow(options: argparse.Namespace) -> int:
    from lead_scoring.local import control

    return _report(control.shadow(_folder(options), options.percent, wait_s=options.wait_s))


def _rollback(options: argparse.Namespace) -> int:
    from lead_scoring.local import control

    return _report(control.rollback(_folder(options)))


def _report(change: Change) -> int:
    print(f"{change.after} (before: {change.before}); in force after {change.took_s * 1000:.0f} ms")
    return 0


def _status(options: argparse.Namespace) -> int:
    from lead_scoring.local import control
    from lead_scoring.local.summary import table

    found = control.status(_folder(options))
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    waiting = "" if found["in_force"] else " (not in force yet)"
    print(f"{found['model']} on {found['url']}, up {found['up_s']:.0f} s{waiting}")
    rows = [
        [
            variant["name"],
            variant["role"],
            variant["version"],
            "yes" if variant["ready"] else "no",
            f"{variant['percent']} %",
            f"{found['shadow_percent']} %" if variant["role"] == "canary" else "",
            str(variant["rest_port"]),
            str(variant["grpc_port"]),
        ]
        for variant in found["variants"]
    ]
    print(table(["variant", "role", "version", "ready", "traffic", "shadow", "REST", "gRPC"], rows))
    print(table(["process", "pid"], [[process["name"], str(process["pid"])] for process in found["processes"]]))
    return 0


def _stop(options: argparse.Namespace) -> int:
    from lead_scoring.local import control

    control.stop(_folder(options))
    print("ended")
    return 0
