"""Scales of an axis: positions of values between two edges, and round values for ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

MARGIN = 1.25
LINEAR_MARGIN = 0.06
DECADE = 10
ROUND = (1, 2, 5)


@dataclass(frozen=True)
class LogScale:
    """Maps `low` to `left` and `high` to `right`; values below `low` lie at the left edge."""

    low: float
    high: float
    left: float
    right: float

    name = "log scale"

    def place(self, value: float) -> float:
        """The position of a value, within the edges."""
        if value <= self.low:
            return self.left
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.left + min(share, 1.0) * (self.right - self.left)

    def ticks(self) -> list[float]:
        """1, 2 and 5 times the powers of ten inside; only the powers where those are many."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        steps = ROUND if len(powers) <= 4 else ROUND[:1]
        values = (step * 10.0**power for power in powers for step in steps)
        return [value for value in values if self.low <= value <= self.high]


@dataclass(frozen=True)
class LinearScale:
    """Maps `low` to `left` and `high` to `right`; values beyond them lie at the edges."""

    low: float
    high: float
    left: float
    right: float

    name = ""

    def place(self, value: float) -> float:
        """The position of a value, within the edges."""
        share = (value - self.low) / (self.high - self.low)
        return self.left + min(max(share, 0.0), 1.0) * (self.right - self.left)

    def ticks(self) -> list[float]:
        """Multiples of 1, 2 or 5 times a power of ten inside, three to six of them."""
        power = 10.0 ** math.floor(math.log10((self.high - self.low) / 5))
        step = next(s * power for s in (*ROUND, 10) if (self.high - self.low) / (s * power) <= 6)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


Scale = LogScale | LinearScale


def around(values: Iterable[float], left: float, right: float) -> LogScale:
    """A log scale with a margin around all positive values; one decade if there is none."""
    positive = [value for value in values if value > 0]
    low, high = (min(positive), max(positive)) if positive else (1.0, 1.0)
    if high < 4 * low:
        low, high = low / 2, high * 2
    return LogScale(low / MARGIN, high * MARGIN, left, right)


def fitting(figures: Iterable[float], ends: Iterable[float], left: float, right: float) -> Scale:
    """A log scale for figures of several decades, else a linear one from zero.

    A zero has no place on a log scale. The ends of intervals are on the scale, but do not decide.
    """
    shown = [*figures]
    if shown and min(shown) > 0 and max(shown) >= DECADE * min(shown):
        return around([*shown, *ends], left, right)
    reached = [0.0, *shown, *ends]
    margin = LINEAR_MARGIN * ((max(reached) - min(reached)) or 1.0)
    high = max(reached) + margin if max(reached) > min(reached) else 1.0
    return LinearScale(min(reached) - margin, high, left, right)
