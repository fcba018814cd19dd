"""Measures of each expiry of the hot key, one figure per repetition.

An *expiry* begins when a reader finds the hot key's value missing or due, and lasts until the next
one. Origin queries belong to the same expiry if their cache read was sent before the first of them
had stored the new value; a later read would have found it. Times come from the web processes' logs
of origin queries, on the monotonic clock that all processes of the host share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from chaos.measures.estimates import mean, mean_of_counts, median, worst
from chaos.measures.remembered import remembered
from chaos.model.evidence import Floats, Ints, Requests, Segment, Strings
from chaos.model.experiment import Event, Input, Measure, Prediction, Strip

HOT = 0  # the rank of the hot key
AFTERMATH_S = 1.0
PERCENTILES = (50, 99, 100)
UNKNOWN = np.full(len(PERCENTILES), np.nan)
REDIS_COMMANDS = "redis.commands"
ORIGIN_QUERIES = "origin_queries_per_expiry"


@dataclass(frozen=True)
class Expiry:
    """One expiry: its origin queries, as slices of the segment's queries for the hot key."""

    read_s: Floats
    asked_s: Floats
    answered_s: Floats
    stored_s: Floats
    until_s: float  # the next expiry, or the end of the segment

    @property
    def began_s(self) -> float:
        """Time of the first cache read that found the value missing or due."""
        return float(self.read_s[0])

    @property
    def refilled_s(self) -> float:
        """Time at which a new value was first in the cache."""
        return float(np.fmin.reduce(self.stored_s))

    @property
    def settled_s(self) -> float:
        """Time at which the last query of this expiry had stored its value."""
        return float(np.fmax.reduce(self.stored_s))


@remembered
def expiries(segment: Segment) -> Sequence[Expiry]:
    """The expiries that were refilled before the segment ended."""
    look_ups = segment.look_ups.of_rank(HOT)
    starts = _first_of_each(look_ups.read_s, look_ups.stored_s)
    found = []
    for first, last in pairwise([*starts, len(look_ups)]):
        until_s = look_ups.read_s[last] if last < len(look_ups) else segment.ended_s
        part = slice(first, last)
        stored = look_ups.stored_s[part]
        if np.fmin.reduce(stored) <= segment.ended_s:  # false for NaN: none was stored
            found.append(
                Expiry(
                    look_ups.read_s[part],
                    look_ups.asked_s[part],
                    look_ups.answered_s[part],
                    stored,
                    float(until_s),
                )
            )
    return found


def _first_of_each(read_s: Floats, stored_s: Floats) -> list[int]:
    """Index of the first query of each expiry; `read_s` is sorted."""
    starts: list[int] = []
    refilled = -math.inf
    for index, (read, stored) in enumerate(np.column_stack([read_s, stored_s]).tolist()):
        if read >= refilled:
            starts.append(index)
            refilled = math.inf
        refilled = min(refilled, stored)  # NaN, where none was stored, is not less
    return starts


@remembered
def aftermaths(segment: Segment) -> Sequence[Ints]:
    """For each expiry the indices of the hot requests in flight at it, or due within the second
    after it."""
    return list(_aftermaths(segment))


def _aftermaths(segment: Segment) -> Iterator[Ints]:
    requests = segment.requests
    hot = np.flatnonzero(requests.rank == HOT)
    intended_s, done_s = requests.intended_s[hot], requests.done_s[hot]
    all_done_s = np.fmax.accumulate(done_s)  # when all up to here were answered
    for expiry in expiries(segment):
        until_s = min(expiry.began_s + AFTERMATH_S, expiry.until_s)
        first = np.searchsorted(all_done_s, expiry.began_s)
        last = np.searchsorted(intended_s, until_s)
        yield hot[first:last][done_s[first:last] > expiry.began_s]


# --- the measures ------------------------------------------------------------------------------


def _at_each_expiry(figure: Callable[[Expiry], float], segment: Segment) -> Floats:
    return np.array([figure(expiry) for expiry in expiries(segment)])


