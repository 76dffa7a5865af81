"""A real Envoy, configured as the stack configures it, in front of two upstreams that say what reached them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lead_scoring.local import envoy, layout, routes
from lead_scoring.local.admin import Admin
from lead_scoring.local.layout import Choice
from lead_scoring.local.ports import free_ports
from lead_scoring.local.run_folder import RunFolder, State, Variant
from lead_scoring.local.split import Split
from tests.local.echo import Echo, serving
from tests.support.stack import until

MODEL = "lead-scoring"
INFER = f"/v2/models/{MODEL}/infer"


@dataclass
class Gateway:
    """Envoy and what is behind it."""

    port: int
    folder: RunFolder
    stable: Echo
    canary: Echo
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin(self) -> Admin:
        return Admin(self.folder.admin_address)

    def is_healthy(self, *variants: str) -> bool:
        """Return whether Envoy holds exactly these variants healthy."""
        wanted = {routes.cluster_name(variant, grpc=grpc) for variant in variants for grpc in (False, True)}
        return self.admin.healthy_clusters() == wanted


@contextmanager
def running_gateway(work: Path, edit: Callable[[dict[str, Any]], None] = lambda _: None) -> Iterator[Gateway]:
    """Start both upstreams and Envoy; `edit` may change what Envoy is told."""
    stable, canary = Echo("v1"), Echo("v2")
    choice = Choice(port=free_ports(1)[0], run_root=work)
    folder = choice.folder
    with folder.held(), serving([stable, canary]):
        folder.prepare()
        split = Split("v1", "v2")
        folder.save_split(split, "1", routes.routes(model=MODEL, split=split, version="1"))
        variants = tuple(
            Variant(echo.variant, role, echo.variant[1:], "", echo.rest_port, echo.grpc_port, 0, 0)
            for echo, role in ((stable, "stable"), (canary, "canary"))
        )
        folder.save_state(State("127.0.0.1", choice.port, MODEL, os.getpid(), time.time(), variants, {}))
        bootstrap = envoy.bootstrap(
            host="127.0.0.1",
            port=choice.port,
            upstreams=[envoy.Upstream(echo.variant, echo.rest_port, echo.grpc_port) for echo in (stable, canary)],
            routes_file=folder.routes,
            access_log=folder.logs / "access.log",
        )
        edit(bootstrap)
        folder.bootstrap.write_text(json.dumps(bootstrap))
        command = layout.envoy_command(choice)
        with command.log.open("wb") as log:
            process = subprocess.Popen(command.arguments, stdout=log, stderr=log)
        gateway = Gateway(choice.port, folder, stable, canary, process)
        try:
            until(lambda: folder.admin_address.exists() or process.poll() is not None, "Envoy is up")
            assert process.poll() is None, command.log.read_text()
            until(lambda: gateway.is_healthy("v1", "v2"), "Envoy reaches both")
            yield gateway
        finally:
            process.terminate()
            process.wait(30)
