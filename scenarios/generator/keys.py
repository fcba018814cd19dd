"""The distribution of requests over keys: one hot key, and Zipf over the rest."""

from __future__ import annotations

import numpy as np

from chaos.model.evidence import Floats, Ints
from chaos.model.experiment import Traffic


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
