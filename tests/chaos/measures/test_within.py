"""Intervals from within one segment: by hand where that is possible, by coverage elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from chaos.measures import within
from chaos.model.evidence import Floats

TAIL = 0.025
RUNS = 300


def test_a_share_has_the_interval_of_clopper_and_pearson() -> None:
    exact = stats.binomtest(7, 40).proportion_ci(0.95, "exact")
    assert within.share_interval(7, 40, TAIL) == pytest.approx((exact.low, exact.high))
    assert within.share_interval(0, 40, TAIL) == pytest.approx((0, 1 - TAIL ** (1 / 40)))
    assert within.share_interval(40, 40, TAIL) == pytest.approx((TAIL ** (1 / 40), 1))


def test_neighbours_that_fare_alike_count_as_one() -> None:
    rng = np.random.default_rng(7)
    apart, alike = rng.random(4000) < 0.3, np.repeat(rng.random(400) < 0.3, 10)
    assert within.inflation(apart) < 2
    assert 4 < within.inflation(alike) < 25
    assert within.inflation(np.full(100, True)) == 1
    assert within.inflation(np.array([], dtype=bool)) == 1
    narrow, wide = within.of_share(apart, TAIL), within.of_share(alike, TAIL)
    assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0])


def test_a_percentile_lies_between_its_order_statistics() -> None:
    values = np.random.default_rng(7).permutation(np.arange(1.0, 1001))
    low, high = within.of_percentile(values, 50, TAIL)
    count = 1000 / within.inflation(values > np.percentile(values, 50))
    half = 1.96 * math.sqrt(count / 4) / count * 1000
    assert (low, high) == pytest.approx((500 - half, 500 + half), abs=4)


def test_too_few_requests_cannot_bound_a_far_percentile_from_above() -> None:
    values = np.arange(100.0)
    low, high = within.of_percentile(values, 99, TAIL)
    assert low > 0
    assert high == math.inf
    assert within.of_percentile(values, 1, TAIL)[0] == -math.inf
    assert within.of_percentile(np.array([]), 50, TAIL) == within.NOTHING
    assert within.of_percentile(np.array([5.0]), 50, TAIL) == within.NOTHING


def test_a_rate_has_the_interval_of_garwood() -> None:
    steps, lasted_s = np.full(10, 3.0), np.full(10, 0.5)
    low, high = stats.chi2.ppf(TAIL, 60) / 2, stats.chi2.ppf(1 - TAIL, 62) / 2
    assert within.of_rate(steps, lasted_s, TAIL) == pytest.approx((low / 5, high / 5))
    nothing = within.of_rate(np.zeros(10), lasted_s, TAIL)
    assert nothing == pytest.approx((0, -math.log(TAIL) / 5))
    assert within.of_rate(np.array([]), np.array([]), TAIL) == within.NOTHING
    bursts = within.of_rate(np.array([0.0, 15] * 5), lasted_s, TAIL)
    assert bursts[1] - bursts[0] > 2 * (high - low) / 5 * 0.9


def test_a_ratio_is_sure_where_each_part_has_the_same() -> None:
    wholes = np.tile([1.0, 0.0], 60)
    low, high = within.of_ratio(np.ones(120), wholes, TAIL)
    assert (low, high) == pytest.approx((2, 2))
    assert within.of_ratio(np.ones(3), np.ones(3), TAIL) == within.NOTHING
    assert within.of_ratio(np.ones(100), np.zeros(100), TAIL) == within.NOTHING


def latencies(rng: np.random.Generator) -> Floats:
    """400 of them, lognormal, a dozen neighbours at one level."""
    levels = np.repeat(rng.standard_normal(34), 12)[:400]
    return np.exp(0.3 * levels + 0.5 * rng.standard_normal(400))


@pytest.mark.parametrize("percentile", [50, 90])
def test_a_percentile_is_covered_though_neighbours_are_alike(percentile: float) -> None:
    truth = math.exp(stats.norm.ppf(percentile / 100) * math.hypot(0.3, 0.5))
    rng = np.random.default_rng(3)
    ends = [within.of_percentile(latencies(rng), percentile, TAIL) for _ in range(RUNS)]
    assert np.mean([low <= truth <= high for low, high in ends]) >= 0.92


def test_a_ratio_is_covered() -> None:
    rng = np.random.default_rng(3)
    ends = []
    for _ in range(RUNS):
        first = np.concatenate([[True] + [False] * (n - 1) for n in rng.geometric(0.6, 200)])
        ends.append(within.of_ratio(np.ones(len(first)), first, TAIL))
    assert np.mean([low <= 1 / 0.6 <= high for low, high in ends]) >= 0.92
