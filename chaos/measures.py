"""Measures: what happened at each expiry, as figures that a repetition yields one of.

An *expiry* begins when a reader finds the hot key's value gone or due, and lasts until the next
one. Look-ups belong to the same expiry if their cache read was sent before the first of them had
stored the new value; a later one would have found it. Times come from the web processes' own
records of each look-up, on the monotonic clock that all processes of the host share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import stats

from chaos.model import Estimate, Floats, Measure, Requests, Segment

AFTERMATH_S = 1.0
ORIGIN_QUERIES = "origin_queries_per_expiry"


@dataclass(frozen=True)
class Expiry:
    """One expiry of the hot key: its look-ups as slices into the segment's hot look-ups."""

    read_s: Floats
    asked_s: Floats
    answered_s: Floats
    stored_s: Floats
    until_s: float  # the next expiry, or the end of the segment

    @property
    def began_s(self) -> float:
        """When the first reader that found the value gone or due sent its cache read."""
        return float(self.read_s[0])

    @property
    def refilled_s(self) -> float:
        """When a new value first stood in the cache."""
        return float(np.nanmin(self.stored_s))

    @property
    def settled_s(self) -> float:
        """When the last look-up of this expiry had stored its value."""
        return float(np.nanmax(self.stored_s))


def expiries(segment: Segment) -> list[Expiry]:
    """The expiries that ran their course while arrivals were still coming."""
    origin = segment.origin.of_hot()
    starts = _first_of_each(origin.read_s, origin.stored_s)
    found = []
    for first, last in pairwise([*starts, len(origin)]):
        until_s = origin.read_s[last] if last < len(origin) else segment.ended_s
        part = slice(first, last)
        stored = origin.stored_s[part]
        if np.isfinite(stored).any() and float(np.nanmin(stored)) <= segment.ended_s:
            found.append(
                Expiry(
                    origin.read_s[part],
                    origin.asked_s[part],
                    origin.answered_s[part],
                    stored,
                    float(until_s),
                )
            )
    return found


def _first_of_each(read_s: Floats, stored_s: Floats) -> list[int]:
    """Index of the first look-up of each expiry, `read_s` being in order."""
    starts: list[int] = []
    refilled = -np.inf
    for index, (read, stored) in enumerate(zip(read_s, stored_s, strict=True)):
        if read >= refilled:
            starts.append(index)
            refilled = np.inf
        if np.isfinite(stored):
            refilled = min(refilled, stored)
    return starts


def aftermath(segment: Segment, expiry: Expiry) -> Requests:
    """Hot requests in flight at the expiry or arriving in the second after it."""
    requests = segment.requests
    until_s = min(expiry.began_s + AFTERMATH_S, expiry.until_s)
    chosen = requests.hot & (requests.done_s > expiry.began_s) & (requests.intended_s < until_s)
    return Requests(*(getattr(requests, name)[chosen] for name in Requests.__dataclass_fields__))


# --- how repetitions become one figure ---------------------------------------------------------


def mean(values: Floats) -> Estimate:
    """Mean over the repetitions with Student's 95 % t interval."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, "t95")
    value = float(finite.mean())
    if len(finite) == 1 or np.ptp(finite) == 0:
        spread = np.inf if len(finite) == 1 else 0.0
    else:
        spread = float(stats.t.ppf(0.975, len(finite) - 1) * stats.sem(finite))
    return Estimate(value, value - spread, value + spread, len(finite), "t95")


def worst(values: Floats) -> Estimate:
    """The largest repetition, and the range of them all."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, "range")
    high = float(finite.max())
    return Estimate(high, float(finite.min()), high, len(finite), "range")


def total(values: Floats) -> Estimate:
    """The sum over all repetitions, which is exact."""
    finite = values[np.isfinite(values)]
    value = float(finite.sum()) if len(finite) else np.nan
    return Estimate(value, value, value, len(finite), "range")


# --- the measures ------------------------------------------------------------------------------


def _at_each_expiry(figure: Callable[[Segment, Expiry], float]) -> Callable[[Segment], Floats]:
    return lambda segment: np.array([figure(segment, expiry) for expiry in expiries(segment)])


