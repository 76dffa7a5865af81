"""Predictions through XGBoost's C API are those of its Python API, to the bit."""

from __future__ import annotations

import heavy_model
import numpy as np
import pytest
import xgboost as xgb
from numpy.typing import NDArray

from lead_predictor import pace
from lead_predictor.dense import MARGIN, VALUE, DenseBooster
from lead_predictor.scorer import Scorer


@pytest.mark.parametrize("rows", [1, 2, 63, 64, 65, 500, 1024])
@pytest.mark.parametrize(("config", "kind"), [(MARGIN, "margin"), (VALUE, "value")])
def test_every_bit_is_the_python_apis(heavy_booster: xgb.Booster, rows: int, config: bytes, kind: str) -> None:
    matrix = heavy_model.leads(rows, seed=rows)
    expected = heavy_booster.inplace_predict(matrix, predict_type=kind)
    assert DenseBooster(heavy_booster).predict(matrix, config).tobytes() == expected.tobytes()


def _misaligned(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.frombuffer(b"." + matrix.tobytes(), dtype="<f4", offset=1).reshape(matrix.shape)


def _strided(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.repeat(matrix, 2, axis=1)[:, ::2]


@pytest.mark.parametrize("layout", [np.asfortranarray, np.float64, _misaligned, _strided])
def test_how_the_matrix_lies_in_memory_changes_nothing(heavy_booster: xgb.Booster, layout: type) -> None:
    matrix = heavy_model.leads(70)
    booster = DenseBooster(heavy_booster)
    assert booster.predict(layout(matrix), MARGIN).tobytes() == booster.predict(matrix, MARGIN).tobytes()


def test_an_answer_outlives_the_next_prediction(heavy_booster: xgb.Booster) -> None:
    booster = DenseBooster(heavy_booster)
    first = booster.predict(heavy_model.leads(10, seed=1), MARGIN)
    kept = first.copy()
    booster.predict(heavy_model.leads(10, seed=2), MARGIN)
    assert first.tobytes() == kept.tobytes()


def test_what_the_library_refuses_is_an_error_with_its_words(heavy_booster: xgb.Booster) -> None:
    with pytest.raises(xgb.core.XGBoostError, match="features"):
        DenseBooster(heavy_booster).predict(heavy_model.leads(3)[:, :7], MARGIN)


def test_a_heavy_model_runs_fewer_leads_on_the_event_loop(heavy_booster: xgb.Booster) -> None:
    scorer, leads = Scorer(heavy_booster, nthread=1), heavy_model.leads(201)
    within = pace.leads_within(scorer, leads, 0.008)
    assert 50 < within < 20_000
    assert pace.leads_within(scorer, leads, 0.000_008) <= within // 100
