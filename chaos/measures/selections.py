"""Which requests of a segment a measure is about: when they were due, and what they did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chaos.model.evidence import ActEvidence, Floats, Requests, Segment
from chaos.model.experiment import Act
from chaos.model.traffic import WRITES

Mask = NDArray[np.bool_]
Span = tuple[float, float]


@dataclass(frozen=True)
class When:
    """Spans of a segment in seconds on the monotonic clock; `name` ends a measure's name."""

    name: str
    title: str
    spans: Callable[[Segment], Sequence[Span]]

    def __repr__(self) -> str:
        return self.name.strip("_") or "whole"

    def holds(self, segment: Segment, t_s: Floats) -> Mask:
        """Mask of the times that lie in one of the spans."""
        inside = np.zeros(len(t_s), dtype=bool)
        for from_s, to_s in self.spans(segment):
            inside |= (t_s >= from_s) & (t_s < to_s)
        return inside


@dataclass(frozen=True)
class Which:
    """A kind of request; `name` begins a measure's name."""

    name: str
    title: str
    of: Callable[[Requests], Mask]

    def __repr__(self) -> str:
        return self.name.strip("_") or "every"


def passing_acts(segment: Segment) -> Sequence[ActEvidence]:
    """The acts that were undone before the segment ended; all of them if none was.

    One that lasts to the end is what the segment was like, not what happened in it.
    """
    passed = [a for a in segment.acts if a.healed_s is not None and a.healed_s <= segment.ended_s]
    return passed or segment.acts


def first_act_s(segment: Segment) -> float:
    """When the first passing act began; the end of the segment without one."""
    return min((act.injected_s for act in passing_acts(segment)), default=segment.ended_s)


def healed_s(segment: Segment) -> float:
    """When the last passing act was undone; the start of the segment without one."""
    ends = [act.healed_s for act in passing_acts(segment)]
    return max((segment.ended_s if end is None else end for end in ends), default=segment.started_s)


def _during(segment: Segment) -> Sequence[Span]:
    return [
        (act.injected_s, np.inf if act.healed_s is None else act.healed_s)
        for act in passing_acts(segment)
    ]


# Spans may last to infinity: nothing is due after the segment's end.
whole = When("", "", lambda _: [(-np.inf, np.inf)])
before = When("_before", " before", lambda segment: [(segment.started_s, first_act_s(segment))])
during = When("_during", " during", _during)
after_heal = When("_after_heal", " after", lambda segment: [(healed_s(segment), np.inf)])


def since_heal(from_s: float, to_s: float) -> When:
    """From so many seconds after the heal until so many."""
    return When(
        f"_{from_s:g}_to_{to_s:g}_s_after",
        f" {from_s:g} to {to_s:g} s after",
        lambda segment: [(healed_s(segment) + from_s, healed_s(segment) + to_s)],
    )


def act_s(segment: Segment, act: Act) -> float:
    """When an act of that name began; NaN if it did not.

    Its effect begins between that moment and the one at which it is known to be in force.
    """
    seen = [own for own in segment.acts if own.act == act.name]
    times = [own.injected_s if own.begun_s is None else own.begun_s for own in seen]
    return times[0] if times else np.nan


def until_act(act: Act) -> When:
    """From the start of the segment until an act begins."""
    return When(
        f"_until_{act.name.replace(' ', '_')}",
        f" until {act.name}",
        lambda segment: [(segment.started_s, act_s(segment, act))],
    )


def since_act(act: Act, after_s: float = 0.0) -> When:
    """From the beginning of an act on, or from so many seconds after it."""
    name, title = (f"_{after_s:g}_s", f" {after_s:g} s") if after_s else ("", "")
    return When(
        f"{name}_since_{act.name.replace(' ', '_')}",
        f"{title} since {act.name}",
        lambda segment: [(act_s(segment, act) + after_s, np.inf)],
    )


def doing(*operations: str, name: str = "") -> Which:
    """Requests that do one of these operations."""
    joined = name or "_".join(operations)
    return Which(f"{joined}_", f"{joined} ", lambda r: np.isin(r.operation, operations))


every = Which("", "", lambda requests: np.ones(len(requests), dtype=bool))
follows = doing("follow")
writes = doing(*WRITES, name="write")


def selected(segment: Segment, when: When, which: Which) -> Mask:
    """Mask of the requests of a kind that were due in the spans."""
    requests = segment.requests
    return when.holds(segment, requests.intended_s) & which.of(requests)
