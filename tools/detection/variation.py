"""A failover experiment whose arms differ in one thing: how long a silent primary is waited for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chaos.acts import Failover
from chaos.judge.claims import at_most, shows
from chaos.model.experiment import (
    AGAIN_S,
    FAILOVER_STRIPS,
    Arm,
    Experiment,
    Measure,
    Prediction,
    Timeline,
)

PROMOTION_S = 0.1
SLACK_S = 2.4  # a busy machine
LEAST_SHARE = 0.5  # of T: the last answer counts, which may be older than the kill
LED_S, AFTERWARDS_S = 1.0, 1.0
TAKEN_OVER = "write_taken_over_s"
LESSON = """Primary killed: how long until another one takes writes, by the time of detection?

Nobody writes until the primary is held to be dead, which takes nearly all of the outage. A short
time is a short outage, and takes a busy primary for a dead one.
"""


class NotAFailover(Exception):
    """An experiment or an arm that has nothing to vary."""


def varied(base: Experiment, arm: str, detect_s: Sequence[float]) -> Experiment:
    """The arm of an experiment with each of these times of detection; the longest is naive.

    Raises:
        NotAFailover: no controller promotes in that arm, or nothing measures when writes go on.
    """
    measure = next((m for m in base.measures if m.name == TAKEN_OVER), None)
    timeline = base.timeline_of(base.arm(arm))
    if measure is None or not any(isinstance(at.act, Failover) for at in timeline):
        raise NotAFailover(f"{base.name}, arm {arm}: no controller promotes, or no RTO is measured")
    times_s = sorted(set(detect_s))
    *others_s, longest_s = times_s
    arms = [_arm(base, arm, time_s, measure, naive=time_s == longest_s) for time_s in times_s]
    ends_s = [at.until_s or 0.0 for at in arms[-1].timeline or ()]
    until_s = max(_led_s(timeline, longest_s), *ends_s) + AFTERWARDS_S
    return replace(
        base,
        name=f"{base.name}-detection",
        lesson=LESSON,
        timeline=timeline,
        settings={**base.settings, **base.arm(arm).settings},
        arms=arms,
        measures=[measure],
        costs=[],
        inputs=[],
        claims=[
            shows(_name(longest_s), measure, at_least=LEAST_SHARE * longest_s),
            *(at_most(_name(s), measure, s + PROMOTION_S + SLACK_S) for s in others_s),
        ],
        strips=FAILOVER_STRIPS,
        quick=replace(base.quick, segment_s=until_s, rounds_max=0),
        full=replace(base.full, segment_s=until_s, rounds_max=0),
    )


def _arm(base: Experiment, arm: str, detect_s: float, measure: Measure, *, naive: bool) -> Arm:
    theory = Prediction("T + 0.1 s", "detection, then promotion", lambda _: detect_s + PROMOTION_S)
    timeline = _with(base.timeline_of(base.arm(arm)), detect_s)
    return Arm(_name(detect_s), naive=naive, timeline=timeline, predictions={measure.name: theory})


def _name(detect_s: float) -> str:
    return f"T = {detect_s:g} s"


def _failed_s(timeline: Timeline) -> float:
    return max(at.second for at in timeline)


def _led_s(timeline: Timeline, detect_s: float) -> float:
    """The second by which links lead to the new primary, even on a busy machine."""
    return _failed_s(timeline) + detect_s + PROMOTION_S + LED_S


def _with(timeline: Timeline, detect_s: float) -> Timeline:
    """The timeline with that time of detection.

    What is to end after the failure ends so late that its second probe meets the new primary: a
    link to a dead one cannot be probed.
    """
    led_s = _led_s(timeline, detect_s)
    longer = [
        replace(at, until_s=led_s + at.act.probe_s + AGAIN_S)
        if at.until_s is not None and at.until_s > _failed_s(timeline)
        else at
        for at in timeline
    ]
    return [
        replace(at, act=replace(at.act, detect_s=detect_s)) if isinstance(at.act, Failover) else at
        for at in longer
    ]
