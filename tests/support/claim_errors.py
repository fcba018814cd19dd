"""Errors of claims, measured with simulated runs whose true figure is exactly at the limit.

Each run looks as a real one does: after the planned rounds, and after further ones while it is
inconclusive. Estimates, intervals, claims and looks are the lab's own; only segments are drawn.
`tests.support.interval_coverage` puts the page's part into docs/coverage.md.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chaos.judge.claims import at_least, at_most, fewer_than, follows_law, shows
from chaos.judge.rows import claimed
from chaos.measures import within
from chaos.measures.estimates import (
    mean_of_counts,
    mean_of_durations,
    mean_of_levels,
    mean_of_shares,
    median,
    total,
    with_chance_within,
)
from chaos.model.evidence import ArmResult, Estimate, Floats, Mode, Predicted, Verdict
from chaos.model.experiment import Claim, Measure, Summary

QUICK, FULL = Mode("quick", rounds=2, segment_s=1), Mode("full", rounds=6, segment_s=1)
Rng = np.random.Generator
Inside = Callable[[float], within.Interval]
Drawn = tuple[Floats, Inside | None]  # a segment's figures, and its interval at a tail
Draw = Callable[[Rng], Drawn]


@dataclass(frozen=True)
class Law:
    """What a segment's figures are drawn from, and how they are summarised."""

    name: str
    draw: Draw
    truth: float
    summary: Summary = mean_of_counts

    def estimate(self, segments: Sequence[Drawn], tail: float) -> Estimate:
        """The estimate that a verdict makes of these segments."""
        figures = np.concatenate([values for values, _ in segments])
        estimate = self.summary(figures, tail)
        inside = [interval(tail) for _, interval in segments if interval]
        return with_chance_within(estimate, figures, inside) if inside else estimate


@dataclass(frozen=True)
class Outcomes:
    """The shares of runs by their verdict, and how many rounds they took on average."""

    passed: float
    failed: float
    rounds: float


def outcomes(
    laws: Sequence[Law], claim: Claim, mode: Mode, tries: int, *, theory: float = math.nan
) -> Outcomes:
    """Simulate runs of arms `arm` and `other` to their verdict."""
    rng = np.random.default_rng(7)
    seen: Counter[Verdict] = Counter()
    rounds_taken = 0
    for _ in range(tries):
        arms: list[list[Drawn]] = [[] for _ in laws]
        for rounds in mode.looks:
            for law, segments in zip(laws, arms, strict=True):
                segments += [law.draw(rng) for _ in range(rounds - len(segments))]
            finding = claimed(claim, _rows(laws, arms, mode.tail, theory))
            if not finding.inconclusive:
                break
        seen[finding.verdict] += 1
        rounds_taken += rounds
    return Outcomes(seen[Verdict.PASS] / tries, seen[Verdict.FAIL] / tries, rounds_taken / tries)


def _rows(
    laws: Sequence[Law], arms: Sequence[Sequence[Drawn]], tail: float, theory: float
) -> dict[str, ArmResult]:
    return {
        name: ArmResult(
            name=name,
            naive=False,
            verdict=Verdict.INVALID,
            measures={FIGURE.name: law.estimate(segments, tail)},
            predictions={FIGURE.name: Predicted(theory, "", "", False)},
            inputs={},
        )
        for name, law, segments in zip(("arm", "other"), laws, arms, strict=False)
    }


FIGURE = Measure("figure", "", "figure", lambda _: np.array([]), mean_of_counts)

# --- laws ---------------------------------------------------------------------------------------

EXPIRIES = 4  # a segment
REQUESTS = 600  # a segment
STALL = 12  # neighbours that fare alike


def _counts(draw: Callable[[Rng, int], NDArray[Any]]) -> Draw:
    return lambda rng: (draw(rng, EXPIRIES) * 1.0, None)


def _rare(share: float, by: float) -> Draw:
    return _counts(lambda rng, n: 1 + by * (rng.random(n) < share))


