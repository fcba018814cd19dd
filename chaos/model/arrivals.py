"""Arrival times of an open workload: a Poisson process whose rate follows a curve.

Drawn exactly, by thinning (Lewis and Shedler, Naval Research Logistics Quarterly 26, 1979):
candidates arrive at the highest rate of the curve, and one at time t is kept with probability
rate(t)/highest. Keys follow Zipf, beside one that is more popular than all.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from chaos.model.curves import peak_of, rate_of
from chaos.model.evidence import Floats, Ints
from chaos.model.traffic import Traffic, Visit

CANDIDATES = 4096

Batch = tuple[Floats, Ints]


def arrivals(
    traffic: Traffic, duration_s: float, seed: int, *, stream: int = 0, streams: int = 1
) -> Iterator[Batch]:
    """Seconds since the start, ascending, with the rank each requests; a batch at a time.

    The same arguments give the same arrivals. `stream` is one of `streams` generators that share
    the rate: independent Poisson processes add up to one (superposition).
    """
    times, ranks, _, _ = _random_streams(seed, stream)
    keys = KeyDistribution(traffic, ranks)
    for batch in _times(traffic, duration_s, streams, times):
        yield batch, keys.draw(len(batch))


def visits(traffic: Traffic, seed: int, *, stream: int = 0) -> Iterator[Visit]:
    """The visit that each arrival starts, drawn by weight; without an end."""
    for batch in visit_places(traffic, seed, stream=stream):
        for place in batch.tolist():
            yield traffic.visits[place]


def visit_places(traffic: Traffic, seed: int, *, stream: int = 0) -> Iterator[Ints]:
    """The places of those visits among the traffic's, in batches of `CANDIDATES`; without an end.

    The random numbers are their own, so arrivals and ranks are the same with any visits.
    """
    _, _, choices, _ = _random_streams(seed, stream)
    weights = np.cumsum([visit.weight for visit in traffic.visits])
    while True:
        drawn = np.searchsorted(weights, choices.random(CANDIDATES) * weights[-1], side="right")
        yield np.minimum(drawn, len(weights) - 1).astype(np.int64)


def jitters(seed: int, *, stream: int = 0) -> Iterator[float]:
    """Random shares of the pauses before retries, uniform from 0 to 1; without an end."""
    *_, shares = _random_streams(seed, stream)
    while True:
        yield from shares.random(CANDIDATES).tolist()


def _random_streams(seed: int, stream: int) -> list[np.random.Generator]:
    """Independent random numbers for arrival times, ranks, visits and pauses, in this order."""
    return [
        np.random.default_rng(each)
        for each in np.random.SeedSequence(seed, spawn_key=(stream,)).spawn(4)
    ]


def _times(
    traffic: Traffic, duration_s: float, streams: int, rng: np.random.Generator
) -> Iterator[Floats]:
    rate, highest = rate_of(traffic, duration_s), peak_of(traffic)
    at = 0.0
    while at < duration_s:
        candidates = at + np.cumsum(rng.exponential(streams / highest, CANDIDATES))
        at = float(candidates[-1])
        stays = rng.random(CANDIDATES) * highest < rate(candidates)
        kept = candidates[stays & (candidates < duration_s)]
        if len(kept):
            yield kept


class KeyDistribution:
    """Draws ranks: 0 with `hot_share`, else 1 to keys-1 in proportion to rank^-zipf_alpha."""

    def __init__(self, traffic: Traffic, rng: np.random.Generator) -> None:
        self._cumulative = _cumulative(traffic)
        self._rng = rng

    def draw(self, count: int) -> Ints:
        """The ranks of the next `count` requests."""
        ranks = np.searchsorted(self._cumulative, self._rng.random(count), side="right")
        return np.minimum(ranks, len(self._cumulative) - 1).astype(np.int64)


def _cumulative(traffic: Traffic) -> Floats:
    """Cumulative probability of each rank."""
    if traffic.keys == 1:
        return np.ones(1)
    weights = np.arange(1, traffic.keys, dtype=np.float64) ** -traffic.zipf_alpha
    others = np.cumsum(weights) / weights.sum()
    return np.concatenate(([0.0], others)) * (1 - traffic.hot_share) + traffic.hot_share
