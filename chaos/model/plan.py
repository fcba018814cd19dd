"""Traffic, timelines and seeds as they follow from `plan.json`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from chaos.model.experiment import Timeline
from chaos.model.traffic import Traffic


def traffic_plan(traffic: Traffic) -> dict[str, Any]:
    """Traffic as a JSON object."""
    plan: dict[str, Any] = json.loads(json.dumps(asdict(traffic)))
    return plan


def timeline_plan(timeline: Timeline) -> list[dict[str, Any]]:
    """Acts with their times, in seconds from the segment's start."""
    return [{"act": at.act.name, "second": at.second, "until_s": at.until_s} for at in timeline]


def segment_seed(seed: int, number: int) -> int:
    """The seed of a segment's traffic, from the run's and the segment's number."""
    return seed * 1000 + number
