"""Measures of answers: how many failed, how slow they were, how often clients tried."""

from __future__ import annotations

import numpy as np

from chaos.measures import within
from chaos.measures.estimates import mean_of_levels, mean_of_shares, total
from chaos.measures.selections import When, Which, every, selected, whole
from chaos.model.evidence import Floats, Segment
from chaos.model.experiment import Measure

NO_REQUEST = "no such request was due then"


def failed(when: When = whole, which: Which = every) -> Measure:
    """Operations without a good answer in any of their tries, a 404 among them."""

    def of(segment: Segment) -> Floats:
        chosen = selected(segment, when, which)
        if not chosen.any():
            return np.array([np.nan])
        requests = segment.requests
        return np.array([float((chosen & requests.last & (requests.outcome != "ok")).sum())])

    name, title = f"{which.name}failed{when.name}", f"{which.title}failed{when.title}"
    return Measure(name, "requests", title, of, total, NO_REQUEST)


def latency(percentile: float, when: When = whole, which: Which = every) -> Measure:
    """A percentile of the time from when a request was due to its answer, or to its timeout."""
    if not 0 <= percentile <= 100:
        raise ValueError(f"a percentile is from 0 to 100, not {percentile:g}")

    def of(segment: Segment) -> Floats:
        values = segment.requests.latency_ms[selected(segment, when, which)]
        return np.array([float(np.percentile(values, percentile)) if len(values) else np.nan])

    def inside(segment: Segment, tail: float) -> within.Interval:
        values = segment.requests.latency_ms[selected(segment, when, which)]
        return within.of_percentile(values, percentile, tail)

    return Measure(
        f"{which.name}latency_p{percentile:g}_ms{when.name}",
        "ms",
        f"{which.title}p{percentile:g}{when.title}",
        of,
        mean_of_levels,
        NO_REQUEST,
        within=inside,
    )


def tries(when: When = whole, which: Which = every) -> Measure:
    """Requests for each operation: 1 without retries, more when clients try again."""

    def of(segment: Segment) -> Floats:
        chosen = selected(segment, when, which)
        first = (chosen & (segment.requests.attempt == 1)).sum()
        return np.array([chosen.sum() / first if first else np.nan])

    def inside(segment: Segment, tail: float) -> within.Interval:
        first = segment.requests.attempt[selected(segment, when, which)] == 1
        return within.of_ratio(np.ones(len(first)), first, tail)

    name, title = f"{which.name}tries{when.name}", f"{which.title}tries per operation{when.title}"
    return Measure(name, "tries", title, of, mean_of_levels, NO_REQUEST, within=inside)


def retried(when: When = whole, which: Which = every) -> Measure:
    """Requests that are not the first try of their operation."""

    def of(segment: Segment) -> Floats:
        chosen = selected(segment, when, which)
        return np.array([float((segment.requests.attempt[chosen] > 1).sum())])

    name, title = f"{which.name}retried{when.name}", f"{which.title}retries{when.title}"
    return Measure(name, "requests", title, of, total)


def goodput(when: When = whole, which: Which = every, *, within_ms: float = np.inf) -> Measure:
    """The share of operations whose last try, due then, got a good answer in time."""
    name, title = f"{which.name}goodput{when.name}", f"{which.title}goodput{when.title}"
    return _share_of_operations(name, title, when, which, within_ms, wanted=True)


def missed(when: When = whole, which: Which = every, *, within_ms: float = np.inf) -> Measure:
    """The share of operations whose last try, due then, got no good answer in time."""
    name, title = f"{which.name}missed{when.name}", f"{which.title}missed{when.title}"
    return _share_of_operations(name, title, when, which, within_ms, wanted=False)


def _share_of_operations(
    name: str, title: str, when: When, which: Which, within_ms: float, *, wanted: bool
) -> Measure:
    """Per cent of the last tries that were good in time, or that were not."""

    def hits(segment: Segment) -> within.Mask:
        requests = segment.requests
        good = (requests.outcome == "ok") & (requests.latency_ms <= within_ms)
        chosen: within.Mask = (good == wanted)[selected(segment, when, which) & requests.last]
        return chosen

    def of(segment: Segment) -> Floats:
        chosen = hits(segment)
        return np.array([100 * chosen.mean() if len(chosen) else np.nan])

    return Measure(name, "%", title, of, mean_of_shares, NO_REQUEST, within=within.per_cent(hits))
