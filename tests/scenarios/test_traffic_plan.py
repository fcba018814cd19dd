"""Validation of traffic: wrong fields are refused and named."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from chaos.model.traffic import Traffic
from scenarios.generator.traffic_plan import from_fields

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "rate_per_s"),
        ({"rate_per_s": 0}, "rate_per_s: input should be greater than 0"),
        ({"rate_per_s": "fast"}, "rate_per_s: input should be a valid number"),
        ({"rate_per_s": True}, "rate_per_s: input should be a valid number"),
        ({"rate_per_s": float("inf")}, "rate_per_s: input should be a finite number"),
        ({"rate_per_s": 10**400}, "rate_per_s: input should be a valid number"),
        ({"rate_per_s": 5, "speed": 1}, "speed: extra inputs are not permitted"),
        ({"rate_per_s": 5, "hot_share": 1.5}, "hot_share: input should be less than or equal to 1"),
        ({"rate_per_s": 5, "keys": 0}, "keys: input should be greater than or equal to 1"),
        ({"rate_per_s": 5, "keys": 2.5}, "keys: input should be a valid integer"),
        ({"rate_per_s": 5, "keys": 2.0}, "keys: input should be a valid integer"),
        ({"rate_per_s": 5, "curve": "sine"}, "curve: input should be 'steady'"),
        ({"rate_per_s": 5, "curve": "step"}, "peak_per_s: input should be at least 5"),
        (
            {"rate_per_s": 5, "curve": "ramp", "peak_per_s": 4},
            "peak_per_s: input should be at least 5",
        ),
        ({"rate_per_s": 5, "timeout_s": 0}, "timeout_s: input should be greater than 0"),
        (
            {"rate_per_s": 5, "curve": "viral", "peak_per_s": 9, "tau_s": 0},
            "tau_s: input should be greater than 0",
        ),
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


START = '{"do": "start", "segment": 1, "duration_s": 1, "traffic": {"rate_per_s": 5}, "seed": %s}'
VALIDATE = """
import sys
from scenarios.generator.traffic_plan import messages
from scenarios.remote_control import COMMAND, ValidationError
for line in sys.stdin:
    try:
        print(COMMAND.validate_json(line).seed)
    except ValidationError as error:
        print(messages(error))
"""


def seeds(*given: str) -> list[str]:
    """In a process of its own, as Locust patches the standard library."""
    lines = "".join(START % seed + "\n" for seed in given)
    done = subprocess.run(
        [sys.executable, "-c", VALIDATE], cwd=ROOT, input=lines, capture_output=True, text=True,
        check=True, timeout=30,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_a_seed_is_kept_to_its_last_digit() -> None:
    exact = [str(seed) for seed in (0, 2**53 + 1, 2**64 + 1, 10**30 + 7, 10**400 + 3)]
    assert seeds(*exact) == exact


def test_a_seed_that_is_no_whole_number_is_refused() -> None:
    wrong = ["-1", "1.0", "1e300", '"7"', "true", "null", "NaN"]
    for seed, message in zip(wrong, seeds(*wrong), strict=True):
        assert message.startswith("start: seed: input should be"), (seed, message)
