"""Start the predictor: check the folder, then the ports, and only then import what serves it."""

from __future__ import annotations

import argparse
import ipaddress
import os
import socket
import sys
from pathlib import Path

from lead_scoring.contract.types import Contract
from lead_scoring.errors import LeadScoringError, StackError
from lead_scoring.packaging import folder

__all__ = ["main"]

_EPILOG = """example:
  python -m lead_predictor --model-dir model-repo/lead-scoring/1 --http-port 9080 --grpc-port 9081

environment: OMP_NUM_THREADS  threads for XGBoost (default 1; in a container, its CPU limit)
exit codes: 0 drained after SIGTERM or SIGINT, 2 usage or contract, 3 untrustworthy folder, 5 unusable port"""
_EXPOSE = "--expose-unvalidated-and-unauthenticated"


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not (options.expose or _is_loopback(options.host)):
        parser.error(f"--host: expected a loopback address; to listen elsewhere all the same, add {_EXPOSE}")
    # Before XGBoost and gRPC are loaded: both read these once.
    threads = os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    if not threads.isdecimal() or int(threads) < 1:
        parser.error("OMP_NUM_THREADS: expected a whole number from 1")
    try:
        contract = folder.read_verified(options.model_dir).contract
        with _listen(options.host, options.http_port) as listener:
            _serve(options, contract, listener)
    except LeadScoringError as error:
        sys.stderr.write(f"lead_predictor: {' '.join(str(error).split())}\n")
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "lead_predictor", description="Serve one model version with MLServer (V2 protocol, gRPC and REST).",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    environment = os.environ
    parser.add_argument(
        "--model-dir",
        type=Path,
        default=environment.get("MODEL_DIR", "/mnt/models"),
        help="version folder (MODEL_DIR, /mnt/models)",
    )
    for name, fallback in (("http", "9080"), ("grpc", "9081")):
        variable = f"PREDICTOR_{name.upper()}_PORT"
        parser.add_argument(
            f"--{name}-port", type=_port, default=environment.get(variable, fallback),
            help=f"0 for a free one, said in the log ({variable}, {fallback})",
        )  # fmt: skip
    parser.add_argument(
        "--socket", type=Path, default=environment.get("PREDICTOR_SOCKET") or None,
        help="unix socket of the fast door; none without it (PREDICTOR_SOCKET)",
    )  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on, loopback only (127.0.0.1)")
    parser.add_argument(
        _EXPOSE, dest="expose", action="store_true",
        help="allow a --host that is not loopback: whoever reaches it bypasses the transformer's checks",
    )  # fmt: skip
    return parser


def _serve(options: argparse.Namespace, contract: Contract, listener: socket.socket) -> None:
    """Import MLServer and run it: nothing that the folder names is imported before the folder has been checked."""
    import uvloop

    from lead_predictor import logs, settings
    from lead_predictor.lifecycle import Lifecycle
    from lead_predictor.server import LeadServer

    logs.configure()

    async def serve() -> None:
        told = settings.server_settings(host=options.host, http_port=options.http_port, grpc_port=options.grpc_port)
        lifecycle = Lifecycle(contract.model.name, contract.model.version)
        server = LeadServer(told, listener, lifecycle, frames=options.socket)
        await server.serve(settings.model_settings(contract, options.model_dir))

    uvloop.run(serve())


def _listen(host: str, port: int) -> socket.socket:
    """Bind the REST port now: a taken one is known before a model is loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # from here on clients wait instead of being turned away
    except OSError as error:
        listener.close()
        raise StackError(f"HTTP port {port} on {host} can't be used: {error.strerror or error}") from error
    return listener


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("expected a port in [0, 65535]")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