def _peak(expiry: Expiry) -> float:
    """Most concurrent queries: +1 at each start, then −1 at each end."""
    times = np.concatenate([expiry.asked_s, expiry.answered_s])
    steps = np.concatenate([np.ones(len(expiry.asked_s)), -np.ones(len(expiry.answered_s))])
    return float(np.cumsum(steps[np.lexsort((-steps, times))]).max())


def _after_each_expiry(
    column: Callable[[Requests], Any], figure: Callable[[Any], float], segment: Segment
) -> Floats:
    """A figure of one column of the requests in each expiry's aftermath."""
    values = column(segment.requests)
    return np.array([figure(values[places]) for places in aftermaths(segment)])


def _latency(place: int, segment: Segment) -> Floats:
    return _latencies(segment)[:, place]


@remembered
def _latencies(segment: Segment) -> Floats:
    """Percentiles of the latency after each expiry, a column for each of `PERCENTILES`."""
    latency_ms = segment.requests.latency_ms
    found = [
        np.percentile(latency_ms[places], PERCENTILES) if len(places) else UNKNOWN
        for places in aftermaths(segment)
    ]
    return np.array(found).reshape(-1, len(PERCENTILES))


def _oldest(age_ms: Floats) -> float:
    known = age_ms[np.isfinite(age_ms)]
    return float(known.max()) if len(known) else np.nan


def _waited(served_from: Strings) -> float:
    """Count redirects that waited for the origin, for their own query or another request's."""
    return float(np.isin(served_from, ["miss", "wait", "early"]).sum())


def _redis_uses(
    segment: Segment, from_s: Sequence[float] | Floats, to_s: Sequence[float] | Floats
) -> tuple[Floats, Floats]:
    """Redis commands of the web processes between the first and last sample of each span, and the
    redirects answered meanwhile; NaN and 0 where there are not two samples."""
    t_s, commands = segment.samples.of(REDIS_COMMANDS)
    first = np.searchsorted(t_s, from_s)
    last = np.searchsorted(t_s, to_s, side="right") - 1
    two = last > first
    used, redirects = np.full(len(two), np.nan), np.zeros(len(two))
    used[two] = commands[last[two]] - commands[first[two]]
    done_s = np.sort(segment.requests.done_s)
    answered = [np.searchsorted(done_s, t_s[edge[two]], side="right") for edge in (first, last)]
    redirects[two] = answered[1] - answered[0]
    return used, redirects


def _redis_commands_per_redirect(segment: Segment) -> Floats:
    """Between expiries, where requests only hit: from the end of one to the next one's start."""
    found = expiries(segment)
    ends = [segment.started_s, *(expiry.settled_s for expiry in found)]
    begins = [*(expiry.began_s for expiry in found), segment.ended_s]
    used, redirects = _redis_uses(segment, ends, begins)
    busy = redirects > 0
    return used[busy] / redirects[busy]


def _redis_commands_per_expiry(segment: Segment) -> Floats:
    """Commands from the sample before an expiry to the one after it, minus those of mere hits."""
    in_calm = _redis_commands_per_redirect(segment)
    if not len(in_calm):
        return np.array([])
    t_s, _ = segment.samples.of(REDIS_COMMANDS)
    found = expiries(segment)
    before = np.searchsorted(t_s, [expiry.began_s for expiry in found], side="right") - 1
    after = np.searchsorted(t_s, [expiry.settled_s for expiry in found])
    inside = (before >= 0) & (after < len(t_s))
    used, redirects = _redis_uses(segment, t_s[before[inside]], t_s[after[inside]])
    return used - float(in_calm.mean()) * redirects


NO_EXPIRY = "the hot key did not expire and come back while requests for it were answered"
NO_CALM = "no two expiries were far enough apart to see what Redis does in calm"

