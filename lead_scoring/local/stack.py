"""The stack from start to end: Envoy, and for stable and canary each a transformer and a predictor."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from lead_scoring.contract.types import Contract
from lead_scoring.errors import StackError
from lead_scoring.local import envoy, layout, log_follower, routes, sample
from lead_scoring.local.admin import Admin, is_ready
from lead_scoring.local.layout import Choice
from lead_scoring.local.ports import check_free
from lead_scoring.local.processes import Runner, last_words
from lead_scoring.local.run_folder import RunFolder, State
from lead_scoring.local.split import Split
from lead_scoring.local.summary import summary

__all__ = ["Say", "run"]

Say = Callable[[str], None]
_LOOK_EVERY_S = 0.1
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(choice: Choice, say: Say) -> None:
    """Start a stack, serve until Ctrl-C, SIGTERM or SIGHUP, and end it without dropping a request.

    Raises:
        StackError: the port is taken, a version is not there, the stack does not become ready in time, or one of its
            processes ended; then all the others are ended too, and the message holds its last words.
    """
    contracts = layout.read_contracts(choice)
    if not choice.predictor_python.exists():
        raise StackError(f"{choice.predictor_python}: no such file; make install makes the predictor's environment")
    with choice.folder.held():
        check_free(choice.host, choice.port)
        asyncio.run(_Stack(choice, contracts, say).run())


class _Stack:
    def __init__(self, choice: Choice, contracts: tuple[Contract, Contract], say: Say) -> None:
        self._choice = choice
        self._contracts = contracts
        self._say = say
        self._folder: RunFolder = choice.folder
        self._runner = Runner()
        self._admin = Admin(self._folder.admin_address)
        self._variants = layout.variants(choice, contracts)
        self._began = time.monotonic()
        self._told_to_stop = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_signal)
        self._write_configuration()
        following: list[asyncio.Task[None]] = []
        try:
            await self._start()
            if self._choice.verbose:
                following.append(self._follow())
            if await self._unless_ended(self._become_ready()):
                self._present()
                if not self._choice.verbose:
                    following.append(self._follow())  # before, they only complain that the others are not up yet
                await self._unless_ended(self._told_to_stop.wait())
        finally:
            await self._stop()
            for task in following:
                task.cancel()

    def _follow(self) -> asyncio.Task[None]:
        logs = {process.command.name: process.command.log for process in self._runner.processes}
        everything = self._choice.verbose
        return asyncio.create_task(log_follower.follow(logs, self._say, everything=everything, from_now=not everything))

    def _on_signal(self) -> None:
        if self._told_to_stop.is_set():
            self._runner.hurry()
        self._told_to_stop.set()

    def _write_configuration(self) -> None:
        self._folder.prepare()
        stable, canary = self._variants
        split = Split(stable=stable.name, canary=canary.name)
        model = self._contracts[0].model.name
        self._folder.save_split(split, "1", routes.routes(model=model, split=split, version="1"))
        bootstrap = envoy.bootstrap(
            host=self._choice.host,
            port=self._choice.port,
            upstreams=[envoy.Upstream(found.name, found.rest_port, found.grpc_port) for found in self._variants],
            routes_file=self._folder.routes,
            access_log=self._folder.logs / "access.log",
        )
        self._folder.bootstrap.write_text(json.dumps(bootstrap, indent=2) + "\n")
        self._folder.lead.write_text(json.dumps(sample.lead_body(self._contracts[0]), indent=2) + "\n")

    async def _start(self) -> None:
        commands = [layout.envoy_command(self._choice)]
        for variant in self._variants:
            commands.append(layout.transformer_command(self._choice, variant))
            commands.append(layout.predictor_command(self._choice, variant))
        self._say(
            f"starting Envoy, and a transformer and an MLServer for {' and '.join(v.name for v in self._variants)} each"
        )
        for command in commands:
            await self._runner.start(command)
        self._folder.save_state(
            State(
                host=self._choice.host,
                port=self._choice.port,
                model=self._contracts[0].model.name,
                pid=os.getpid(),
                started_at=time.time(),
                variants=self._variants,
                pids={process.command.name: process.pid for process in self._runner.processes},
            )
        )

    async def _unless_ended(self, doing: Coroutine[Any, Any, object]) -> bool:
        """Return whether something came to its end before we were told to stop.

        Raises:
            StackError: a process ended first, or what `doing` raises.
        """
        task = asyncio.create_task(doing)
        exiting = asyncio.create_task(self._runner.first_exit())
        stopping = asyncio.create_task(self._told_to_stop.wait())
        await asyncio.wait({task, exiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for other in (task, exiting, stopping):
            if not other.done():
                other.cancel()
        if stopping.done():
            return False
        if exiting.done():
            ended = exiting.result()
            words = last_words(ended.log) or "(it said nothing)"
            raise StackError(f"{ended}, so the whole stack ends; its last words, from {_shown(ended.log)}:\n{words}")
        task.result()
        return True

    async def _become_ready(self) -> None:
        """Wait until both transformers are ready, which means golden leads scored right, and Envoy reaches them."""
        waiting: dict[str, Callable[[], bool]] = {
            f"{found.name} ready": lambda found=found: is_ready("127.0.0.1", found.rest_port)  # type: ignore[misc]
            for found in self._variants
        }
        waiting["Envoy reaches both"] = self._envoy_reaches_all
        deadline = time.monotonic() + self._choice.ready_within_s
        while waiting:
            for name, done in list(waiting.items()):
                if await asyncio.to_thread(done):
                    self._say(f"{name} after {time.monotonic() - self._began:.1f} s")
                    del waiting[name]
            if time.monotonic() > deadline:
                within = f"not within {self._choice.ready_within_s:g} s"
                raise StackError(f"{within}: {', '.join(waiting)}; see {_shown(self._folder.logs)}")
            await asyncio.sleep(_LOOK_EVERY_S if waiting else 0)

    def _envoy_reaches_all(self) -> bool:
        clusters = {routes.cluster_name(found.name, grpc=grpc) for found in self._variants for grpc in (False, True)}
        try:
            healthy = self._admin.healthy_clusters()
        except StackError:
            return False  # not up yet; if it died, `first_exit` says so
        return clusters <= healthy and is_ready(_reachable(self._choice.host), self._choice.port)

    def _present(self) -> None:
        split, _ = self._folder.load_split()
        self._say(
            summary(
                choice=self._choice,
                contract=self._contracts[0],
                variants=self._variants,
                processes=self._runner.processes,
                split=split,
                took_s=time.monotonic() - self._began,
            )
        )

    async def _stop(self) -> None:
        """End everything in the order of a request: Envoy, once its requests are answered, transformers, predictors."""
        begin = time.monotonic()
        if any(process.command.name == "envoy" and not process.ended for process in self._runner.processes):
            self._say("ending: Envoy first, once its requests are answered (Ctrl-C again kills everything at once)")
            with suppress(StackError):
                await self._drain()
        killed: list[str] = []
        for ending in ("envoy", "transformer", "predictor"):
            killed += await self._runner.stop(
                [p.command.name for p in self._runner.processes if p.command.name.endswith(ending)]
            )
        had_to = f"; had to kill {', '.join(killed)}" if killed else ""
        self._say(f"ended after {time.monotonic() - begin:.1f} s{had_to}")

    async def _drain(self) -> None:
        await asyncio.to_thread(self._admin.drain)
        deadline = time.monotonic() + layout.DRAIN_S + routes.ROUTE_TIMEOUT_S + 1
        while time.monotonic() < deadline and not self._runner.hurried:
            if not _listens(_reachable(self._choice.host), self._choice.port) and not self._admin.active_requests():
                return
            await asyncio.sleep(_LOOK_EVERY_S)


def _reachable(host: str) -> str:
    return "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 # nosec B104 - compared, not bound


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0


def _shown(path: Path) -> str:
    return os.path.relpath(path)