def _shares(good: float, differ: float = 0.0) -> Draw:
    """Requests that fare alike a dozen at a time; `differ` is how far segments do, in logits."""

    def draw(rng: Rng) -> Drawn:
        logit = math.log(good / (1 - good)) + differ * rng.standard_normal()
        hits = np.repeat(rng.random(REQUESTS // STALL) < 1 / (1 + math.exp(-logit)), STALL)
        return np.array([100 * hits.mean()]), lambda tail: _per_cent(within.of_share(hits, tail))

    return draw


def _per_cent(interval: within.Interval) -> within.Interval:
    return 100 * interval[0], 100 * interval[1]


def _latencies(percentile: float, differ: float = 0.0) -> Draw:
    """Lognormal latencies whose level drifts within a segment, and differs between them."""

    def draw(rng: Rng) -> Drawn:
        drift = 0.3 * np.repeat(rng.standard_normal(REQUESTS // STALL), STALL)
        level = math.log(50) + differ * rng.standard_normal()
        values = np.exp(level + drift + 0.5 * rng.standard_normal(REQUESTS))
        figure = np.array([np.percentile(values, percentile)])
        return figure, lambda tail: within.of_percentile(values, percentile, tail)

    return draw


def _rates(per_s: float, differ: float = 0.0) -> Draw:
    """Events a second, counted ten times in three seconds."""

    def draw(rng: Rng) -> Drawn:
        mine = per_s * math.exp(differ * rng.standard_normal() - differ**2 / 2)
        steps: Floats = rng.poisson(mine * 0.3, 10).astype(np.float64)
        lasted_s = np.full(10, 0.3)
        return np.array([steps.sum() / 3]), lambda tail: within.of_rate(steps, lasted_s, tail)

    return draw


def _sums(per_segment: float, differ: float = 0.0) -> Draw:
    """Something lost in each segment: Poisson's of a level that differs between them."""
    shape = 1 / differ**2 if differ else math.inf

    def draw(rng: Rng) -> Drawn:
        level = rng.gamma(shape, per_segment / shape) if differ else per_segment
        return np.array([float(rng.poisson(level))]), None

    return draw


def _durations(mean_s: float, spread: float) -> Draw:
    """Gamma durations in steps of a quarter of a second; `spread` is their standard deviation."""
    shape = 1 / spread**2

    def draw(rng: Rng) -> Drawn:
        lasted_s = rng.gamma(shape, mean_s / shape)
        return np.array([np.floor(lasted_s / 0.25 + rng.random()) * 0.25]), None

    return draw


def _tails(rng: Rng) -> Drawn:
    """The 99th percentile after each expiry."""
    return np.percentile(rng.lognormal(1, 0.5, (EXPIRIES, 200)), 99, axis=1), None


def _middle(draw: Draw, figures: Callable[[Floats], float] = lambda v: float(v.mean())) -> float:
    """The true figure of a law, from many segments of it."""
    rng = np.random.default_rng(1)
    return figures(np.concatenate([draw(rng)[0] for _ in range(4000)]))


def _law(name: str, draw: Draw, summary: Summary = mean_of_levels) -> Law:
    figure = (lambda v: float(np.median(v))) if summary is median else (lambda v: float(v.mean()))
    return Law(name, draw, _middle(draw, figure), summary)


GEOMETRIC = Law(
    "queries of an expiry: geometric, mean e",
    _counts(lambda rng, n: rng.geometric(1 / math.e, n)),
    math.e,
)
HERD = Law(
    "queries of an expiry: 1 + Poisson(26)", _counts(lambda r, n: 1.0 + r.poisson(26, n)), 27
)
ONE = Law("queries of an expiry: 1, always", _counts(lambda _, n: np.ones(n)), 1)
TWO = Law("queries of an expiry: 2, always", _counts(lambda _, n: np.full(n, 2.0)), 2)
SECONDS = mean_of_durations(0.25)


def laws() -> Sequence[Law]:
    """A law for each kind of figure that a claim may be about."""
    return (
        GEOMETRIC,
        HERD,
        Law("the same: 1, one in ten 2", _rare(0.1, 1), 1.1),
        Law("the same: 1, half of them 2", _rare(0.5, 1), 1.5),
        _law("p99 after an expiry", _tails, median),
        _law("share of operations: 90 %", _shares(0.9), mean_of_shares),
        _law("the same, segments differ as much again", _shares(0.9, 0.45), mean_of_shares),
        _law("p50 of latency", _latencies(50)),
        _law("the same, segments differ by 10 %", _latencies(50, 0.1)),
        _law("p99 of latency", _latencies(99)),
        _law("look-ups a second: 20", _rates(20)),
        _law("the same, segments differ by 15 %", _rates(20, 0.15)),
        _law("a duration of 3 s ± 10 %", _durations(3, 0.1), SECONDS),
        _law("the same ± 30 %", _durations(3, 0.3), SECONDS),
    )


@dataclass(frozen=True)
class Trial:
    """A claim about arms that follow these laws."""

    text: str
    claim: Claim
    laws: Sequence[Law]
    theory: float = math.nan

    def run(self, mode: Mode, tries: int) -> Outcomes:
        """Simulate runs of a mode."""
        return outcomes(self.laws, self.claim, mode, tries, theory=self.theory)


def at_the_limit() -> Sequence[Trial]:
    """Claims of each kind whose figure is exactly at the limit: neither PASS nor FAIL is right."""
    trials = [
        Trial(f"`at_most`: {law.name}", at_most("arm", FIGURE, law.truth), [law]) for law in laws()
    ]
    share = _law("share", _shares(0.9), mean_of_shares)
    rate, third = _law("a", _rates(60, 0.1)), _law("b", _rates(20, 0.1))
    third_part = third.truth / rate.truth
    lost = [
        (name, [Law("", _sums(mean, differ), mean, total) for mean in (12, 36)])
        for name, differ in (("Poisson(12), of Poisson(36)", 0.0), ("segments differ by 30 %", 0.3))
    ]
    trials += [
        Trial(
            "`at_least`: share of operations: 90 %", at_least("arm", FIGURE, share.truth), [share]
        ),
        Trial("`shows`: 1 + Poisson(26)", shows("arm", FIGURE, at_least=27), [HERD]),
        Trial(
            "`fewer_than`: geometric, of 1 + Poisson(26)",
            fewer_than("arm", "other", FIGURE, share=math.e / 27),
            [GEOMETRIC, HERD],
        ),
        Trial(
            "`fewer_than`: look-ups, segments differ by 10 %",
            fewer_than("arm", "other", FIGURE, share=third_part),
            [third, rate],
        ),
        *(
            Trial(
                f"`fewer_than`: a sum, {name}", fewer_than("arm", "other", FIGURE, share=1 / 3), own
            )
            for name, own in lost
        ),
    ]
    for theory, side in ((math.e / 1.4, "above"), (math.e / 0.6, "below")):
        law = follows_law("arm", FIGURE, within=0.4)
        trials.append(Trial(f"`follows_law`: geometric, 40 % {side}", law, [GEOMETRIC], theory))
    return trials


def away_from_the_limit() -> Sequence[Trial]:
    """Claims as experiments make them, of arms as they are: how often they are decided."""
    twentieth = Law("", _rare(0.05, 1), 1.05)
    durations = _law("", _durations(2.4, 0.3), SECONDS)
    return (
        Trial("1, one in twenty 2 (mean 1.05) ≤ 1.1", at_most("arm", FIGURE, 1.1), [twentieth]),
        Trial("the same ≤ 1.5", at_most("arm", FIGURE, 1.5), [twentieth]),
        Trial("a lock that holds: 1, always ≤ 1.5", at_most("arm", FIGURE, 1.5), [ONE]),
        Trial("one that holds in a process: 2, always ≤ 1.5", at_most("arm", FIGURE, 1.5), [TWO]),
        Trial("a herd of 1 + Poisson(26) ≥ 13.5", shows("arm", FIGURE, at_least=13.5), [HERD]),
        Trial(
            "geometric, mean e ≤ half of that herd",
            fewer_than("arm", "other", FIGURE, share=0.5),
            [GEOMETRIC, HERD],
        ),
        Trial(
            "sums of 17 a segment ± 30 % ≤ 0.8 times 70",
            fewer_than("arm", "other", FIGURE, share=0.8),
            [Law("", _sums(mean, 0.3), mean, total) for mean in (17, 70)],
        ),
        Trial(
            "geometric within 40 % of e",
            follows_law("arm", FIGURE, within=0.4),
            [GEOMETRIC],
            math.e,
        ),
        Trial(
            "98 % of operations ≥ 80 %",
            at_least("arm", FIGURE, 80),
            [_law("", _shares(0.98, 0.45), mean_of_shares)],
        ),
        Trial(
            "p50 of 50 ms, segments differ by 10 %, ≤ 80 ms",
            at_most("arm", FIGURE, 80),
            [_law("", _latencies(50, 0.1))],
        ),
        Trial("a duration of 2.4 s ± 30 % ≤ 6 s", at_most("arm", FIGURE, 6), [durations]),
        Trial("the same ≤ 3.5 s", at_most("arm", FIGURE, 3.5), [durations]),
    )


def covered(law: Law, segments: int, tries: int, tail: float = 0.025) -> float:
    """The share of intervals of so many segments that hold the truth."""
    rng = np.random.default_rng([7, segments])
    seen = [law.estimate([law.draw(rng) for _ in range(segments)], tail) for _ in range(tries)]
    return float(np.mean([e.low <= law.truth <= e.high for e in seen]))


# --- the page -----------------------------------------------------------------------------------

SEGMENTS = (2, 3, 4, 6, 12)
OF_SEGMENTS = """
## Intervals of few segments

Most figures are one a segment, and a quick run has two segments an arm, whose spread says next to
nothing. So chance within each segment counts: the order of latencies, Clopper and Pearson's
interval of a share, Garwood's of a rate, with neighbours that fare alike counted as one
(`chaos/measures/within.py`). Segments that differ from each other are borne as far as 10 % (of
durations, which have nothing within them, 30 %): that is taken for a likely spread that counts
like four more segments. From five segments on their own spread counts, too. Of {tries} intervals,
so many hold the truth:

| figure | {sizes} |
|---|{rules}|
"""
OF_CLAIMS = """
## Wrong verdicts

A claim is decided where its whole interval is on one side of the limit. Between, it is
inconclusive: the arm, and the one that it is compared with, get further rounds, up to twice as
many (four more in quick mode), with at most three looks. Each look has a third of the error
(Bonferroni: the intervals are repeated confidence intervals, C. Jennison, B. Turnbull: Interim
analyses, J. R. Statist. Soc. B 51, 1989), so that all looks together make **at most 5 %** wrong
decisions; of skewed counts most are on one side. Here the true figure is exactly at the limit, so
that PASS and FAIL are both wrong (a naive arm that does not *show* its failure is INVALID, not
FAIL). Of {tries} runs, two rounds of quick mode or six of full mode and what they add:

| claim, at its limit | quick: PASS | FAIL | full: PASS | FAIL |
|---|---|---|---|---|
"""
OF_POWER = """
And this is how often a claim is decided, and after how many rounds, where the figure is not at
the limit. What remains is inconclusive, and INVALID:

| figure and limit | quick: PASS | FAIL | rounds | full: PASS | FAIL | rounds |
|---|---|---|---|---|---|---|
"""
REST = """
What follows from it:

- A limit has to leave room. A mean of 1.05 under a limit of 1.1 is not decided in any length of
  run that we would wait for: the limit of one look-up an expiry is 1.5, half way to the two of a
  fix that works in each process alone.
- More rounds decide what chance left open, not what is too close to its limit. (xfetch's law is
  claimed in full mode only, where an arm has a hundred expiries and more; here it has 24.)
- Two segments that happen to be alike cannot show that others differ by much more than is taken
  for likely here. A failure in one segment of three is seen by the facts (`none`), not by an
  interval of two.
- Sums (`failed`, `lost`) and largest figures are facts of the run. Where a claim has a limit for
  them they have no error of this kind, and ask for no further rounds. Compared with another arm's,
  a sum is one of many that the arm might have had.
"""


def section(tries: int) -> str:
    """The part of docs/coverage.md about few segments and claims."""
    sizes = " | ".join(f"n = {n}" for n in SEGMENTS)
    rules = "---|" * (len(SEGMENTS) - 1) + "---"
    own = [law for law in laws() if law.summary is not median and law.summary is not mean_of_counts]
    lines = [OF_SEGMENTS.format(tries=f"{tries:,}", sizes=sizes, rules=rules)]
    for law in own:
        shares = " | ".join(f"{covered(law, n, tries):.1%}" for n in SEGMENTS)
        lines.append(f"| {law.name} | {shares} |\n")
    lines.append(OF_CLAIMS.format(tries=f"{tries:,}"))
    for trial in at_the_limit():
        quick, full = (trial.run(mode, tries) for mode in (QUICK, FULL))
        shares = f"{quick.passed:.1%} | {quick.failed:.1%} | {full.passed:.1%} | {full.failed:.1%}"
        lines.append(f"| {trial.text} | {shares} |\n")
    lines.append(OF_POWER)
    for trial in away_from_the_limit():
        seen = [trial.run(mode, tries) for mode in (QUICK, FULL)]
        cells = [f"{o.passed:.0%} | {o.failed:.0%} | {o.rounds:.1f}" for o in seen]
        lines.append(f"| {trial.text} | {' | '.join(cells)} |\n")
    return "".join([*lines, REST])
