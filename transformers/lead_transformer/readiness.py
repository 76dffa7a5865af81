"""Ready only when the golden leads score right through the whole path, and only for as long as they do."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import orjson

from lead_scoring.contract.types import Contract, GoldenLead
from lead_scoring.errors import DeadlineExceeded, LeadScoringError, ServiceError
from lead_transformer import v1_json
from lead_transformer.calls import Call
from lead_transformer.lifecycle import Lifecycle
from lead_transformer.messages import Answer, ScoreRequest
from lead_transformer.metrics import Metrics
from lead_transformer.predictor import Predictor, PredictorFault, check_identity
from lead_transformer.service import Service
from lead_transformer.silence import Silence

__all__ = ["DeepChecks", "Readiness"]

_LOGGER = logging.getLogger("lead_transformer")
_RETRY_S = 0.25
_STARTUP_TIMEOUT_S = 10.0
_DISTRUST = frozenset(("wrong_answer", "wrong_model"))  # no answer is better than a wrong one


@dataclass(frozen=True, slots=True)
class DeepChecks:
    """How the model server is watched.

    Attributes:
        interval_s: between two checks.
        timeout_s: of one check.
        failures: in a row before unready.
    """

    interval_s: float
    timeout_s: float
    failures: int


class Readiness:
    """Proves the whole path at the start and keeps proving it."""

    def __init__(
        self,
        contract: Contract,
        service: Service,
        predictor: Predictor,
        lifecycle: Lifecycle,
        metrics: Metrics,
        silence: Silence,
        checks: DeepChecks,
        *,
        max_leads: int,
    ) -> None:
        """Prepare the golden leads as V1 bodies of at most `max_leads`."""
        self._contract = contract
        self._service = service
        self._predictor = predictor
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._silence = silence
        self._checks = checks
        golden = contract.golden.leads
        self._batches = [_Golden(contract, golden[at : at + max_leads]) for at in range(0, len(golden), max_leads)]
        self._singles = [_Golden(contract, [lead]) for lead in golden]
        self._last_complaint = ""

    async def run(self) -> None:
        """Prove everything until it holds, then check one golden lead after the other, for ever; never raises."""
        lifecycle, began = self._lifecycle, time.monotonic()
        failed = turn = 0
        while True:
            if await self._attempt(partial(self._check, turn)):
                if not (lifecycle.verified and lifecycle.healthy):
                    seconds = round(time.monotonic() - began, 3)
                    _LOGGER.info("ready", extra={"fields": {"golden_leads": len(self._singles), "seconds": seconds}})
                    gc.collect()
                    gc.freeze()  # what has been loaded stays: the collector need not walk it during requests
                lifecycle.verified = lifecycle.healthy = True
                self._last_complaint = ""
                failed = 0
            else:
                failed += 1
                if lifecycle.healthy and failed >= self._checks.failures:
                    lifecycle.healthy = False
                    _LOGGER.error("unready: the deep checks fail")
            turn += 1
            await asyncio.sleep(self._checks.interval_s if lifecycle.ready else min(_RETRY_S, self._checks.interval_s))

    async def _attempt(self, check: Callable[[], Awaitable[None]]) -> bool:
        """Run one check; count it, and log what is wrong with it once per kind."""
        try:
            await check()
        except LeadScoringError as error:
            complaint = f"{type(error).__name__}: {error}"
            if isinstance(error, PredictorFault) and error.kind in _DISTRUST:
                self._lifecycle.verified = False
            self._metrics.deep_checks["failed"] += 1
        except Exception as error:
            complaint = f"internal error: {type(error).__name__}"
            if complaint != self._last_complaint:
                _LOGGER.exception("a deep check broke")
            self._metrics.deep_checks["failed"] += 1
        else:
            self._metrics.deep_checks["passed"] += 1
            return True
        if complaint != self._last_complaint:
            _LOGGER.warning("not all is well", extra={"fields": {"cause": complaint}})
            self._last_complaint = complaint
        return False

    async def _prove(self) -> None:
        """Hold the model server's metadata and all golden leads against the contract."""
        try:
            identity = await self._predictor.identify(timeout_s=_STARTUP_TIMEOUT_S)
        except ServiceError as error:
            self._silence.failed(error, time.perf_counter())
            raise
        check_identity(self._contract, identity)
        for golden in self._batches:
            await self._score(golden, _STARTUP_TIMEOUT_S)

    async def _check(self, turn: int) -> None:
        """Prove everything if that is due; else score one golden lead.

        A golden lead that is late while real ones are answered says that the model server is busy, not that it is ill:
        an overload must not take the pod out, and its load to the next one.
        """
        if not self._lifecycle.verified:
            await self._prove()
            return
        began = time.perf_counter()
        try:
            await self._score(self._singles[turn % len(self._singles)], self._checks.timeout_s)
        except DeadlineExceeded:
            if self._service.last_success < began - self._checks.timeout_s:
                raise

    async def _score(self, golden: _Golden, timeout_s: float) -> None:
        now = time.perf_counter()
        call = Call("golden", "golden", shadow=False, began=now, deadline=now + timeout_s)
        golden.compare(await self._service.score_unadmitted(call, golden.request()))


class _Golden:
    """Some golden leads with the request that asks for them, byte for byte as a V1 caller would."""

    def __init__(self, contract: Contract, leads: Sequence[GoldenLead]) -> None:
        self._leads = leads
        self._tolerance = contract.golden.tolerance
        self._body = orjson.dumps(
            {"instances": [lead.lead for lead in leads], "parameters": {"as_of": contract.golden.as_of}}
        )

    def request(self) -> ScoreRequest:
        return v1_json.decode(self._body)

    def compare(self, answer: Answer) -> None:
        """Raise `PredictorFault` unless scores and used features are the same and probabilities within tolerance."""
        if len(answer) != len(self._leads):
            raise PredictorFault(f"{len(self._leads)} golden leads got {len(answer)} answers", kind="wrong_answer")
        for position, lead in enumerate(self._leads):
            if (
                int(answer.score[position]) != lead.score
                or not abs(float(answer.probability[position]) - lead.probability) <= self._tolerance
                or int(answer.features_used[position]) != lead.features_used
            ):
                raise PredictorFault(
                    f"the golden lead for {lead.covers!r} scores differently from the contract", kind="wrong_answer"
                )
