"""Traffic that makes no sense is refused, and the message says which figure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.model.experiment import Traffic
from scenarios.generator.traffic_plan import from_fields, whole


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "rate_per_s"),
        ({"rate_per_s": 0}, "rate_per_s must be above 0"),
        ({"rate_per_s": "fast"}, "rate_per_s must be a number"),
        ({"rate_per_s": True}, "rate_per_s must be a number"),
        ({"rate_per_s": float("inf")}, "rate_per_s must be a number"),
        ({"rate_per_s": 10**400}, "rate_per_s must be a number"),
        ({"rate_per_s": 5, "speed": 1}, "unknown traffic field: speed"),
        ({"rate_per_s": 5, "hot_share": 1.5}, "hot_share must be at least 0 and at most 1"),
        ({"rate_per_s": 5, "keys": 0}, "keys must be at least 1"),
        ({"rate_per_s": 5, "keys": 2.5}, "keys must be a whole number"),
        ({"rate_per_s": 5, "keys": 2.0}, "keys must be a whole number"),
        ({"rate_per_s": 5, "curve": "sine"}, "curve must be one of"),
        ({"rate_per_s": 5, "curve": "step"}, "peak_per_s must be a number"),
        ({"rate_per_s": 5, "curve": "ramp", "peak_per_s": 4}, "peak_per_s must be at least 5"),
        ({"rate_per_s": 5, "timeout_s": 0}, "timeout_s must be above 0"),
        ({"rate_per_s": 5, "curve": "viral", "peak_per_s": 9, "tau_s": 0}, "tau_s must be above"),
    ],
)
def test_a_wrong_figure_is_named(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        from_fields(fields)


@pytest.mark.parametrize(
    "traffic",
    [Traffic(1.0), Traffic(20.0, "viral", peak_per_s=400.0), Traffic(3.0, "ramp", peak_per_s=3.0)],
)
def test_traffic_survives_the_trip_through_json(traffic: Traffic) -> None:
    assert from_fields(asdict(traffic)) == traffic


@given(st.integers(min_value=0))
def test_a_whole_number_is_kept_to_its_last_digit(value: int) -> None:
    assert whole("seed", value) == value


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (-1, "seed must be at least 0"),
        (1.0, "seed must be a whole number"),
        (1e300, "seed must be a whole number"),
        ("7", "seed must be a whole number"),
        (True, "seed must be a whole number"),
        (None, "seed must be a whole number"),
    ],
)
def test_what_is_no_whole_number_is_refused_as_a_seed(value: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        whole("seed", value)
