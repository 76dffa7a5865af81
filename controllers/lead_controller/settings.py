"""What the process is told by flags and environment; what it looks after is in its configuration file (config.py)."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Settings", "parse"]

_EPILOG = """example, outside of a cluster:
  python -m lead_controller --config config.json --namespace scoring --kubeconfig ~/.kube/config --port 0

exit codes: 0 ended by SIGTERM or SIGINT, 2 usage, configuration or credentials, 5 a port that can't be used"""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The command line, read."""

    config: Path
    inference_service: Path
    namespace: str
    identity: str
    kubeconfig: Path | None
    host: str
    port: int | None
    lease_s: float
    resync_s: float
    log_level: str


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("expected a port in [0, 65535]")
    return int(text)


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected seconds in [{low:g}, {high:g}]")
        return value

    return read


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Return the settings of a command line.

    Raises:
        SystemExit: 0 after --help, 2 for anything wrong, said on stderr.
    """
    parser = argparse.ArgumentParser(
        prog="python -m lead_controller",
        description="Makes spec.canary of an InferenceService true: writes routes, their policy and autoscalers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--config", type=Path, default="/etc/lead-controller/config.json", help="default: %(default)s")
    add(
        "--inference-service",
        type=Path,
        help="InferenceService to create if there is none; default: inferenceservice.json beside --config, if any",
    )
    add("--namespace", default=environment.get("POD_NAMESPACE", ""), help="default: $POD_NAMESPACE")
    add(
        "--identity",
        default=environment.get("POD_NAME") or socket.gethostname(),
        help="name of this replica in the Lease and in Events; default: $POD_NAME, or the host's name",
    )
    add("--kubeconfig", type=Path, help="default: the cluster that this pod runs in")
    # The kubelet and Prometheus come from outside the pod.
    add("--host", default="0.0.0.0", help="address of /healthz, /readyz and /metrics; default: %(default)s")  # noqa: S104  # nosec B104
    add("--port", type=_port, help="their port, 0 for a free one, said in the log; default: metricsPort of --config")
    add(
        "--lease-duration",
        type=_seconds(2, 300),
        default=12.0,
        dest="lease_s",
        help="a leader not heard of for so many seconds is replaced; default: %(default)s",
    )
    add(
        "--resync",
        type=_seconds(1, 3600),
        default=30.0,
        dest="resync_s",
        help="everything is listed and compared at least so often, in seconds; default: %(default)s",
    )
    add("--log-level", choices=("DEBUG", "INFO", "WARNING", "ERROR"), default="INFO", help="default: %(default)s")
    given = vars(parser.parse_args(arguments))
    if not given["namespace"]:
        parser.error("say which namespace: --namespace or POD_NAMESPACE")
    if given["inference_service"] is None:
        given["inference_service"] = given["config"].with_name("inferenceservice.json")
    elif not given["inference_service"].is_file():
        parser.error(f"--inference-service: no such file: {given['inference_service']}")
    return Settings(**given)
