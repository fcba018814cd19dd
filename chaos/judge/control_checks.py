"""Checks of the control: the naive arm without acts, which must be well before anything is done.

A control that is not well is tried again, `CONTROLS_MAX` times in all and each time for twice as
long. A busy machine disturbs a stack that has just started, and leaves it in peace later. The last
try is judged, and those before are told. If requests failed in those, it has to have so many that
failures as frequent would have shown: a stack that fails by itself now and then is never well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from chaos.judge.findings import guard
from chaos.model.evidence import CONTROL, CONTROLS_MAX, Evidence, Finding, Segment
from chaos.model.experiment import Experiment

MEDIAN_MAX_MS = 50.0  # acts delay by more, or all but stop the traffic
LEFT_S = 0.5  # a busy machine may stand still for a third of a second
UNSEEN_MAX = 0.05  # the chance that failures go on, and the last try has none
LEFT_MAX = 0.1  # of the requests, due so long before the control's end and with no answer by then


def control_is_healthy(_: Experiment, evidence: Evidence) -> Finding:
    """Without acts, the naive arm answers every request: failures are the acts'."""
    last = evidence.control[-1:]
    odd = [why for segment in last for why in _failures(segment)]
    if not odd and may_go_on(evidence.control):
        few = f"{_requests(last)} requests, too few to show that failures are over"
        odd = [few, *_before(evidence)]
    fine = "; ".join([f"{len(s.requests)} requests, 0 failed" for s in last] + _before(evidence))
    return guard("the control without acts is healthy", odd, fine, seen=_requests(last))


def control_was_quick(_: Experiment, evidence: Evidence) -> Finding:
    """Without acts redirects are quick, and nearly all requests due before the last moment of the
    control are answered by its end."""
    last = evidence.control[-1:]
    odd = [why for segment in last for why in _slowness(segment)]
    fine = "; ".join(map(_pace, last))
    return guard("the control without acts was quick", odd, fine, seen=_requests(last))


def why_again(control: Sequence[Segment]) -> str:
    """The reason to try the control again after these tries; empty if it is well."""
    if not control:
        return ""
    return why_not_well(control[-1]) or "failures may go on" * may_go_on(control)


def why_not_well(segment: Segment) -> str:
    """What is wrong with a try; empty if nothing is."""
    return "; ".join([*_failures(segment), *_slowness(segment)])


def may_go_on(control: Sequence[Segment]) -> bool:
    """True if failures as frequent as in the tries before could well be missing in the last."""
    before, last = control[:-1], control[-1:]
    failed = sum(map(_failed, before))
    if not failed:
        return False
    return (1 - failed / _requests(before)) ** _requests(last) > UNSEEN_MAX


def odd_tries(evidence: Evidence) -> Iterator[str]:
    """Yield what is wrong with the number of controls: each but the last was not well."""
    if {segment.arm for segment in evidence.control} != {CONTROL}:
        yield "the control is not on record"
    if [segment.round for segment in evidence.control] != [*range(-1, -1 - _count(evidence), -1)]:
        yield "the controls on record are not as many as were run"
    if _count(evidence) > CONTROLS_MAX:
        yield f"the control was tried more than {CONTROLS_MAX} times"
    if not all(why_again(evidence.control[:count]) for count in range(1, _count(evidence))):
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
    count, failed = len(segment.requests), _failed(segment)
    if failed or not count:
        yield f"{count} requests, {failed} failed"


def _failed(segment: Segment) -> int:
    return int((segment.requests.outcome != "ok").sum())


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
