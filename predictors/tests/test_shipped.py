"""The versions in the model repository, each served by a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cost import cpu_ms
from running import Predictor, frame_request, infer, plain_request, raw_request, running

from lead_scoring.contract import files
from lead_scoring.core.assembly import from_records, seconds
from lead_scoring.core.features import encode
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.core.scoring import interpret
from lead_scoring.packaging import folder as folders

REPOSITORY = Path(__file__).parents[2] / "model-repo" / "lead-scoring"


@pytest.fixture(scope="module", params=["1", "2"])
def shipped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    with running(REPOSITORY / request.param, tmp_path_factory.mktemp("cwd")) as predictor:
        yield predictor


def test_golden_leads_score_right_through_the_wire(shipped: Predictor) -> None:
    contract = files.read(shipped.folder / folders.CONTRACT)
    golden = contract.golden
    plan = FeaturePlan.of(contract)
    batch = from_records(plan, [known.lead for known in golden.leads], max_leads=len(golden.leads))
    matrix = encode(plan, batch.raw, seconds(golden.as_of), known_bad=batch.known_bad).matrix
    with shipped.channel() as channel:
        found = infer(channel, matrix, ("margin", "contributions"))
    scores = interpret(contract, found["margin"])
    assert scores.score.tolist() == [known.score for known in golden.leads]
    expected = [known.probability for known in golden.leads]
    np.testing.assert_allclose(scores.probability, expected, rtol=0, atol=golden.tolerance)
    total = found["contributions"].sum(axis=1, dtype=np.float64)
    np.testing.assert_allclose(total, found["margin"], rtol=0, atol=1e-5)


def test_500_leads_cost_less_in_a_frame_than_as_numbers(shipped: Predictor) -> None:
    """A ratio: this machine has no steady milliseconds."""
    matrix = np.random.default_rng(0).normal(size=(500, 50)).astype(np.float32)
    plain = cpu_ms(shipped, plain_request(matrix, "margin"))
    for form in (frame_request, raw_request):
        assert cpu_ms(shipped, form(matrix, "margin")) < 0.75 * plain
