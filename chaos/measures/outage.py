"""Measures of an outage of writes, counted from the act that caused it: the RTO on three clocks.

And of what two primaries did at once, by the timeline that each acknowledged write names.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chaos.measures.estimates import TAIL, mean_of_durations, total
from chaos.measures.selections import Mask, Which, act_s, writes
from chaos.model.evidence import Estimate, Floats, Ints, Segment
from chaos.model.experiment import Act, Measure, Summary

BETWEEN_S = 0.05  # two writes, at the rates of the experiments
NO_ACT = "the act did not begin"
NO_TIMELINE = "no acknowledged write names its timeline"
ONE_TIMELINE = "all acknowledged writes of a segment are of one server"


def first_error(act: Act, which: Which = writes) -> Measure:
    """Seconds from an act to the first failed or unanswered request."""

    def of(segment: Segment, since_s: float, chosen: Mask) -> float:
        requests = segment.requests
        failed = chosen & np.isin(requests.outcome, ("fail", "unknown"))
        return float(requests.done_s[failed].min(initial=np.inf)) - since_s

    return _since(act, which, "first_error", "first error", of)


def taken_over(act: Act) -> Measure:
    """Seconds from an act to the first write that another primary acknowledged.

    Its answer names a newer timeline than those before the act. What the old primary acknowledges
    while the act takes effect does not count.
    """

    def of(segment: Segment, since_s: float, _: Mask) -> float:
        done_s, timeline = _acknowledged(segment)
        old = timeline[done_s < since_s].max(initial=0)
        if not old:
            return np.nan
        return float(done_s[timeline > old].min(initial=np.inf)) - since_s

    return _since(act, writes, "taken_over", "taken over", of, NO_TIMELINE)


def steady(
    act: Act,
    which: Which = writes,
    *,
    within_ms: float,
    share: float = 0.99,
    for_s: float = 5.0,
) -> Measure:
    """Seconds from an act to the first request since when this share succeeds for so long.

    To succeed, an answer has to come within `within_ms` of when the request was due: one that waits
    for the outage to end is no success. Censored if the segment ends before that time is over.
    """

    def of(segment: Segment, since_s: float, chosen: Mask) -> float:
        requests = segment.requests
        due_s = requests.intended_s[chosen]
        good = (requests.outcome == "ok") & (requests.latency_ms <= within_ms)
        bad = np.append(0, np.cumsum(~good[chosen]))
        first, last = np.arange(len(due_s)), np.searchsorted(due_s, due_s + for_s)
        begins = due_s + for_s <= segment.ended_s
        begins &= bad[last] - bad[first] <= (1 - share) * (last - first)
        begins &= bad[first + 1] == bad[first]  # an error begins nothing
        return float(due_s[begins].min(initial=np.inf)) - since_s

    return _since(act, which, f"steady_{for_s:g}", f"steady for {for_s:g} s", of)


def _since(
    act: Act,
    which: Which,
    name: str,
    title: str,
    of: Callable[[Segment, float, Mask], float],
    without: str = NO_ACT,
) -> Measure:
    def figure(segment: Segment) -> Floats:
        since_s = act_s(segment, act)
        chosen = which.of(segment.requests) & (segment.requests.sent_s >= since_s)
        return np.array([of(segment, since_s, chosen)])

    def censored_at(segment: Segment) -> float:
        return segment.ended_s - act_s(segment, act)

    return Measure(
        f"{which.name}{name}_s",
        "s",
        f"{which.title}{title}",
        figure,
        mean_of_durations(BETWEEN_S),
        without,
        censored_at,
    )


# --- two primaries -------------------------------------------------------------------------------


def overlap() -> Measure:
    """Seconds for which two servers acknowledged writes.

    From the first answer that names the newer timeline to the last one that names an older.
    """

    def of(done_s: Floats, newest: Mask) -> float:
        return max(0.0, float(done_s[~newest].max(initial=-np.inf) - done_s[newest].min()))

    summary = _of_every_segment(mean_of_durations(BETWEEN_S))
    return Measure("overlap_s", "s", "overlap", _by_timeline(of), summary, ONE_TIMELINE)


def on_old_timeline() -> Measure:
    """Writes acknowledged by the older server once the newer one had acknowledged some."""

    def of(done_s: Floats, newest: Mask) -> float:
        return float((done_s[~newest] > done_s[newest].min()).sum())

    name, title = "writes_on_old_timeline", "writes on the old primary"
    summary = _of_every_segment(total)
    return Measure(name, "writes", title, _by_timeline(of), summary, ONE_TIMELINE)


def _of_every_segment(summary: Summary) -> Summary:
    """No figure unless each segment has one: none overlap where nobody reached the new primary."""

    def whole(values: Floats, tail: float = TAIL, /) -> Estimate:
        return summary(values if np.isfinite(values).all() else values[:0], tail)

    return whole


def _by_timeline(of: Callable[[Floats, Mask], float]) -> Callable[[Segment], Floats]:
    """A figure of the times of acknowledged writes, and the mask of the newest timeline's.

    Where only one server acknowledged any, nothing was seen of a second one: NaN.
    """

    def figure(segment: Segment) -> Floats:
        done_s, timeline = _acknowledged(segment)
        newest = timeline == timeline.max(initial=0)
        return np.array([np.nan if newest.all() else of(done_s, newest)])

    return figure


def _acknowledged(segment: Segment) -> tuple[Floats, Ints]:
    """Times and timelines of the acknowledged writes that name one."""
    requests = segment.requests
    told = writes.of(requests) & (requests.outcome == "ok") & (requests.timeline > 0)
    return requests.done_s[told], requests.timeline[told]
