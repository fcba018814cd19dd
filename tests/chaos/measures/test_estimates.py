"""Estimates: one figure of several repetitions, and the ends of its interval."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from chaos.measures.estimates import mean, mean_of_counts, median, total, worst
from chaos.model.evidence import Estimate, Floats

Summary = Callable[[Floats], Estimate]
SUMMARIES = (mean, median, worst, total)
INTERVALS: dict[Summary, str] = {mean: "mean95", median: "median95", worst: "range", total: "range"}
figures = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40).map(np.array)


@pytest.mark.parametrize("summary", SUMMARIES)
def test_no_sample_and_not_a_number_are_no_figure(summary: Summary) -> None:
    for nothing in (np.array([]), np.array([math.nan, math.nan])):
        estimate = summary(nothing)
        assert not estimate.known
        assert estimate.samples == 0
        assert all(map(math.isnan, (estimate.value, estimate.low, estimate.high)))
        assert estimate.interval == INTERVALS[summary]


@pytest.mark.parametrize("summary", SUMMARIES)
def test_repetitions_without_a_figure_do_not_count(summary: Summary) -> None:
    whole = np.array([4.0, 8.0, 1.0, 2.0, 9.0, 7.0, 3.0])
    assert summary(np.append(whole, [math.nan, math.inf])) == summary(whole)


@given(figures)
@pytest.mark.parametrize("summary", SUMMARIES)
def test_a_figure_lies_within_its_interval(summary: Summary, values: Floats) -> None:
    estimate = summary(values)
    slack = 1e-9 * max(1.0, float(np.abs(values).max()))
    assert estimate.low - slack <= estimate.value <= estimate.high + slack
    assert (estimate.samples, estimate.interval) == (len(values), INTERVALS[summary])


def test_what_each_summary_is_of_figures_that_can_be_worked_out_by_hand() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 10.0])
    assert mean(values).value == 4
    assert median(values).value == 3
    assert worst(values) == Estimate(10, 1, 10, 5, "range")
    assert total(values) == Estimate(20, 20, 20, 5, "range")


def test_one_sample_has_no_interval() -> None:
    for summary in (mean, median):
        estimate = summary(np.array([3.0]))
        assert (estimate.value, estimate.low, estimate.high) == (3.0, -math.inf, math.inf)


@pytest.mark.parametrize(
    "values", [[2.0, 5.0], [1.0, 3.0], [1.0, 2.0, 3.0], [3.0, 4.0, 8.0, 12.0, 13.0]]
)
def test_without_skewness_the_interval_of_a_mean_is_students(values: list[float]) -> None:
    student = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    skewed = stats.skew(values) if len(values) > 2 else 0
    assert skewed == pytest.approx(0, abs=1e-9)
    estimate = mean(np.array(values))
    assert (estimate.low, estimate.high) == pytest.approx((student.low, student.high))


def test_the_interval_of_a_mean_leans_to_where_the_figures_are_skewed() -> None:
    of_three = mean(np.array([1.0, 2.0, 9.0]))
    assert of_three.high - of_three.value > of_three.value - of_three.low
    values = np.array([1.0, 1.0, 2.0, 1.0, 3.0, 9.0])
    right, left = mean(values), mean(-values)
    assert right.high - right.value > 2 * (right.value - right.low)
    assert (left.low, left.high) == pytest.approx((-right.high, -right.low))


@pytest.mark.parametrize("values", [[9.0, 0.0, 1.0, 0.0], [0.0, 4.0], [0.0, 0.0], [2.0, 3.0, 4.0]])
def test_an_interval_of_counts_is_that_of_their_mean_as_far_as_it_is_above_zero(
    values: list[float],
) -> None:
    plain, counts = mean(np.array(values)), mean_of_counts(np.array(values))
    assert (counts.value, counts.high, counts.samples) == (plain.value, plain.high, plain.samples)
    assert counts.low == max(0.0, plain.low)


def test_a_count_that_was_taken_once_or_never_has_no_interval_either() -> None:
    assert mean_of_counts(np.array([3.0])) == mean(np.array([3.0]))
    assert math.isnan(mean_of_counts(np.array([])).low)


def test_halls_transformation_sends_the_ends_around_a_mean_to_students_t() -> None:
    values = np.array([1.0, 1.0, 2.0, 1.0, 3.0, 9.0])
    estimate, n = mean(values), len(values)
    g = float(stats.skew(values, bias=False))

    def transformed(truth: float) -> float:
        t = (values.mean() - truth) / (values.std(ddof=1) / math.sqrt(n))
        return float(t + g * t**2 / 3 / math.sqrt(n) + g**2 * t**3 / 27 / n + g / 6 / math.sqrt(n))

    quantile = float(stats.t.ppf(0.975, n - 1))
    assert transformed(estimate.low) == pytest.approx(quantile)
    assert transformed(estimate.high) == pytest.approx(-quantile)


@given(figures, st.floats(-1e3, 1e3), st.floats(0.01, 1e3))
@pytest.mark.parametrize("summary", [mean, median])
def test_an_interval_moves_and_grows_with_its_figures(
    summary: Summary, values: Floats, shift: float, scale: float
) -> None:
    one, other = summary(values), summary(values * scale + shift)
    if np.ptp(values) > 1e-3:
        scaled = [end * scale + shift for end in (one.value, one.low, one.high)]
        slack = 1e-6 * (1 + abs(shift) + scale * float(np.abs(values).max()))
        assert [other.value, other.low, other.high] == pytest.approx(scaled, abs=slack)


@pytest.mark.parametrize("summary", [mean, median])
def test_figures_all_alike_have_an_interval_without_width(summary: Summary) -> None:
    estimate = summary(np.full(7, 0.1))
    assert (estimate.low, estimate.high) == (estimate.value, estimate.value)
    assert estimate.value == pytest.approx(0.1)


def test_five_repetitions_cannot_bound_their_median_and_six_can() -> None:
    five, six = median(np.arange(5.0)), median(np.arange(6.0))
    assert (five.low, five.high) == (-math.inf, math.inf)
    assert (six.low, six.high) == pytest.approx((5 / 14, 5 - 5 / 14))


def test_a_medians_ends_lie_between_order_statistics_of_more_and_less_confidence() -> None:
    values = np.arange(1.0, 14.0)  # [3, 11] is held with 97.8 %, [4, 10] with 90.8 %
    part = (0.025 * 2**13 - 92) / 286  # of 2^13 outcomes 92 are beyond 3, and 286 more beyond 4
    low = 3 + 10 * part / (3 + 7 * part)
    assert (median(values).low, median(values).high) == pytest.approx((low, 14 - low))


def test_stalls_do_not_move_the_interval_of_a_median() -> None:
    calm = np.arange(100.0, 113.0)
    stalled = np.where(calm == 112, 5000, calm)
    assert median(stalled) == median(calm)
