"""What a form costs, as a ratio: this machine has no steady milliseconds."""

from __future__ import annotations

import heavy_model
from cost import cpu_ms
from running import Predictor, frame_request, plain_request, raw_request


def test_500_leads_cost_less_in_a_frame_than_as_numbers(heavy: Predictor) -> None:
    matrix = heavy_model.leads(500)
    plain = cpu_ms(heavy, plain_request(matrix, "margin"))
    for form in (frame_request, raw_request):
        assert cpu_ms(heavy, form(matrix, "margin")) < 0.9 * plain
