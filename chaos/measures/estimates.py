"""Estimates: one figure with an interval from the repetitions of an arm.

An interval misses the truth by `tail` on either side. docs/coverage.md has the measured coverage of
each. Repetitions without a figure (NaN) do not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from chaos.measures.within import Interval, of_rate, share_interval
from chaos.model.evidence import Estimate, Floats
from chaos.model.experiment import Summary

TAIL = 0.025  # on either side of a 95 % interval
NEGLIGIBLE = 1e-9
FEW = 5  # with fewer segments, what repeats within them says more than their spread
LIKELY_SPREAD = 0.3  # of a duration: its standard deviation, as a share
LIKELY_DIFFERENCE = 0.1  # between segments, of a figure that is made of much within them
ITS_WEIGHT = 4  # segments


def mean(values: Floats, tail: float = TAIL) -> Estimate:
    """Mean over the repetitions, with a 95 % interval that is corrected for skewness.

    Student's t after Hall's transformation of the studentised mean, which removes its skewness
    (P. Hall: On the removal of skewness by transformation, J. R. Statist. Soc. B 54, 1992). One
    repetition has no spread, so its interval is unbounded.
    """
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, "mean95")
    value = float(finite.mean())
    low, high = _around_mean(finite, tail) if len(finite) > 1 else (-np.inf, np.inf)
    return Estimate(value, value + low, value + high, len(finite), "mean95")


def mean_of_symmetric(values: Floats, tail: float = TAIL) -> Estimate:
    """Mean of what spreads alike to both sides, as the log-ratio of two alike arms does.

    Student's t without a correction for skewness: far out in the tails, that of a few values would
    be wrong more often than it says (`tests/chaos/perf/test_sequential.py`).
    """
    finite = values[np.isfinite(values)]
    count = len(finite)
    if count < 3:  # so few have no skewness
        return mean(values, tail)
    from scipy import special

    value = float(finite.mean())
    far = -float(special.stdtrit(count - 1, tail)) * float(finite.std(ddof=1)) / math.sqrt(count)
    return Estimate(value, value - far, value + far, count, "mean95")


def mean_of_counts(values: Floats, tail: float = TAIL) -> Estimate:
    """Mean of what cannot be negative: the interval ends at zero.

    Where most repetitions are the same whole number, their spread says little of the rare others.
    The interval then holds as many of those as may have remained unseen (C. Clopper, E. Pearson:
    The use of confidence or fiducial limits, Biometrika 26, 1934), each by one, or by as much as
    those that were seen.
    """
    estimate = mean(values, tail)
    if math.isinf(estimate.low) or not estimate.known:
        return estimate
    low, high = _with_rare_others(values[np.isfinite(values)], tail)
    return replace(estimate, low=max(min(estimate.low, low), 0.0), high=max(estimate.high, high))


def _with_rare_others(values: Floats, tail: float) -> Interval:
    """The mean's ends where most values are one whole number; inf, -inf (no ends) elsewhere."""
    found, counts = np.unique(values, return_counts=True)
    count, usual = len(values), float(found[counts.argmax()])
    if counts.max() * 2 <= count or (values != np.rint(values)).any():
        return math.inf, -math.inf
    above, below = values[values > usual] - usual, usual - values[values < usual]
    by_above, by_below = (float(far.mean()) if len(far) else 1.0 for far in (above, below))
    more, less = (share_interval(len(far), count, tail) for far in (above, below))
    return (
        usual + more[0] * by_above - less[1] * by_below,
        usual + more[1] * by_above - less[0] * by_below,
    )


def mean_of_levels(values: Floats, tail: float = TAIL) -> Estimate:
    """Mean of a latency or a rate over segments, which likely differ by 10 %."""
    return _of_segments(values, tail, lambda value: LIKELY_DIFFERENCE * abs(value))


def mean_of_shares(values: Floats, tail: float = TAIL) -> Estimate:
    """Mean of what is from 0 to 100 per cent; segments likely differ by 10 % of the nearer end."""
    estimate = _of_segments(values, tail, lambda v: LIKELY_DIFFERENCE * min(v, 100 - v))
    return replace(estimate, high=min(estimate.high, 100.0))


def mean_of_durations(resolution: float) -> Summary:
    """Mean of how long something lasts, once a segment, measured in steps of `resolution`."""

    def summary(values: Floats, tail: float = TAIL, /) -> Estimate:
        return _of_segments(values, tail, lambda v: max(LIKELY_SPREAD * v, resolution))

    return summary


