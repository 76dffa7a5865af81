"""Leads in, scores out, whatever the protocol: the one place where a request is checked, predicted and interpreted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from lead_scoring.contract.types import Contract
from lead_scoring.core.assembly import Batch, from_records, from_tensors
from lead_scoring.core.explanation import top_reasons
from lead_scoring.core.features import Encoded, encode
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.core.scoring import Interpreter
from lead_scoring.errors import DeadlineExceeded, ServiceError
from lead_transformer.admission import Admission
from lead_transformer.calls import Call
from lead_transformer.lifecycle import Lifecycle
from lead_transformer.logs import timestamp
from lead_transformer.messages import Answer, ScoreRequest
from lead_transformer.metrics import Metrics
from lead_transformer.predictor import Prediction, Predictor, PredictorFault
from lead_transformer.silence import Silence

__all__ = ["Service"]


class Service:
    """Scores requests of one model version."""

    def __init__(
        self,
        contract: Contract,
        predictor: Predictor,
        *,
        variant: str,
        admission: Admission,
        lifecycle: Lifecycle,
        metrics: Metrics,
        silence: Silence,
        max_leads: int,
    ) -> None:
        """Compile the contract.

        Args:
            contract: of the version.
            predictor: its model server.
            variant: what this process is called in answers.
            admission: who may be worked for.
            lifecycle: whether anything may be answered.
            metrics: what is counted.
            silence: told of every call to the model server.
            max_leads: most leads in a request.
        """
        self.contract = contract
        self._plan = FeaturePlan.of(contract)
        self._interpret = Interpreter(contract)
        self._predictor = predictor
        self._variant = variant
        self._admission = admission
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._silence = silence
        self._max_leads = max_leads
        self._last_success = 0.0

    @property
    def last_success(self) -> float:
        """When the predictor last gave a usable answer, on the clock of `time.perf_counter`; 0 for never."""
        return self._last_success

    def check(self, call: Call) -> None:
        """Turn a request away before its body is even read, if it would be turned away afterwards.

        Raises:
            NotReady, Overloaded: as `score`.
        """
        self._lifecycle.check_serving()
        self._admission.check(call.deadline)

    async def score(self, call: Call, decode: Callable[[], ScoreRequest]) -> tuple[ScoreRequest, Answer]:
        """Answer one request.

        Args:
            call: gets the stages' times and the number of leads.
            decode: parses what the transport received; called once there is room for the request.

        Raises:
            NotReady: the golden leads have not scored right (yet).
            Overloaded: no room.
            RequestError: the caller's fault.
            DeadlineExceeded: its time is up.
            PredictorFault: the model server is away or answers nonsense.
        """
        self._lifecycle.check_serving()
        await self._admission.enter(call.deadline)
        admitted = time.perf_counter()
        call.stages.append(admitted - call.began)
        try:
            request, batch = self._decode(call, decode)
            encoded = self._encode(call, request, batch)
            prediction, spent_s = await self._predict(call, encoded, explain=request.options.explain)
        finally:
            self._admission.leave(time.perf_counter() - admitted)
        answer = self._answer(call, request, batch, encoded, prediction, spent_s)
        return request, answer

    async def score_unadmitted(self, call: Call, request: ScoreRequest) -> Answer:
        """Answer a request of our own (a deep check): no queue, no metrics, not even readiness.

        Raises:
            RequestError, DeadlineExceeded, PredictorFault: as `score`.
        """
        _, batch = self._decode(call, lambda: request)
        encoded = self._encode(call, request, batch)
        prediction, spent_s = await self._predict(call, encoded, explain=request.options.explain)
        return self._answer(call, request, batch, encoded, prediction, spent_s, count=False)

    def _decode(self, call: Call, decode: Callable[[], ScoreRequest]) -> tuple[ScoreRequest, Batch]:
        began = time.perf_counter()
        request = decode()
        if request.tensors is None:
            batch = from_records(self._plan, request.records, max_leads=self._max_leads)
        else:
            batch = from_tensors(self._plan, request.tensors, max_leads=self._max_leads)
        call.leads = len(batch)
        call.stages.append(time.perf_counter() - began)
        return request, batch

    def _encode(self, call: Call, request: ScoreRequest, batch: Batch) -> Encoded:
        began = time.perf_counter()
        as_of = request.options.as_of
        encoded = encode(self._plan, batch.raw, time.time() if as_of is None else as_of, known_bad=batch.known_bad)
        batch.report.extend(encoded.findings)
        batch.report.raise_if_any(batch.layout)
        call.stages.append(time.perf_counter() - began)
        return encoded

    async def _predict(self, call: Call, encoded: Encoded, *, explain: bool) -> tuple[Prediction, float]:
        """Ask the predictor within the call's deadline; return its answer and the seconds that it took."""
        began = time.perf_counter()
        remaining_s = call.deadline - began
        if remaining_s <= 0:
            raise _out_of_time()
        try:
            async with asyncio.timeout(remaining_s):
                prediction = await self._predictor.predict(
                    encoded.matrix, explain=explain, timeout_s=remaining_s, traceparent=call.traceparent
                )
        except TimeoutError:
            error = _out_of_time()
            self._note(error, "timeout")
            raise error from None
        except DeadlineExceeded as error:
            self._note(error, "timeout")
            raise
        except PredictorFault as error:
            self._note(error, error.kind)
            raise
        self._silence.answered()
        self._last_success = time.perf_counter()
        call.stages.append(self._last_success - began)
        return prediction, self._last_success - began

    def _note(self, error: ServiceError, kind: str) -> None:
        self._metrics.predictor_failures[kind] += 1
        self._silence.failed(error, time.perf_counter())

    def _answer(
        self,
        call: Call,
        request: ScoreRequest,
        batch: Batch,
        encoded: Encoded,
        prediction: Prediction,
        spent_s: float,
        *,
        count: bool = True,
    ) -> Answer:
        began = time.perf_counter()
        scores = self._interpret(prediction.margin)
        reasons = None
        if prediction.contributions is not None:
            reasons = top_reasons(
                self._plan.names,
                prediction.contributions,
                slope=self.contract.calibration.slope,
                count=request.options.reasons,
            )
        if count:
            self._metrics.scored(call.shadow, encoded, scores)
        ended = time.perf_counter()
        call.stages.append(ended - began)
        return Answer(
            lead_ids=batch.lead_ids,
            score=scores.score,
            probability=scores.probability,
            confidence=scores.confidence,
            features_used=encoded.used,
            model_name=self.contract.model.name,
            model_version=self.contract.model.version,
            variant=self._variant,
            request_id=call.request_id,
            timestamp=timestamp(time.time()),
            processing_time_ms=(ended - call.began) * 1000,
            prediction_time_ms=spent_s * 1000 / len(batch),
            reasons=reasons,
        )


def _out_of_time() -> DeadlineExceeded:
    return DeadlineExceeded("the time allowed for this request ran out")
