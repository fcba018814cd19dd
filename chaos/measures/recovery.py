"""Measures of how long a failure lasts once its cause is gone."""

from __future__ import annotations

import numpy as np

from chaos.measures.estimates import mean_of_durations
from chaos.measures.samples import series
from chaos.measures.selections import Which, every, first_act_s, healed_s
from chaos.model.evidence import Floats, Segment
from chaos.model.experiment import Measure

BIN_S = 0.25
SAMPLED_S = 0.3  # how often it is read how many clicks wait
NO_ACT = "no act was undone before the segment ended"


def _after_heal_s(segment: Segment) -> float:
    return segment.ended_s - healed_s(segment)


def recovery(which: Which = every, *, within_ms: float, share: float = 0.99) -> Measure:
    """Seconds from the heal until answers are good to the end of the segment.

    Good: in every quarter of a second that is left, this share of the requests due was answered
    well within `within_ms`. Censored if the last quarter is still bad.
    """

    def of(segment: Segment) -> Floats:
        if not segment.acts:
            return np.array([np.nan])
        requests = segment.requests
        due_s = requests.intended_s - healed_s(segment)
        chosen = which.of(requests) & (due_s >= 0) & (requests.intended_s < segment.ended_s)
        if not chosen.any():
            return np.array([np.nan])
        good = (requests.outcome == "ok") & (requests.latency_ms <= within_ms)
        place = (due_s[chosen] / BIN_S).astype(np.int64)
        count, well = np.bincount(place), np.bincount(place, weights=good[chosen])
        bad = np.flatnonzero((count > 0) & (well < share * count))
        if not len(bad):
            return np.array([0.0])
        return np.array([np.inf if bad[-1] == len(count) - 1 else (bad[-1] + 1) * BIN_S])

    title = f"{which.title}recovery"
    summary = mean_of_durations(BIN_S)
    return Measure(f"{which.name}recovery_s", "s", title, of, summary, NO_ACT, _after_heal_s)


def catch_up() -> Measure:
    """Seconds from the heal until no more clicks wait to be counted than before the first act.

    Where they never do within the segment, until queue and outbox are empty after it. Censored if
    that takes longer than the run waits.
    """

    def of(segment: Segment) -> Floats:
        if not segment.acts:
            return np.array([np.nan])
        t_s, waiting = series(segment, "clicks_waiting")
        calm = waiting[t_s < first_act_s(segment)]
        after = t_s >= healed_s(segment)
        done = after & (waiting <= calm.max(initial=0.0))
        if done.any():
            return np.array([t_s[done][0] - healed_s(segment)])
        settled_s = np.inf if np.isnan(segment.settled_s) else segment.settled_s
        return np.array([settled_s - healed_s(segment)])

    summary = mean_of_durations(SAMPLED_S)
    return Measure("clicks_catch_up_s", "s", "catch-up", of, summary, NO_ACT, _after_heal_s)
