"""How far a run is, as its directory tells while it is being written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.record.reader import DamagedRecord, read_json

END = 2  # reading back and judging, beside the segments


@dataclass(frozen=True)
class RunProgress:
    """What it is at, and how many of its steps are done."""

    what: str
    done: int = 0
    steps: int = 0


def progress(directory: Path) -> RunProgress:
    """Where a run is now: its newest event tells."""
    try:
        plan = read_json(directory / "plan.json")
        steps = 1 + plan["mode"]["rounds"] * len(plan["arms"]) + END
    except (DamagedRecord, KeyError):
        return RunProgress("starting")
    kinds = _events(directory)
    segments = [event for event in kinds if event["kind"] == "segment"]
    at = {event["kind"] for event in kinds}
    done = len(segments)
    if "finished" in at:
        return RunProgress("judging it", done + 1, steps)
    if "read-back" in at or done == steps - END:
        return RunProgress("counting the clicks", done, steps)
    if segments:
        return RunProgress(f"{_name(segments[-1])} done", done, steps)
    if "up" in at:
        return RunProgress("first without a fault, for comparison", done, steps)
    return RunProgress(f"starting the {plan['runtime']} stack", done, steps)


def trouble(directory: Path) -> str | None:
    """Why it stopped early, if it did and could say so."""
    return next((str(e["why"]) for e in _events(directory) if e["kind"] == "trouble"), None)


def _name(segment: dict[str, Any]) -> str:
    if segment["round"] < 0:
        return "comparison without a fault"
    return f"{segment['arm']} · round {segment['round'] + 1}"


def _events(directory: Path) -> list[dict[str, Any]]:
    """All events so far; the last line may be under way."""
    try:
        lines = (directory / "events.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError:
        return []
    return [json.loads(line) for line in lines if line.endswith("\n")]
