"""How often the intervals that the lab prints cover a truth that is known: simulated repetitions.

`python -m tests.coverage > docs/coverage.md` writes the page (half a minute).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chaos.measures import mean, worst
from chaos.model import Floats

TRIES = 2000
SIZES = (6, 13, 30, 70)  # repetitions an arm: the fewest and most of a quick run, and of a full one
NOMINAL = (0.93, 0.97)

HEAD = """# What the intervals cover

A figure of the table is the mean over an arm's repetitions with Student's 95 % t interval. Here
repetitions are drawn from known laws, as many as in quick runs (6 to 13 expiries an arm) and full
ones (30 to 70): how many of {tries} intervals cover the true mean. **Bold**: outside 93 to 97 %.

| a repetition's figure | its law here | {sizes} |
|---|---|{rules}|
"""

TAIL = """
What follows from it:

- Counts of herds, medians, ratios and differences of counts: the intervals do what they say.
- Skewed figures (xfetch's counts, the 99th percentile of latencies with rare stalls) are covered
  less often than the interval says while repetitions are few. A quick run is for seeing that an
  effect is there; the report says so, and full runs are for numbers that are quoted.
- All repetitions alike: the interval has no width. It covers if they always are; if one in fifty is
  not, few repetitions cannot know. Of {n} alike repetitions all that can be said with 95 %
  confidence is that at most {share:.0%} of all are otherwise; the report says that, too.

The largest figure (`max`, `oldest`) comes with the range that was seen, an interval for nothing but
the next one: after n repetitions, the next lies within it with probability (n − 1)/(n + 1).

| the next repetition within the range | {sizes} |
|---|{rules}|
| expected | {expected} |
| seen, of {tries} | {seen} |

Sums (`failed`) are exact. `python -m tests.coverage > docs/coverage.md` makes this page; the tests
repeat a part of it.
"""

Draw = Callable[[np.random.Generator, int], NDArray[Any]]


@dataclass(frozen=True)
class Case:
    """A law that repetitions follow, and its true mean."""

    figure: str
    law: str
    draw: Draw
    mean: float | None  # None: it has no closed form
    skewed: bool = False  # Student's t does not cover as it says while there are few

    @property
    def truth(self) -> float:
        """The true mean, to a hundredth of a standard deviation of a repetition."""
        if self.mean is not None:
            return self.mean
        return float(self.draw(np.random.default_rng(1), 10_000).mean())


def _p99(rng: np.random.Generator, n: int) -> Floats:
    """The 99th percentile of 200 lognormal latencies, as the measure takes it."""
    p99: Floats = np.percentile(rng.lognormal(1, 0.5, (n, 200)), 99, axis=1)
    return p99


def _median(rng: np.random.Generator, n: int) -> Floats:
    median: Floats = np.median(rng.lognormal(1, 0.5, (n, 200)), axis=1)
    return median


def _stalled(rng: np.random.Generator, n: int) -> Floats:
    return rng.normal(120, 5, n) + 100 * (rng.random(n) < 0.05)


CASES: Sequence[Case] = (
    Case("herd, waited, peak", "1 + Poisson(26)", lambda r, n: 1.0 + r.poisson(26, n), 27.0),
    Case("xfetch's look-ups", "geometric, mean e", lambda r, n: r.geometric(1 / math.e, n) * 1.0,
         math.e, skewed=True),
    Case("Redis commands a redirect", "Poisson(150) / 150",
         lambda r, n: r.poisson(150, n) / 150, 1.0),
    Case("Redis commands an expiry", "Poisson(200) − Poisson(160)",
         lambda r, n: 1.0 * r.poisson(200, n) - r.poisson(160, n), 40.0),
    Case("p50 of latency", "median of 200 lognormal(1, 0.5)", _median, None),
    Case("p99 of latency", "99th percentile of 200 lognormal(1, 0.5)", _p99, None),
    Case("p99 with stalls", "normal(120, 5), one in 20 + 100", _stalled, 125.0, skewed=True),
    Case("all alike", "1, always", lambda _, n: np.ones(n), 1.0, skewed=True),
    Case("nearly all alike", "1, one in 50 is 2", lambda r, n: 1.0 + (r.random(n) < 0.02), 1.02,
         skewed=True),
)  # fmt: skip


def covered(case: Case, n: int, tries: int, seed: int = 7) -> float:
    """The share of intervals that hold the true mean."""
    rng = np.random.default_rng([seed, n])
    truth = case.truth
    estimates = [mean(case.draw(rng, n)) for _ in range(tries)]
    return float(np.mean([e.low <= truth <= e.high for e in estimates]))


def next_in_range(n: int, tries: int) -> float:
    """How often one more repetition lies within the range of the first n."""
    rng = np.random.default_rng(n)
    draws = rng.lognormal(1, 0.5, (tries, n + 1))
    ranges = [worst(row[:n]) for row in draws]
    inside = [e.low <= row[n] <= e.high for e, row in zip(ranges, draws, strict=True)]
    return float(np.mean(inside))


def page() -> str:
    """docs/coverage.md."""
    common = {
        "sizes": " | ".join(f"n = {n}" for n in SIZES),
        "rules": "---|" * (len(SIZES) - 1) + "---",
        "tries": f"{TRIES:,}",
        "n": SIZES[0],
        "share": 1 - 0.05 ** (1 / SIZES[0]),
        "expected": " | ".join(f"{(n - 1) / (n + 1):.1%}" for n in SIZES),
        "seen": " | ".join(f"{next_in_range(n, TRIES):.1%}" for n in SIZES),
    }
    lines = []
    for case in CASES:
        shares = " | ".join(_marked(covered(case, n, TRIES)) for n in SIZES)
        lines.append(f"| {case.figure} | {case.law} | {shares} |\n")
    return HEAD.format(**common) + "".join(lines) + TAIL.format(**common)


def _marked(share: float) -> str:
    low, high = NOMINAL
    return f"{share:.1%}" if low <= share <= high else f"**{share:.1%}**"


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
