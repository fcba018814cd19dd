"""Measures of sampled counters and gauges."""

from __future__ import annotations

import numpy as np

from chaos.measures import within
from chaos.measures.estimates import mean_of_levels, worst
from chaos.measures.selections import When, whole
from chaos.model.evidence import Floats, Segment
from chaos.model.experiment import Measure
from chaos.model.series import exists, is_gauge, matches

NO_SAMPLE = "it was not sampled then"


def series(segment: Segment, name: str) -> tuple[Floats, Floats]:
    """Times and values of a sampled series.

    It adds up all that the name matches; a value holds until the next one of its part.
    """
    own = [n for n in segment.samples.t_s if matches(n, name)]
    t_s = np.unique(np.concatenate([segment.samples.t_s[n] for n in own] or [np.array([])]))
    if not len(t_s):
        return t_s, t_s
    t_s = t_s[t_s >= max(segment.samples.t_s[n][0] for n in own if len(segment.samples.t_s[n]))]
    values = np.zeros(len(t_s))
    for n in own:
        at_s, readings = segment.samples.of(n)
        values += readings[np.searchsorted(at_s, t_s, side="right") - 1]
    return t_s, values


def peak(name: str, title: str, unit: str, when: When = whole) -> Measure:
    """The largest value of a sampled gauge."""
    if not is_gauge(name) and exists(name):
        raise ValueError(f"{name} is a counter, which only rises: take per_second")

    def of(segment: Segment) -> Floats:
        t_s, values = series(segment, name)
        inside = values[when.holds(segment, t_s)]
        return np.array([inside.max() if len(inside) else np.nan])

    full_name = f"peak_{_plain(name)}{when.name}"
    return Measure(full_name, unit, title, of, worst, NO_SAMPLE, series=name)


def per_second(name: str, title: str, unit: str, when: When = whole) -> Measure:
    """How fast a sampled counter rises, over the spans."""
    if is_gauge(name):
        raise ValueError(f"{name} is a gauge, which may fall: take peak")

    def steps(segment: Segment) -> tuple[Floats, Floats]:
        """How far it rose from one sample to the next, and how long that took."""
        t_s, values = series(segment, name)
        risen, lasted_s = [np.array([])], [np.array([])]
        for from_s, to_s in when.spans(segment):
            from_s, to_s = max(from_s, segment.started_s), min(to_s, segment.ended_s)
            inside = (t_s >= from_s) & (t_s <= to_s)
            risen.append(np.diff(values[inside]))
            lasted_s.append(np.diff(t_s[inside]))
        return np.concatenate(risen), np.concatenate(lasted_s)

    def of(segment: Segment) -> Floats:
        risen, lasted_s = steps(segment)
        return np.array([risen.sum() / lasted_s.sum() if lasted_s.sum() > 0 else np.nan])

    return Measure(
        f"{_plain(name)}_per_s{when.name}",
        f"{unit}/s",
        title,
        of,
        mean_of_levels,
        NO_SAMPLE,
        within=lambda segment, tail: within.of_rate(*steps(segment), tail),
        series=name,
    )


def _plain(name: str) -> str:
    return name.replace(".", "_").replace("-", "_")
