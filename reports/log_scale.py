"""A logarithmic scale: positions of values between two edges, and round values for ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

MARGIN = 1.25
ROUND = (1, 2, 5)


@dataclass(frozen=True)
class LogScale:
    """Maps `low` to `left` and `high` to `right`; values below `low` lie at the left edge."""

    low: float
    high: float
    left: float
    right: float

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


def around(values: Iterable[float], left: float, right: float) -> LogScale:
    """A scale with a margin around all positive values; one decade if there is none."""
    positive = [value for value in values if value > 0]
    low, high = (min(positive), max(positive)) if positive else (1.0, 1.0)
    if high < 4 * low:
        low, high = low / 2, high * 2
    return LogScale(low / MARGIN, high * MARGIN, left, right)
