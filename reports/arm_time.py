"""The time axis of an arm: its rounds laid end to end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from chaos.record.reader import Event


@dataclass(frozen=True)
class ArmSpan:
    """A named stretch of an arm's time, in seconds."""

    name: str
    from_s: float
    to_s: float


def pitch_s(segments: Sequence[Event]) -> float:
    """Seconds between the starts of two rounds: the longest round and a gap, in half seconds."""
    longest = max((s["ended_s"] - s["started_s"] for s in segments), default=0.0)
    return math.ceil((longest + 0.2) * 2) / 2


def round_span(segment: Event, apart_s: float) -> ArmSpan:
    """The span from a segment's first arrival to its last."""
    began_s = segment["round"] * apart_s
    length_s = segment["ended_s"] - segment["started_s"]
    return ArmSpan(f"round {segment['round'] + 1}", began_s, began_s + length_s)


def act_spans(own: Sequence[Event], apart_s: float) -> Iterator[ArmSpan]:
    """Each act of each round from its injection until it was healed, cut at the next round."""
    for segment in own:
        origin_s = segment["started_s"] - segment["round"] * apart_s
        next_s = segment["started_s"] + apart_s
        for act in segment["acts"]:
            healed_s = segment["to_s"] if act["healed_s"] is None else act["healed_s"]
            from_s, to_s = max(act["injected_s"], segment["started_s"]), min(healed_s, next_s)
            if from_s < to_s:
                yield ArmSpan(act["act"], from_s - origin_s, to_s - origin_s)


def on_arm_time(
    moments_s: Sequence[float], own: Sequence[Event], apart_s: float
) -> Iterator[float]:
    """Moments of the host's clock within a round, moved to the arm's time."""
    moments = np.sort(np.asarray(moments_s, dtype=float))
    for segment in own:
        inside = slice(*np.searchsorted(moments, [segment["started_s"], segment["ended_s"]]))
        began_s = segment["round"] * apart_s - segment["started_s"]
        yield from (moments[inside] + began_s).tolist()
