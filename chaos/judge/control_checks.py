"""Checks of the control: the naive arm without acts, which must be well before anything is done.

A control that is not well is tried again, `CONTROLS_MAX` times in all and each time for twice as
long. A busy machine disturbs a stack that has just started, and leaves it in peace later; one that
fails by itself now and then has more time to show it with each try. The last try is judged, and
those before are told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from chaos.judge.findings import guard
from chaos.model.evidence import CONTROL, CONTROLS_MAX, Evidence, Finding, Segment
from chaos.model.experiment import Experiment

MEDIAN_MAX_MS = 50.0  # acts delay by more, or all but stop the traffic
LEFT_S = 0.5  # a busy machine may stand still for a third of a second
LEFT_MAX = 0.1  # of the requests, due so long before the control's end and with no answer by then


def control_is_healthy(_: Experiment, evidence: Evidence) -> Finding:
    """Without acts, the naive arm answers every request: failures are the acts'."""
    last = evidence.control[-1:]
    odd = [why for segment in last for why in _failures(segment)]
    fine = "; ".join([f"{len(s.requests)} requests, 0 failed" for s in last] + _before(evidence))
    return guard("the control without acts is healthy", odd, fine, seen=_requests(last))


def control_was_quick(_: Experiment, evidence: Evidence) -> Finding:
    """Without acts redirects are quick, and nearly all requests due before the last moment of the
    control are answered by its end."""
    last = evidence.control[-1:]
    odd = [why for segment in last for why in _slowness(segment)]
    fine = "; ".join(map(_pace, last))
    return guard("the control without acts was quick", odd, fine, seen=_requests(last))


def why_not_well(segment: Segment) -> str:
    """The reason to try a control again; empty if it is well."""
    return "; ".join([*_failures(segment), *_slowness(segment)])


def odd_tries(evidence: Evidence) -> Iterator[str]:
    """Yield what is wrong with the number of controls: each but the last was not well."""
    if {segment.arm for segment in evidence.control} != {CONTROL}:
        yield "the control is not on record"
    if [segment.round for segment in evidence.control] != [*range(-1, -1 - _count(evidence), -1)]:
        yield "the controls on record are not as many as were run"
    if _count(evidence) > CONTROLS_MAX:
        yield f"the control was tried more than {CONTROLS_MAX} times"
    if not all(map(why_not_well, evidence.control[:-1])):
        yield "a control that was well was tried again"


def _count(evidence: Evidence) -> int:
    return len(evidence.control)


def _requests(segments: Sequence[Segment]) -> int:
    return sum(len(segment.requests) for segment in segments)


def _before(evidence: Evidence) -> list[str]:
    """The number of tries before the last, and what was wrong with each."""
    return [
        f"try {number} of {_count(evidence)} was not well: {why_not_well(segment)}"
        for number, segment in enumerate(evidence.control[:-1], start=1)
    ]


def _failures(segment: Segment) -> Iterator[str]:
    count, failed = len(segment.requests), int((segment.requests.outcome != "ok").sum())
    if failed or not count:
        yield f"{count} requests, {failed} failed"


def _slowness(segment: Segment) -> Iterator[str]:
    if not (_median_ms(segment) <= MEDIAN_MAX_MS and _left(segment) <= LEFT_MAX):
        yield _pace(segment)


def _pace(segment: Segment) -> str:
    median_ms, left = _median_ms(segment), _left(segment)
    return f"half of the redirects within {median_ms:.1f} ms, {left:.1%} left at its end"


def _median_ms(segment: Segment) -> float:
    """The median latency of redirects; NaN of none."""
    own_ms = segment.requests.latency_ms[segment.requests.operation == "follow"]
    return float(np.median(own_ms)) if len(own_ms) else float("nan")


def _left(segment: Segment) -> float:
    """The share of requests that were due well before the end and not answered by it."""
    requests = segment.requests
    overdue = requests.intended_s < segment.ended_s - LEFT_S
    late = overdue & (requests.done_s > segment.ended_s)
    return float(late.mean()) if len(requests) else float("nan")
