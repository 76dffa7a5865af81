"""Every setting of the transformer: its flag, its environment variable, its default and its bounds."""

from __future__ import annotations

import argparse
import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from lead_transformer.messages import MAX_LEADS

__all__ = ["Settings", "arguments", "parse"]

Tracing = Literal["auto", "on", "off"]

_EPILOG = """example:
  python -m lead_transformer --model-dir model-repo/lead-scoring/1 --predictor_host 127.0.0.1:9081 \\
    --http_port 8080 --grpc_port 8081

Every flag is also an environment variable: --max-leads is TRANSFORMER_MAX_LEADS. A flag wins.
exit codes: 0 drained after SIGTERM or SIGINT, 2 usage or contract, 3 a folder that can't be trusted,
  5 a port that can't be used"""


def _setting(default: Any, text: str, *, flag: str | None = None, parse: Callable[[str], Any] | None = None) -> Any:
    """Describe one setting; `flag` where it is not the field's name with hyphens."""
    return field(default=default, metadata={"help": text, "flag": flag, "parse": parse})


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("expected a port in [0, 65535]")
    return int(text)


def _count(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"expected a whole number in [{low}, {high}]")
        return int(text)

    return read


def _duration(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected a number in [{low:g}, {high:g}]")
        return value

    return read


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError("expected true or false")
    return text.lower() in ("true", "1")


def _choice(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise argparse.ArgumentTypeError(f"expected one of {', '.join(allowed)}")
        return text

    return read


# ruff: noqa: RUF009 (`_setting` returns a dataclass field)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the process is told; `docs/configuration.md` says what each one does when it is wrong."""

    model_dir: Path = _setting(Path("/mnt/models"), "version folder", parse=Path)
    variant: str = _setting("", 'name of this variant; empty for "v" and the model\'s version')
    # The default is the pod's own address.
    host: str = _setting("0.0.0.0", "address that REST and gRPC listen on")  # noqa: S104  # nosec B104
    http_port: int = _setting(8080, "REST port; 0 for a free one, said in the log", flag="--http_port", parse=_port)
    grpc_port: int = _setting(8081, "gRPC port; 0 for a free one, said in the log", flag="--grpc_port", parse=_port)
    enable_grpc: bool = _setting(True, "serve gRPC too", flag="--enable_grpc", parse=_switch)
    predictor_host: str = _setting("127.0.0.1:9081", "host:port of the predictor's gRPC", flag="--predictor_host")
    predictor_socket: str = _setting("", "unix socket of the predictor's fast door; empty for gRPC alone")
    max_leads: int = _setting(MAX_LEADS, "most leads in a request", parse=_count(1, MAX_LEADS))
    deadline_ms: int = _setting(900, "longest that a request may take", parse=_count(1, 600_000))
    deadline_margin_ms: int = _setting(
        20, "kept back from the time that gateway or caller allow, for the way home", parse=_count(0, 10_000)
    )
    concurrency: int = _setting(16, "requests in work at a time", parse=_count(1, 10_000))
    queue: int = _setting(64, "requests that may wait for work", parse=_count(0, 100_000))
    queue_wait_ms: int = _setting(150, "longest that a request may wait for work", parse=_count(1, 600_000))
    max_body_bytes: int = _setting(
        4 * 1024 * 1024, "largest request, REST after decompression", parse=_count(1024, 1024 * 1024 * 1024)
    )
    max_header_bytes: int = _setting(32 * 1024, "most bytes of request headers", parse=_count(1024, 1024 * 1024))
    max_connections: int = _setting(2048, "REST connections at a time", parse=_count(1, 1_000_000))
    max_streams: int = _setting(256, "requests at a time on one gRPC connection", parse=_count(1, 1_000_000))
    receive_timeout_s: float = _setting(10.0, "longest that sending a request may take", parse=_duration(0.1, 600))
    keep_alive_s: int = _setting(
        65, "idle REST connections are closed after this", flag="--timeout-keep-alive", parse=_count(1, 3600)
    )
    drain_s: float = _setting(1.0, "still answering new requests after SIGTERM, not ready", parse=_duration(0, 600))
    grace_s: int = _setting(15, "running requests may take this long after that", parse=_count(1, 600))
    check_interval_s: float = _setting(1.0, "between two deep checks of readiness", parse=_duration(0.05, 3600))
    check_timeout_ms: int = _setting(500, "longest that a deep check may take", parse=_count(1, 600_000))
    check_failures: int = _setting(3, "deep checks that fail in a row before unready", parse=_count(1, 1000))
    predictor_silence_s: float = _setting(
        4.0, "no answer from the predictor for this long: /health/predictor says 503", parse=_duration(0.1, 3600)
    )
    access_log: bool = _setting(True, "log one line per request", parse=_switch)
    log_level: str = _setting(
        "INFO", "least severe messages logged", parse=_choice("DEBUG", "INFO", "WARNING", "ERROR")
    )
    tracing: Tracing = _setting(
        "auto", "OpenTelemetry: on, off, or auto, on if an OTLP endpoint is set", parse=_choice("auto", "on", "off")
    )
    event_loop: str = _setting(
        "auto", "auto and uvloop, or asyncio", flag="--event-loop", parse=_choice("auto", "uvloop", "asyncio")
    )


_REFUSED = {
    "workers": "run more pods: a pod is one process",
    "enable_docs_url": "the API is described in docs/, and never served",
    "predictor_use_ssl": "the predictor is on loopback",
    "predictor_request_retries": "one retry, on connect failure only, is built in",
    "predictor_request_timeout_seconds": "set --deadline-ms",
    "access_log_format": "set --access-log",
    "log_config_file": "set --log-level; logs are JSON",
    "ssl_certfile": "TLS ends at the gateway",
    "ssl_keyfile": "TLS ends at the gateway",
}
"""Flags of the SDK that would be ignored here: refused, with what to do instead, unless they say what is so anyway."""


def flag_of(name: str) -> str:
    """Return the flag of a setting."""
    declared = next(item.metadata["flag"] for item in fields(Settings) if item.name == name)
    return declared or "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """Return the environment variable of a setting; the prefix keeps it from Kubernetes' own (``HTTP_PORT=tcp://…``)."""
    return f"TRANSFORMER_{name.upper()}"


def arguments(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the parser: the SDK's flags, so that whatever starts a KServe transformer can start this one, and ours."""
    from kserve.model_server import parser as sdk

    parser = argparse.ArgumentParser(
        "lead_transformer",
        description="Validate, encode, score, bucket and explain leads in front of the predictor (V2, V1).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[copy.deepcopy(sdk)],  # resolving conflicts changes the parent too
        conflict_handler="resolve",
        allow_abbrev=False,
    )
    for item in fields(Settings):
        given = environment.get(variable_of(item.name))
        parser.add_argument(
            flag_of(item.name),
            dest=item.name,
            default=item.default if given is None else given,
            type=item.metadata["parse"] or str,
            help=f"{item.metadata['help']} ({variable_of(item.name)}, {str(item.default) or 'empty'})",
        )
    return parser


def parse(argv: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the arguments, then the environment.

    Raises:
        SystemExit: with 2 and a line on stderr for an unknown flag, a wrong value, or an SDK flag without effect.
    """
    parser = arguments(os.environ if environment is None else environment)
    options = parser.parse_args(argv)
    for name, remedy in _REFUSED.items():
        if getattr(options, name) != parser.get_default(name):
            parser.error(f"--{name} has no effect here: {remedy}")
    settings = Settings(**{item.name: getattr(options, item.name) for item in fields(Settings)})
    if settings.predictor_host.count(":") != 1 or not settings.predictor_host.rpartition(":")[2].isdecimal():
        parser.error("--predictor_host: expected host:port")
    return settings
