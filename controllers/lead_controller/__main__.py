"""The controller's process: ``python -m lead_controller --help``."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence

from kubernetes.config import ConfigException

from lead_controller.apiserver import connect
from lead_controller.apply import Writer
from lead_controller.bootstrap import read_inference_service
from lead_controller.config import parse_config
from lead_controller.election import Election
from lead_controller.health import Health
from lead_controller.logs import configure
from lead_controller.loop import Loop
from lead_controller.metrics import Metrics
from lead_controller.planner import plan
from lead_controller.recorder import Recorder
from lead_controller.settings import parse
from lead_controller.watches import Watches, scopes

_log = logging.getLogger("lead_controller")

_LAST_WRITE_S = 0.5
"""Together with giving back the Lease this keeps the end within two seconds of SIGTERM."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; return the exit code."""
    settings = parse(sys.argv[1:] if arguments is None else arguments, os.environ)
    configure(settings.log_level)
    try:
        config = parse_config(settings.config.read_bytes())
        bootstrap = read_inference_service(settings.inference_service, config.inference_service, settings.namespace)
        server = connect(settings.namespace, kubeconfig=settings.kubeconfig)
    except (OSError, ValueError, ConfigException) as error:
        _log.error("can't start", extra={"fields": {"error": str(error)}})
        return 2
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())

    metrics = Metrics(config.inference_service)
    watches = Watches(
        server,
        scopes(config.inference_service),
        watch_s=settings.resync_s,
        failed=lambda kind: metrics.watch_failures.labels(kind.kind).inc(),
    )
    lease = f"{config.inference_service}-controller"
    election = Election(server, lease, settings.identity, duration_s=settings.lease_s, changed=watches.changed.set)
    loop = Loop(
        planner=lambda observed, now: plan(observed, config, now=now, bootstrap=bootstrap),
        watches=watches,
        election=election,
        writer=Writer(server, election, written=watches.put),
        recorder=Recorder(server, settings.identity),
        metrics=metrics,
        resync_s=settings.resync_s,
    )
    port = config.metrics_port if settings.port is None else settings.port
    try:
        health = Health((settings.host, port), metrics.registry, live=loop.stuck, ready=watches.missing)
    except OSError as error:
        _log.error("can't listen", extra={"fields": {"host": settings.host, "port": port, "error": str(error)}})
        return 5
    loop.start()
    watches.start()
    election.start()
    health.start()
    fields = {"port": health.port, "namespace": settings.namespace, "inference_service": config.inference_service}
    _log.info("started", extra={"fields": fields})

    stopped.wait()
    _log.info("stopping")
    if loop.stop(timeout_s=_LAST_WRITE_S):
        election.release()
    else:
        _log.warning("a write is still under way: the lease has to expire")
    return 0


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    os._exit(code)  # not held up by watches that wait for the network
