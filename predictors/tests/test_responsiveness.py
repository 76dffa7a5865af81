"""The event loop stays free while XGBoost computes, and nothing that a client does wedges the worker."""

from __future__ import annotations

import asyncio
import threading
import time

import grpc
import heavy_model
import pytest
from running import DEADLINE_S, Predictor, ask, frame_request, infer
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from lead_predictor.worker import Busy, Worker


def test_health_answers_while_500_leads_are_explained(heavy: Predictor, channel: grpc.Channel) -> None:
    infer(channel, heavy_model.leads(1))
    stub = GRPCInferenceServiceStub(channel)
    explaining = stub.ModelInfer.future(frame_request(heavy_model.leads(500), "contributions"), timeout=DEADLINE_S)
    while heavy_is_idle(explaining, stub):
        pass
    answered = 0
    while not explaining.done():
        assert stub.ServerReady(pb.ServerReadyRequest(), timeout=DEADLINE_S).ready
        answered += 1
    assert len(explaining.result().outputs) == 1
    # With the loop blocked, at most the calls before and after the half second of work would come back.
    assert answered > 20


def heavy_is_idle(explaining: grpc.Future, stub: GRPCInferenceServiceStub) -> bool:
    """Let a few calls pass, so that the big one has arrived."""
    for _ in range(5):
        stub.ServerLive(pb.ServerLiveRequest(), timeout=DEADLINE_S)
    return False


def test_small_and_large_batches_overtake_a_long_explanation(channel: grpc.Channel) -> None:
    explaining = GRPCInferenceServiceStub(channel).ModelInfer.future(
        frame_request(heavy_model.leads(1000), "contributions"), timeout=DEADLINE_S
    )
    for _ in range(3):
        infer(channel, heavy_model.leads(1))
        infer(channel, heavy_model.leads(500))
    assert not explaining.done()
    assert len(explaining.result().outputs) == 1


def test_cancelled_requests_leave_nothing_behind(heavy: Predictor, channel: grpc.Channel) -> None:
    """Forty explanations of two seconds each are cancelled: if they ran on, the answer would take over a minute."""
    stub = GRPCInferenceServiceStub(channel)
    request = frame_request(heavy_model.leads(1000), "contributions")
    calls = [stub.ModelInfer.future(request, timeout=DEADLINE_S) for _ in range(40)]
    infer(channel, heavy_model.leads(1))
    for call in calls:
        assert call.cancel()
    infer(channel, heavy_model.leads(1))
    before, began = heavy.cpu_s(), time.monotonic()
    assert infer(channel, heavy_model.leads(100), ("contributions",))["contributions"].shape == (100, 51)
    assert heavy.cpu_s() - before < 10, f"{time.monotonic() - began} s"


def test_a_deadline_that_passes_is_the_callers_and_the_next_call_is_answered(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as late:
        ask(channel, frame_request(heavy_model.leads(1000), "contributions"), timeout_s=0.05)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert infer(channel, heavy_model.leads(500))["margin"].shape == (500,)


def test_more_than_can_wait_is_refused_at_once_and_recovers(channel: grpc.Channel) -> None:
    stub = GRPCInferenceServiceStub(channel)
    request = frame_request(heavy_model.leads(1000), "contributions")
    calls = [stub.ModelInfer.future(request, timeout=DEADLINE_S) for _ in range(160)]
    codes = []
    done = threading.Event()
    for call in calls:
        call.add_done_callback(lambda ended: (codes.append(ended.code()), done.set()))
    assert done.wait(DEADLINE_S)
    infer(channel, heavy_model.leads(1))
    for call in calls:
        call.cancel()
    assert codes[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) >= 160 - 128 - 2
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            assert infer(channel, heavy_model.leads(100))["margin"].shape == (100,)
            break
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert time.monotonic() < deadline


def test_the_worker_counts_requests_out_again_however_they_end() -> None:
    async def scenario() -> None:
        worker = Worker(max_requests=1)
        release = threading.Event()

        async def request() -> None:
            with worker.admitted():
                await worker.run(lambda: release.wait(DEADLINE_S))

        first = asyncio.create_task(request())
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await request()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        release.set()
        await request()
        worker.close()

    asyncio.run(scenario())


def test_a_cancelled_call_that_waits_its_turn_never_runs() -> None:
    async def scenario() -> list[str]:
        worker = Worker(max_requests=3)
        release, ran = threading.Event(), []
        first = asyncio.create_task(worker.run(lambda: release.wait(DEADLINE_S)))
        second = asyncio.create_task(worker.run(lambda: ran.append("second")))
        third = asyncio.create_task(worker.run(lambda: ran.append("third")))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(first, third)
        worker.close()
        return ran

    assert asyncio.run(scenario()) == ["third"]
