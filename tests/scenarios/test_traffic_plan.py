"""Validation of traffic: wrong fields are refused and named."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from chaos.model.traffic import FOLLOW, Retries, Step, Traffic, Visit
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
        ({"rate_per_s": 5, "retries": {"tries": 0}}, "retries: tries: input should be greater"),
        ({"rate_per_s": 5, "retries": {"tries": 101}}, "retries: tries: input should be less"),
        ({"rate_per_s": 5, "retries": {"pause_s": -1}}, "retries: pause_s: input should be"),
        ({"rate_per_s": 5, "retries": {"budget": -0.1}}, "retries: budget: input should be"),
        ({"rate_per_s": 5, "retries": {"trys": 2}}, "retries: trys: extra inputs"),
        ({"rate_per_s": 5, "visits": []}, "visits: there should be at least one"),
        ({"rate_per_s": 5, "visits": "all"}, "visits: input should be a valid tuple"),
    ],
)
def test_a_wrong_figure_is_named(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        from_fields(fields)


def visit(*operations: str, **more: Any) -> dict[str, Any]:
    return {"name": "any", "steps": [{"operation": name} for name in operations], **more}


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"name": "any"}, "visits: 1: steps: field required"),
        (visit(), "visits: 1: steps: there should be at least one"),
        (visit("jump"), "visits: 1: steps: 0: operation: input should be 'follow'"),
        (visit("follow", weight=0.0), "visits: 1: weight: input should be greater than 0"),
        (visit("follow", wait=1), "visits: 1: wait: extra inputs are not permitted"),
        (visit("follow", "edit", own_link=True), "visits: 1: steps: .* should create it first"),
        (visit("create", "follow"), "visits: 1: steps: a visit to a shared link should not"),
        (visit("follow", "create"), "visits: 1: steps: only the first should create"),
        (visit("create", "create", own_link=True), "visits: 1: steps: only the first should"),
        (
            {"name": "any", "steps": [{"operation": "follow", "after_s": 1.0}]},
            "visits: 1: steps: the first is due when the visit arrives",
        ),
        (
            {"name": "any", "steps": [{"operation": "follow", "after_s": -1.0}]},
            "visits: 1: steps: 0: after_s: input should be greater than or equal to 0",
        ),
    ],
)
def test_a_visit_that_cannot_be_sent_is_named(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        from_fields({"rate_per_s": 5, "visits": [visit("follow"), wrong]})


@pytest.mark.parametrize(
    "traffic",
    [
        Traffic(1.0),
        Traffic(20.0, "viral", peak_per_s=400.0),
        Traffic(3.0, "ramp", peak_per_s=3.0),
        Traffic(
            3.0,
            visits=(FOLLOW, Visit("own", (Step("create"), Step("stats", 0.5)), 0.5, own_link=True)),
            retries=Retries(tries=3, pause_s=0.1, budget=0.2),
        ),
    ],
)
def test_traffic_survives_the_trip_through_json(traffic: Traffic) -> None:
    assert from_fields(asdict(traffic)) == traffic
    assert from_fields(json.loads(json.dumps(asdict(traffic)))) == traffic


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
