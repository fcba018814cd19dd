"""Coverage of the lab's intervals, measured with simulated repetitions of known distributions.

`python -m tests.support.interval_coverage > docs/coverage.md` writes the page (some minutes).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chaos.measures.estimates import mean, mean_of_counts, median, worst
from chaos.model.evidence import Estimate, Floats
from tests.support import claim_errors

TRIES = 2000
SIZES = (6, 13, 30, 70)  # repetitions an arm: the fewest and most of a quick run, and of a full one
NOMINAL = (0.93, 0.97)

HEAD = """# What the intervals cover

A figure of the table is the mean or, of latencies after an event, the median over an arm's
repetitions, with a 95 % interval (`chaos/measures/estimates.py`): of a mean Student's t,
corrected for skewness after Hall, of counts with room for those that differ and were not met; of
a median from the order of the repetitions. A run that may look at its claims three times has 98.3
% intervals, so that 95 % of runs have none that misses. Here repetitions are drawn from known
laws, as many as in quick runs (6 to 13 expiries an arm) and full ones (30 to 70): how many of
{tries} intervals hold the true mean or median. **Bold**: outside 93 to 97 %.

| a repetition's figure | its law here | {sizes} |
|---|---|{rules}|
"""

TAIL = """
What follows from it:

- The intervals do what they say, from six repetitions on. Student's t alone covers 88 to 93 %
  where figures are as skewed as xfetch's counts; that is why it is corrected.
- A latency is the median, because no few repetitions can bound a mean that rests on a rare stall:
  of six, most see none. The median says what to expect after an expiry, `max` how bad it became.
- Counts that are all alike, or mostly: their spread would say that they always are. Of {n} alike
  repetitions all that can be said is that at most {share:.0%} of all are otherwise (97.5 %
  confidence), so the interval has room for as many that are one more.
- Fewer than six repetitions have no interval of their median, and one has none of its mean.

The largest figure (`max`, `oldest`) comes with the range that was seen, an interval for nothing
but the next one: after n repetitions, the next lies within it with probability (n − 1)/(n + 1).

| the next repetition within the range | {sizes} |
|---|{rules}|
| expected | {expected} |
| seen, of {tries} | {seen} |

Sums (`failed`) are exact for their run. Compared between two arms they have
the interval of their chance: Poisson's, and that of segments which likely differ by 30 %.
"""
END = """
`python -m tests.support.interval_coverage > docs/coverage.md` makes this page; the tests repeat a
part of it.
"""

Draw = Callable[[np.random.Generator, int], NDArray[Any]]


@dataclass(frozen=True)
class Case:
    """A law that repetitions follow, and what their summary should come to."""

    figure: str
    law: str
    draw: Draw
    truth: float
    summary: Callable[[Floats], Estimate] = mean_of_counts
    discrete: bool = False  # so alike that few repetitions cannot know


def _p99(rng: np.random.Generator, n: int) -> Floats:
    """The 99th percentile of 200 lognormal latencies, as the measure takes it."""
    p99: Floats = np.percentile(rng.lognormal(1, 0.5, (n, 200)), 99, axis=1)
    return p99


def _median(rng: np.random.Generator, n: int) -> Floats:
    median: Floats = np.median(rng.lognormal(1, 0.5, (n, 200)), axis=1)
    return median


def _stalled(rng: np.random.Generator, n: int) -> Floats:
    return rng.normal(120, 5, n) + 100 * (rng.random(n) < 0.05)


def _middle(draw: Draw) -> float:
    """The median of a law, to about a hundredth of a standard deviation of a repetition."""
    return float(np.median(draw(np.random.default_rng(1), 15_000)))


CASES: Sequence[Case] = (
    Case("herd, waited, peak", "1 + Poisson(26)", lambda r, n: 1.0 + r.poisson(26, n), 27.0),
    Case("xfetch's look-ups", "geometric, mean e", lambda r, n: r.geometric(1 / math.e, n) * 1.0,
         math.e),
    Case("Redis commands a redirect", "Poisson(150) / 150",
         lambda r, n: r.poisson(150, n) / 150, 1.0),
    Case("Redis commands an expiry", "Poisson(200) − Poisson(160)",
         lambda r, n: 1.0 * r.poisson(200, n) - r.poisson(160, n), 40.0, mean),
    Case("p50 of latency", "median of 200 lognormal(1, 0.5)", _median, _middle(_median), median),
    Case("p99 of latency", "99th percentile of 200 lognormal(1, 0.5)", _p99, _middle(_p99),
         median),
    Case("p99 with stalls", "normal(120, 5), one in 20 + 100", _stalled, _middle(_stalled), median),
    Case("all alike", "1, always", lambda _, n: np.ones(n), 1.0, discrete=True),
    Case("nearly all alike", "1, one in 50 is 2", lambda r, n: 1.0 + (r.random(n) < 0.02), 1.02,
         discrete=True),
)  # fmt: skip


def covered(case: Case, n: int, tries: int, seed: int = 7) -> float:
    """The share of intervals that hold the truth."""
    rng = np.random.default_rng([seed, n])
    estimates = [case.summary(case.draw(rng, n)) for _ in range(tries)]
    return float(np.mean([e.low <= case.truth <= e.high for e in estimates]))


def next_in_range(n: int, tries: int) -> float:
    """The share of cases in which one more repetition lies within the range of the first n."""
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
        "share": 1 - 0.025 ** (1 / SIZES[0]),
        "expected": " | ".join(f"{(n - 1) / (n + 1):.1%}" for n in SIZES),
        "seen": " | ".join(f"{next_in_range(n, TRIES):.1%}" for n in SIZES),
    }
    lines = []
    for case in CASES:
        shares = " | ".join(_marked(covered(case, n, TRIES)) for n in SIZES)
        lines.append(f"| {case.figure} | {case.law} | {shares} |\n")
    first = HEAD.format(**common) + "".join(lines) + TAIL.format(**common)
    return first + claim_errors.section(TRIES // 4) + END


def _marked(share: float) -> str:
    low, high = NOMINAL
    return f"{share:.1%}" if low <= share <= high else f"**{share:.1%}**"


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
