"""Progress of a run, from its directory while it is being written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.model.evidence import Mode
from chaos.record.reader import DamagedRecord, read_json

END = 2  # reading back and judging, beside the segments


@dataclass(frozen=True)
class RunProgress:
    """The current step, and the number of steps done."""

    what: str
    done: int = 0
    steps: int = 0


def progress(directory: Path) -> RunProgress:
    """The progress according to the newest event."""
    try:
        plan = read_json(directory / "plan.json")
        steps = 1 + plan["mode"]["rounds"] * len(plan["arms"]) + END
    except (DamagedRecord, KeyError):
        return RunProgress("starting")
    events = _events(directory)
    steps += sum(_further(plan["mode"], event) for event in events if event["kind"] == "look")
    segments = [event for event in events if event["kind"] == "segment"]
    kinds = {event["kind"] for event in events}
    done = len(segments)
    if "finished" in kinds:
        return RunProgress("judging it", done + 1, steps)
    if "read-back" in kinds or done == steps - END:
        return RunProgress("counting the clicks", done, steps)
    if segments:
        return RunProgress(f"{_name(segments[-1])} done", done, steps)
    if "up" in kinds:
        return RunProgress("first without a fault, for comparison", done, steps)
    return RunProgress(f"starting the {plan['runtime']} stack", done, steps)


def trouble(directory: Path) -> str | None:
    """The reason why it stopped early, if it recorded one."""
    return next((str(e["why"]) for e in _events(directory) if e["kind"] == "trouble"), None)


def _further(mode: dict[str, Any], look: dict[str, Any]) -> int:
    """The number of segments that were added after a look."""
    later = [number for number in Mode(**mode).looks if number > look["rounds"]]
    return len(look["arms"]) * (later[0] - look["rounds"]) if later else 0


def _name(segment: dict[str, Any]) -> str:
    if segment["round"] < 0:
        return "comparison without a fault"
    return f"{segment['arm']} · round {segment['round'] + 1}"


def _events(directory: Path) -> list[dict[str, Any]]:
    """All events so far; the last line may be incomplete."""
    try:
        lines = (directory / "events.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError:
        return []
    return [json.loads(line) for line in lines if line.endswith("\n")]