origin_queries = Measure(
    ORIGIN_QUERIES,
    "queries",
    "origin queries per expiry",
    partial(_at_each_expiry, lambda expiry: float(len(expiry.read_s))),
    mean_of_counts,
    NO_EXPIRY,
)
peak_origin_queries = Measure(
    *("peak_origin_queries", "queries", "peak"),
    partial(_at_each_expiry, _peak),
    mean_of_counts,
    NO_EXPIRY,
)
latency_p50 = Measure(
    "latency_p50_ms", "ms", "p50 after expiry", partial(_latency, 0), median, NO_EXPIRY
)
latency_p99 = Measure(
    "latency_p99_ms", "ms", "p99 after expiry", partial(_latency, 1), median, NO_EXPIRY
)
latency_max = Measure("latency_max_ms", "ms", "max", partial(_latency, 2), worst, NO_EXPIRY)
oldest_age = Measure(
    *("oldest_age_ms", "ms", "oldest"),
    partial(_after_each_expiry, lambda r: r.age_ms, _oldest),
    worst,
    NO_EXPIRY,
)
waited = Measure(
    *("waited_per_expiry", "redirects", "waited"),
    partial(_after_each_expiry, lambda r: r.served_from, _waited),
    mean_of_counts,
    NO_EXPIRY,
)
redis_commands_per_redirect = Measure(
    "redis_commands_per_redirect",
    "commands",
    "Redis commands per redirect",
    _redis_commands_per_redirect,
    mean_of_counts,
    NO_CALM,
    series=REDIS_COMMANDS,
)
redis_commands_per_expiry = Measure(
    "redis_commands_per_expiry",
    "commands",
    "Redis commands due to an expiry",
    _redis_commands_per_expiry,
    mean,
    NO_CALM,
    series=REDIS_COMMANDS,
)


# --- theory ------------------------------------------------------------------------------------


def hot_rate_per_s(segments: Sequence[Segment]) -> float:
    """λ: arrivals for the hot key per second, as intended by the generator."""
    duration_s = sum(segment.ended_s - segment.started_s for segment in segments)
    hot = sum(int((segment.requests.rank == HOT).sum()) for segment in segments)
    return hot / duration_s if duration_s > 0 else math.nan


def origin_time_s(segments: Sequence[Segment]) -> float:
    """δ: mean time of an origin query for the hot key."""
    times = [segment.look_ups.of_rank(HOT) for segment in segments]
    answered = [own.answered_s - own.asked_s for own in times if len(own)]
    return float(np.concatenate(answered).mean()) if answered else math.nan


def _herd(segments: Sequence[Segment]) -> float:
    return 1 + hot_rate_per_s(segments) * origin_time_s(segments)


def _processes(segments: Sequence[Segment]) -> float:
    return float(max((segment.web_processes for segment in segments), default=0)) or math.nan


def _one(_: Sequence[Segment]) -> float:
    return 1.0


def _xfetch(segments: Sequence[Segment]) -> float:
    betas = {float(segment.settings.get("XFETCH_BETA", "1")) for segment in segments}
    return math.exp(1 / betas.pop()) if len(betas) == 1 else math.nan


herd = Prediction(
    "1 + λδ",
    "Poisson arrivals: the first miss, and all that arrive before its answer is stored",
    _herd,
)
one_per_process = Prediction(
    "≤ web processes", "each process runs at most one look-up of a key at a time", _processes, True
)
one = Prediction("1", "one holder of the key's lock, lease or refresh at a time", _one)
xfetch_law = Prediction(
    "e^(1/β)",
    "Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015;"
    " the count of refreshes begun within δ of the first is geometric with this mean",
    _xfetch,
)

inputs = [
    Input("lambda_per_s", "λ", "/s", hot_rate_per_s),
    Input("delta_ms", "δ", "ms", lambda segments: origin_time_s(segments) * 1000),
    Input("lambda_delta", "λδ", "", lambda segments: _herd(segments) - 1),
]
expiry = Event(
    "expiry", "expiries", lambda segment: _at_each_expiry(lambda one: one.began_s, segment)
)
strips = [
    Strip("Latency", "ms", "requests", "latency_ms", rank=HOT, of="the hot key"),
    Strip("Look-ups", "queries", "look-ups", rank=HOT, of="the hot key"),
    Strip("Age of what was served", "s", "requests", "age_ms", rank=HOT, of="the hot key"),
]
