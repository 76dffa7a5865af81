"""One small model, one fake and one real predictor, and transformers in front of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from tests.support import small_model
from tests.transformer.service.fake_predictor import FakePredictor
from tests.transformer.service.processes import PredictorProcess, Server, Transformer

DEADLINE_MS = 700


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model.build(tmp_path_factory.mktemp("repository"), "7")


@pytest.fixture(scope="session")
def fake_server(folder: Path) -> Iterator[FakePredictor]:
    predictor = FakePredictor(folder)
    predictor.start()
    yield predictor
    predictor.close()


@pytest.fixture
def fake(request: pytest.FixtureRequest, folder: Path) -> Iterator[FakePredictor]:
    """A misbehaving predictor, behaving: the shared transformer's, or one that no other transformer asks anything."""
    if "transformer" in request.fixturenames:
        predictor: FakePredictor = request.getfixturevalue("fake_server")
        predictor.start()
        predictor.reset()
        yield predictor
        predictor.reset()
        predictor.start()
    else:
        predictor = FakePredictor(folder)
        predictor.start()
        yield predictor
        predictor.close()


@pytest.fixture(scope="session")
def shared_transformer(
    folder: Path, fake_server: FakePredictor, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Transformer]:
    transformer = Transformer(
        folder, fake_server.target, tmp_path_factory.mktemp("faulty") / "log", "--deadline-ms", str(DEADLINE_MS),
        "--check-interval-s", "0.2", "--check-timeout-ms", "300", "--check-failures", "2", "--receive-timeout-s", "1.0",
        "--drain-s", "0.2", "--max-body-bytes", "1048576",
    )  # fmt: skip
    yield transformer
    transformer.close()


@pytest.fixture
def transformer(shared_transformer: Transformer, fake: FakePredictor) -> Transformer:  # noqa: ARG001 (it must behave)
    """A ready transformer in front of `fake`."""
    shared_transformer.wait_ready()
    return shared_transformer


@pytest.fixture(scope="session")
def predictor_process(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PredictorProcess]:
    predictor = PredictorProcess(folder, tmp_path_factory.mktemp("predictor") / "log")
    yield predictor
    predictor.close()


@pytest.fixture(scope="session")
def pod(
    folder: Path, predictor_process: PredictorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Transformer]:
    """A ready transformer in front of a real predictor: what a pod is."""
    transformer = Transformer(
        folder, predictor_process.target, tmp_path_factory.mktemp("pod") / "log", "--variant", "v7",
        "--deadline-ms", "20000", "--queue-wait-ms", "20000",
    )  # fmt: skip
    transformer.wait_ready()
    yield transformer
    transformer.close()


@pytest.fixture
def start() -> Iterator[Callable[[Callable[[], Server]], Server]]:
    """Start servers that end with the test."""
    started: list[Server] = []

    def begin(make: Callable[[], Server]) -> Server:
        server = make()
        started.append(server)
        return server

    yield begin
    for server in started:
        server.close()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30) as client:
        yield client


@pytest.fixture
def channel(transformer: Transformer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(transformer.target) as channel:
        yield channel
