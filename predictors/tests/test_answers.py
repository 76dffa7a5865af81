"""What comes back: the right numbers, in the form of the question, whatever the transport."""

from __future__ import annotations

import grpc
import heavy_model
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
import xgboost as xgb
from numpy.typing import NDArray
from running import MODEL, Predictor, arrays, ask, frame_request, infer, plain_request, raw_request

OUTPUTS = ("contributions", "margin", "probability")


def offline(booster: xgb.Booster, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    return booster.predict(xgb.DMatrix(matrix, nthread=1), output_margin=True, validate_features=False)


@pytest.mark.parametrize("rows", [1, 64, 65, 500])
def test_every_form_gives_the_margins_of_the_model_to_the_bit(
    heavy: Predictor, channel: grpc.Channel, heavy_booster: xgb.Booster, rows: int
) -> None:
    matrix = heavy_model.leads(rows, seed=rows)
    expected = offline(heavy_booster, matrix)
    for form in (frame_request, plain_request, raw_request):
        answer = ask(channel, form(matrix, "margin"))
        assert (answer.model_name, answer.model_version) == (MODEL, "1")
        np.testing.assert_array_equal(arrays(answer, rows)["margin"], expected, err_msg=form.__name__)
    np.testing.assert_array_equal(by_triton_http(heavy, matrix, "margin"), expected)
    np.testing.assert_array_equal(by_triton_grpc(heavy, matrix, "margin"), expected)


def by_triton_http(predictor: Predictor, matrix: NDArray[np.float32], output: str) -> NDArray[np.float32]:
    with triton_http.InferenceServerClient(f"127.0.0.1:{predictor.http_port}", network_timeout=90) as client:
        tensor = triton_http.InferInput("features", list(matrix.shape), "FP32")
        tensor.set_data_from_numpy(np.nan_to_num(matrix, nan=0.0), binary_data=False)
        tensor._data = [None if np.isnan(value) else value for value in matrix.ravel().tolist()]  # null for a gap
        asked = [triton_http.InferRequestedOutput(output, binary_data=False)]
        return client.infer(MODEL, [tensor], outputs=asked).as_numpy(output)


def by_triton_grpc(predictor: Predictor, matrix: NDArray[np.float32], output: str) -> NDArray[np.float32]:
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{predictor.grpc_port}") as client:
        tensor = triton_grpc.InferInput("features", list(matrix.shape), "FP32")
        tensor.set_data_from_numpy(matrix)
        return client.infer(MODEL, [tensor], outputs=[triton_grpc.InferRequestedOutput(output)]).as_numpy(output)


def test_the_default_output_is_a_probability_and_never_a_class(
    heavy: Predictor, channel: grpc.Channel, heavy_booster: xgb.Booster
) -> None:
    matrix = heavy_model.leads(200)
    (name, probability), *others = arrays(ask(channel, frame_request(matrix)), 200).items()
    assert (name, others) == ("probability", [])
    expected = 1 / (1 + np.exp(-offline(heavy_booster, matrix).astype(np.float64)))
    np.testing.assert_allclose(probability, expected, rtol=0, atol=1e-6)
    assert 190 < len(np.unique(probability)) <= 200
    np.testing.assert_array_equal(by_triton_http(heavy, matrix, "probability"), probability)


def test_contributions_and_bias_add_up_to_the_margin_within_1e_5(
    channel: grpc.Channel, heavy_booster: xgb.Booster
) -> None:
    matrix = heavy_model.leads(1000, seed=7)
    found = infer(channel, matrix, ("margin", "contributions"))
    assert found["contributions"].shape == (1000, heavy_model.WIDTH + 1)
    total = found["contributions"].sum(axis=1, dtype=np.float64)
    np.testing.assert_allclose(total, found["margin"], rtol=0, atol=1e-5)
    # Far below: the promise must hold for models of more trees too.
    assert np.abs(total - found["margin"]).max() < 3e-6
    exact = heavy_booster.predict(xgb.DMatrix(matrix, nthread=1), pred_contribs=True, validate_features=False)
    np.testing.assert_array_equal(found["contributions"][:, :-1], exact[:, :-1])
    np.testing.assert_allclose(found["contributions"][:, -1], exact[:, -1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", [frame_request, plain_request, raw_request])
def test_outputs_come_in_the_order_asked_for(channel: grpc.Channel, form: object) -> None:
    matrix = heavy_model.leads(3)
    answers = [
        arrays(ask(channel, form(matrix, *names)), 3)  # type: ignore[operator]
        for names in (OUTPUTS, OUTPUTS[::-1])
    ]
    assert [list(answer) for answer in answers] == [list(OUTPUTS), list(OUTPUTS[::-1])]
    for name in OUTPUTS:
        np.testing.assert_array_equal(answers[0][name], answers[1][name])


def test_a_lead_scores_the_same_alone_and_in_any_batch(channel: grpc.Channel) -> None:
    matrix = heavy_model.leads(500, seed=3)
    whole = infer(channel, matrix, OUTPUTS)
    for row in (0, 15, 16, 250, 499):
        alone = infer(channel, matrix[row : row + 1], OUTPUTS)
        for name in OUTPUTS:
            np.testing.assert_array_equal(alone[name][0], whole[name][row])


def test_a_lead_of_gaps_alone_is_scored(channel: grpc.Channel, heavy_booster: xgb.Booster) -> None:
    matrix = np.full((2, heavy_model.WIDTH), np.nan, dtype=np.float32)
    np.testing.assert_array_equal(infer(channel, matrix)["margin"], offline(heavy_booster, matrix))


def test_raw_frames_come_and_go_after_their_length(channel: grpc.Channel) -> None:
    matrix = heavy_model.leads(5)
    request = frame_request(matrix, "margin")
    frame = request.inputs[0].contents.bytes_contents[0]
    request.inputs[0].ClearField("contents")
    request.raw_input_contents.append(len(frame).to_bytes(4, "little") + frame)
    (raw,) = ask(channel, request).raw_output_contents
    assert int.from_bytes(raw[:4], "little") == 4 * 5
    np.testing.assert_array_equal(np.frombuffer(raw[4:], "<f4"), infer(channel, matrix)["margin"])


def test_the_request_id_comes_back(heavy: Predictor, channel: grpc.Channel) -> None:
    request = frame_request(heavy_model.leads(1))
    request.id = "request-1"
    assert ask(channel, request).id == "request-1"


def test_metadata_names_every_tensor_over_both_transports(heavy: Predictor) -> None:
    expected = {
        "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, 50]}],
        "outputs": [
            {"name": "probability", "datatype": "FP32", "shape": [-1]},
            {"name": "margin", "datatype": "FP32", "shape": [-1]},
            {"name": "contributions", "datatype": "FP32", "shape": [-1, 51]},
        ],
    }
    with triton_http.InferenceServerClient(f"127.0.0.1:{heavy.http_port}") as rest:
        told = rest.get_model_metadata(MODEL)
        assert {part: told[part] for part in expected} == expected
        assert (told["name"], told["versions"], told["platform"]) == (MODEL, ["1"], "xgboost")
        assert rest.get_model_metadata(MODEL, "1") == told
        server = rest.get_server_metadata()
        assert (server["name"], server["version"]) == ("lead-predictor", "1.7.1")
        assert (rest.is_server_live(), rest.is_server_ready(), rest.is_model_ready(MODEL)) == (True, True, True)
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{heavy.grpc_port}") as client:
        told = client.get_model_metadata(MODEL, as_json=True)
        for part, tensors in expected.items():
            assert [{**t, "shape": [int(size) for size in t["shape"]]} for t in told[part]] == tensors
        assert (told["name"], told["versions"], told["platform"]) == (MODEL, ["1"], "xgboost")
        assert client.get_server_metadata().name == "lead-predictor"
        assert (client.is_server_live(), client.is_server_ready(), client.is_model_ready(MODEL, "1")) == (True,) * 3
