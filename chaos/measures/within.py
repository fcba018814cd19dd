"""Intervals of one segment's figure, from what repeats within it: requests, reads, samples.

Neighbours in time are alike: a stall hits many requests at once. So they count as fewer than they
are, by how much more their number varies from batch to batch than it would by chance (batch means:
A. Law, W. Kelton: Simulation modeling and analysis, ch. 9). An end is infinite where there
are too few.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chaos.model.evidence import Floats, Segment

Interval = tuple[float, float]
Mask = NDArray[np.bool_]
NOTHING: Interval = (-math.inf, math.inf)
BATCHES = 20
ENOUGH = 4  # batches, to tell how they differ


def share_interval(hits: float, count: float, tail: float) -> Interval:
    """Clopper and Pearson's interval of a share: `hits` of `count`, which need not be whole."""
    from scipy import special

    low = float(special.betaincinv(hits, count - hits + 1, tail)) if hits > 0 else 0.0
    high = float(special.betaincinv(hits + 1, count - hits, 1 - tail)) if hits < count else 1.0
    return low, high


def inflation(hits: Mask) -> float:
    """How many neighbours, in order of time, count as one: 1 if they are independent."""
    size = max(len(hits) // BATCHES, 1)
    share = float(hits.mean()) if len(hits) else 0.0
    counts = hits[: len(hits) // size * size].reshape(-1, size).sum(axis=1)
    if len(counts) < ENOUGH or not 0 < share < 1:
        return 1.0
    return max(float(counts.var(ddof=1)) / (size * share * (1 - share)), 1.0)


def of_share(hits: Mask, tail: float) -> Interval:
    """An interval of the share of requests that are so, in order of time."""
    if not len(hits):
        return NOTHING
    alike = inflation(hits)
    return share_interval(float(hits.sum()) / alike, len(hits) / alike, tail)


def per_cent(hits: Callable[[Segment], Mask]) -> Callable[[Segment, float], Interval]:
    """The same in per cent, for a measure that is such a share of a segment."""

    def interval(segment: Segment, tail: float) -> Interval:
        low, high = of_share(hits(segment), tail)
        return 100 * low, 100 * high

    return interval


def of_percentile(values: Floats, percentile: float, tail: float) -> Interval:
    """An interval of a percentile from the order of the values, which are given in order of time.

    It holds for any distribution (H. David, H. Nagaraja: Order statistics, 7.1).
    """
    if not len(values):
        return NOTHING
    from scipy import special

    share = percentile / 100
    count = len(values) / inflation(values > np.percentile(values, percentile))
    ordered, whole = np.sort(values), len(values)
    low, high = NOTHING
    if (1 - share) ** count <= tail:
        rank = math.floor(float(special.bdtrik(tail, count, share))) + 1
        low = float(ordered[max(math.floor(rank / count * whole) - 1, 0)])
    if share**count <= tail:
        rank = math.ceil(float(special.bdtrik(1 - tail, count, share))) + 1
        high = float(ordered[min(math.ceil(rank / count * whole) - 1, whole - 1)])
    return low, high


def of_rate(risen: Floats, lasted_s: Floats, tail: float) -> Interval:
    """An interval of events a second, from how many there were in each of several spans.

    The counts are Poisson's, or vary more by a factor that they show (F. Garwood: Fiducial limits
    for the Poisson distribution, Biometrika 28, 1936).
    """
    count, duration_s = float(risen.sum()), float(lasted_s.sum())
    if duration_s <= 0:
        return NOTHING
    from scipy import special

    expected = count / duration_s * lasted_s
    alike = 1.0
    if count > 0 and len(risen) >= ENOUGH:
        alike = max(float(((risen - expected) ** 2 / expected).sum()) / (len(risen) - 1), 1.0)
    events = count / alike
    low = float(special.gammaincinv(events, tail)) if events > 0 else 0.0
    high = float(special.gammaincinv(events + 1, 1 - tail))
    return low * alike / duration_s, high * alike / duration_s


def of_ratio(parts: NDArray[Any], wholes: NDArray[Any], tail: float) -> Interval:
    """An interval of the ratio of two sums, from their terms in order of time."""
    size = max(len(parts) // BATCHES, 1)
    groups = len(parts) // size
    if groups < ENOUGH or not wholes.sum():
        return NOTHING
    from scipy import special

    above, below = (
        np.add.reduceat(terms.astype(np.float64), np.arange(groups) * size)
        for terms in (parts, wholes)
    )
    ratio = above.sum() / below.sum()
    apart = above - ratio * below
    error = math.sqrt(groups / (groups - 1) * float((apart**2).sum())) / below.sum()
    far = -float(special.stdtrit(groups - 1, tail)) * error
    return float(ratio - far), float(ratio + far)
