"""Estimates: one figure with an interval from the repetitions of an arm.

docs/coverage.md has the measured coverage of each interval. Repetitions without a figure (NaN) do
not count.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from chaos.model.evidence import Estimate, Floats

TAIL = 0.025  # on either side of a 95 % interval
NEGLIGIBLE = 1e-9


def mean(values: Floats) -> Estimate:
    """Mean over the repetitions, with a 95 % interval that is corrected for skewness.

    Student's t after Hall's transformation of the studentised mean, which removes its skewness
    (P. Hall: On the removal of skewness by transformation, J. R. Statist. Soc. B 54, 1992). One
    repetition has no spread, so its interval is unbounded.
    """
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, "mean95")
    value = float(finite.mean())
    low, high = _around_mean(finite) if len(finite) > 1 else (-np.inf, np.inf)
    return Estimate(value, value + low, value + high, len(finite), "mean95")


def mean_of_counts(values: Floats) -> Estimate:
    """Mean of what cannot be negative: the interval ends at zero."""
    estimate = mean(values)
    if math.isinf(estimate.low):
        return estimate
    return replace(estimate, low=max(estimate.low, 0.0))


def _around_mean(values: Floats) -> tuple[float, float]:
    """Distances of the interval's ends from the mean of two or more values."""
    count, spread = len(values), float(values.std())
    if np.ptp(values) == 0 or spread == 0:
        return 0.0, 0.0
    from scipy import special  # here: it takes longer to import than all else

    error = spread / math.sqrt(count - 1)
    quantile = -float(special.stdtrit(count - 1, TAIL))
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


def median(values: Floats) -> Estimate:
    """Median over the repetitions, with a 95 % interval that holds for any distribution.

    Interpolated between the order statistics next to the wanted confidence (T. P. Hettmansperger,
    S. J. Sheather: Confidence intervals based on interpolated order statistics, Statistics &
    Probability Letters 4, 1986). Fewer than six repetitions cannot reach it, so their
    interval is unbounded.
    """
    ordered = np.sort(values[np.isfinite(values)])
    count = len(ordered)
    if count == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, "median95")
    from scipy import special

    value = float(np.median(ordered))
    chances = special.bdtr(np.arange(count), count, 0.5)  # that the median lies beyond a rank
    outer = int(np.searchsorted(chances, TAIL))  # the last rank from outside that is sure enough
    if outer == 0:
        return Estimate(value, -np.inf, np.inf, count, "median95")
    beyond, nearer = chances[outer - 1 : outer + 1]
    part = (TAIL - beyond) / (nearer - beyond)
    inward = (count - outer) * part / (outer + (count - 2 * outer) * part)
    low, high = (
        float((1 - inward) * side[outer - 1] + inward * side[outer])
        for side in (ordered, ordered[::-1])
    )
    return Estimate(value, low, high, count, "median95")


def worst(values: Floats) -> Estimate:
    """The largest repetition, and the range of them all."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, "range")
    high = float(finite.max())
    return Estimate(high, float(finite.min()), high, len(finite), "range")


def total(values: Floats) -> Estimate:
    """The sum over all repetitions, which is exact."""
    finite = values[np.isfinite(values)]
    value = float(finite.sum()) if len(finite) else np.nan
    return Estimate(value, value, value, len(finite), "range")