def _of_segments(values: Floats, tail: float, likely: Callable[[float], float]) -> Estimate:
    """Mean over segments; of few, whose spread says next to nothing, taken with a likely one.

    That counts like `ITS_WEIGHT` segments more (the moderated t of G. Smyth: Linear models and
    empirical Bayes methods, Stat. Appl. Genet. Mol. Biol. 3, 2004). Of more, their own spread alone
    counts, and never less than the likely one would with them.
    """
    finite = values[np.isfinite(values)]
    count = len(finite)
    if count == 0:
        return mean(values)
    from scipy import special

    value = float(finite.mean())
    degrees = ITS_WEIGHT + count - 1
    own = float(((finite - value) ** 2).sum())
    variance = (ITS_WEIGHT * likely(value) ** 2 + own) / degrees
    far = -float(special.stdtrit(degrees, tail)) * math.sqrt(variance / count)
    estimate = Estimate(value, max(value - far, 0.0), value + far, count, "mean95")
    if count < FEW:
        return estimate
    alone = mean_of_counts(values, tail)
    return replace(estimate, low=min(estimate.low, alone.low), high=max(estimate.high, alone.high))


def with_chance_within(estimate: Estimate, figures: Floats, inside: Sequence[Interval]) -> Estimate:
    """The estimate of a mean over segments, no narrower than chance within each of them makes it.

    `inside` has an interval of each figure; an end that is unknown there is left to the estimate.
    Of few segments it is as wide as theirs are on average: that bears differences between segments
    of the size of chance within them, which few cannot show.
    """
    lows, highs = np.array(inside).T
    below, above = (_together(side) for side in (figures - lows, highs - figures))
    low, high = estimate.value - below, estimate.value + above
    return replace(
        estimate,
        low=min(estimate.low, max(low, 0.0)) if math.isfinite(low) else estimate.low,
        high=max(estimate.high, high) if math.isfinite(high) else estimate.high,
    )


def _together(widths: Floats) -> float:
    """The width of the interval of a mean from those of its parts."""
    if len(widths) < FEW:
        return float(widths.mean())
    return math.sqrt(float((widths**2).sum())) / len(widths)


def _around_mean(values: Floats, tail: float) -> tuple[float, float]:
    """Distances of the interval's ends from the mean of two or more values."""
    count, spread = len(values), float(values.std())
    if np.ptp(values) == 0 or spread == 0:
        return 0.0, 0.0
    from scipy import special  # here: it takes longer to import than all else

    error = spread / math.sqrt(count - 1)
    quantile = -float(special.stdtrit(count - 1, tail))
    lean = _skewness((values - values.mean()) / spread) / math.sqrt(count)
    if abs(lean) < NEGLIGIBLE:
        return -quantile * error, quantile * error
    below, above = (
        3 / lean * (math.cbrt(1 + lean * (side - lean / 6)) - 1) for side in (quantile, -quantile)
    )
    return -below * error, -above * error


def _skewness(standardised: Floats) -> float:
    """The third cumulant as little biased as a sample allows (Fisher); 0 of two values."""
    count = len(standardised)
    if count < 3:
        return 0.0
    return float((standardised**3).mean()) * math.sqrt(count * (count - 1)) / (count - 2)


def median(values: Floats, tail: float = TAIL) -> Estimate:
    """Median over the repetitions, with a 95 % interval that holds for any distribution.

    Interpolated between the order statistics next to the wanted confidence (T. P. Hettmansperger,
    S. J. Sheather: Confidence intervals based on interpolated order statistics, Statistics &
    Probability Letters 4, 1986). Fewer than six repetitions cannot reach it (seven with three
    looks), so their interval is unbounded.
    """
    ordered = np.sort(values[np.isfinite(values)])
    count = len(ordered)
    if count == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, "median95")
    from scipy import special

    value = float(np.median(ordered))
    chances = special.bdtr(np.arange(count), count, 0.5)  # that the median lies beyond a rank
    outer = int(np.searchsorted(chances, tail))  # the last rank from outside that is sure enough
    if outer == 0:
        return Estimate(value, -np.inf, np.inf, count, "median95")
    beyond, nearer = chances[outer - 1 : outer + 1]
    part = (tail - beyond) / (nearer - beyond)
    inward = (count - outer) * part / (outer + (count - 2 * outer) * part)
    low, high = (
        float((1 - inward) * side[outer - 1] + inward * side[outer])
        for side in (ordered, ordered[::-1])
    )
    return Estimate(value, low, high, count, "median95")


def worst(values: Floats, _: float = TAIL) -> Estimate:
    """The largest repetition, and the range of them all."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, "range")
    high = float(finite.max())
    return Estimate(high, float(finite.min()), high, len(finite), "range")


def total(values: Floats, tail: float = TAIL) -> Estimate:
    """The sum over all repetitions, which is exact.

    That of another run would be another: counts are Poisson's, and repetitions differ, likely by
    as much as durations do, since what is lost is what comes while something lasts.
    """
    finite = values[np.isfinite(values)]
    count = len(finite)
    if not count:
        return Estimate(np.nan, np.nan, np.nan, 0, "exact")
    value = float(finite.sum())
    spread = _of_segments(finite, tail, lambda v: LIKELY_SPREAD * v)
    low, high = of_rate(np.array([value]), np.array([count]), tail)
    chance = count * min(low, spread.low), count * max(high, spread.high)
    return Estimate(value, value, value, count, "exact", False, *chance)
