"""An arm's own time: its rounds laid end to end, and what falls where on it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chaos.evidence import Event


@dataclass(frozen=True)
class Span:
    """A stretch of an arm's time, in seconds, with what it is called."""

    name: str
    from_s: float
    to_s: float


def pitch_s(segments: Sequence[Event]) -> float:
    """How far apart rounds begin: the longest one and a gap, in whole half seconds."""
    longest = max((s["ended_s"] - s["started_s"] for s in segments), default=0.0)
    return math.ceil((longest + 0.2) * 2) / 2


def round_span(segment: Event, apart_s: float) -> Span:
    """From the segment's first arrival to its last."""
    began_s = segment["round"] * apart_s
    length_s = segment["ended_s"] - segment["started_s"]
    return Span(f"round {segment['round'] + 1}", began_s, began_s + length_s)


def fault_spans(own: Sequence[Event], events: Sequence[Event], apart_s: float) -> Iterator[Span]:
    """Each injection in every round that it touches, no further than from its start to the next."""
    faults = [event for event in events if event["kind"] == "fault"]
    for segment in own:
        origin_s = segment["started_s"] - segment["round"] * apart_s
        for fault in faults:
            healed_s = segment["to_s"] if fault["healed_s"] is None else fault["healed_s"]
            from_s = max(fault["injected_s"], segment["started_s"])
            to_s = min(healed_s, segment["started_s"] + apart_s)
            if fault["arm"] == segment["arm"] and from_s < to_s:
                yield Span(fault["fault"], from_s - origin_s, to_s - origin_s)


def on_arm_time(
    moments_s: Sequence[float], own: Sequence[Event], apart_s: float
) -> Iterator[float]:
    """Moments on the host's clock, each in the round that it falls into."""
    for moment_s in moments_s:
        for segment in own:
            if segment["started_s"] <= moment_s < segment["ended_s"]:
                yield moment_s - segment["started_s"] + segment["round"] * apart_s