def _peak(_: Segment, expiry: Expiry) -> float:
    """Most look-ups under way at once: +1 at each question, −1 at each answer."""
    times = np.concatenate([expiry.asked_s, expiry.answered_s])
    steps = np.concatenate([np.ones(len(expiry.asked_s)), -np.ones(len(expiry.answered_s))])
    return float(np.cumsum(steps[np.argsort(times, kind="stable")]).max())


def _latency(percentile: float) -> Callable[[Segment, Expiry], float]:
    def figure(segment: Segment, expiry: Expiry) -> float:
        latency = aftermath(segment, expiry).latency_ms
        return float(np.percentile(latency, percentile)) if len(latency) else np.nan

    return figure


def _oldest_age(segment: Segment, expiry: Expiry) -> float:
    age = aftermath(segment, expiry).age_ms
    known = age[np.isfinite(age)]
    return float(known.max()) if len(known) else np.nan


def _waited(segment: Segment, expiry: Expiry) -> float:
    """Redirects that waited for the origin, by their own query or by another request's."""
    served = aftermath(segment, expiry).served_from
    return float(np.isin(served, ["miss", "wait", "early"]).sum())


def _failed(segment: Segment) -> Floats:
    return np.array([float((segment.requests.outcome != "ok").sum())])


def _redis_use(segment: Segment, from_s: float, to_s: float) -> tuple[float, int] | None:
    """Commands that Redis ran for web between the first and last sample within a span, and the
    redirects answered meanwhile; None where there are not two samples."""
    t_s, commands = segment.samples.of("redis_commands")
    inside = np.flatnonzero((t_s >= from_s) & (t_s <= to_s))
    if len(inside) < 2:
        return None
    first, last = inside[0], inside[-1]
    done = segment.requests.done_s
    redirects = int(((done > t_s[first]) & (done <= t_s[last])).sum())
    return float(commands[last] - commands[first]), redirects


def _redis_commands_per_redirect(segment: Segment) -> Floats:
    """In calm: from one expiry's end to the next one's beginning, nothing but hits on the key."""
    found = expiries(segment)
    ends = [segment.started_s, *(expiry.settled_s for expiry in found)]
    begins = [*(expiry.began_s for expiry in found), segment.ended_s]
    calm = [_redis_use(segment, *span) for span in zip(ends, begins, strict=True)]
    return np.array([use[0] / use[1] for use in calm if use is not None and use[1]])


def _redis_commands_per_expiry(segment: Segment) -> Floats:
    """Commands from the sample before an expiry to the one after it, beyond those of calm."""
    in_calm = _redis_commands_per_redirect(segment)
    t_s, _ = segment.samples.of("redis_commands")
    if not len(in_calm):
        return np.array([])
    extra = []
    for expiry in expiries(segment):
        before, after = t_s[t_s <= expiry.began_s], t_s[t_s >= expiry.settled_s]
        if len(before) and len(after):
            use = _redis_use(segment, before[-1], after[0])
            if use is not None:
                extra.append(use[0] - float(in_calm.mean()) * use[1])
    return np.array(extra)


origin_queries = Measure(
    ORIGIN_QUERIES,
    "queries",
    "origin queries per expiry",
    _at_each_expiry(lambda _, expiry: float(len(expiry.read_s))),
    mean,
)
peak_origin_queries = Measure(
    "peak_origin_queries", "queries", "peak", _at_each_expiry(_peak), mean
)
latency_p50 = Measure(
    "latency_p50_ms", "ms", "p50 after expiry", _at_each_expiry(_latency(50)), mean
)
latency_p99 = Measure(
    "latency_p99_ms", "ms", "p99 after expiry", _at_each_expiry(_latency(99)), mean
)
latency_max = Measure("latency_max_ms", "ms", "max", _at_each_expiry(_latency(100)), worst)
oldest_age = Measure("oldest_age_ms", "ms", "oldest", _at_each_expiry(_oldest_age), worst)
waited = Measure("waited_per_expiry", "redirects", "waited", _at_each_expiry(_waited), mean)
failed = Measure("failed_requests", "requests", "failed", _failed, total)
redis_commands_per_redirect = Measure(
    "redis_commands_per_redirect",
    "commands",
    "Redis commands per redirect",
    _redis_commands_per_redirect,
    mean,
)
redis_commands_per_expiry = Measure(
    "redis_commands_per_expiry",
    "commands",
    "extra Redis commands per expiry",
    _redis_commands_per_expiry,
    mean,
)
