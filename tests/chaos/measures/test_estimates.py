"""Estimates: one figure of several repetitions, and the ends of its interval."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from chaos.measures.estimates import (
    mean,
    mean_of_counts,
    mean_of_durations,
    mean_of_levels,
    mean_of_shares,
    mean_of_symmetric,
    median,
    total,
    with_chance_within,
    worst,
)
from chaos.model.evidence import Estimate, Floats

Summary = Callable[[Floats], Estimate]
SUMMARIES = (mean, median, worst, total)
INTERVALS: dict[Summary, str] = {mean: "mean95", median: "median95", worst: "range", total: "exact"}
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
    counted = total(values)
    assert (counted.value, counted.low, counted.high) == (20, 20, 20)
    assert (counted.samples, counted.interval) == (5, "exact")


def test_a_sum_may_be_another_by_chance_and_more_so_where_repetitions_differ() -> None:
    alike, apart = total(np.full(6, 6.0)), total(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 36.0]))
    poisson = (stats.chi2.ppf(0.025, 72) / 2, stats.chi2.ppf(0.975, 74) / 2)  # Garwood
    assert (alike.chance_low, alike.chance_high) == pytest.approx(poisson)
    assert apart.chance_low < alike.chance_low < 36 < alike.chance_high < apart.chance_high
    assert total(np.zeros(4)).chance_low == 0 < total(np.zeros(4)).chance_high < 4


def test_of_few_repetitions_a_sum_is_taken_to_vary_as_durations_do() -> None:
    few, durations = total(np.array([100.0, 100.0])), mean_of_durations(1)(np.array([100.0, 100.0]))
    assert (few.chance_low, few.chance_high) == (2 * durations.low, 2 * durations.high)


def test_the_chance_of_a_sum_is_wider_where_a_run_looks_more_often() -> None:
    once, often = (total(np.array([9.0, 16.0]), tail) for tail in (0.025, 0.025 / 3))
    assert often.chance_low < once.chance_low < once.chance_high < often.chance_high


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


@pytest.mark.parametrize("values", [[9.0, 0.0, 1.0, 0.0], [0.0, 4.0], [0.5, 0.5], [2.0, 3.0, 4.0]])
def test_an_interval_of_counts_is_that_of_their_mean_as_far_as_it_is_above_zero(
    values: list[float],
) -> None:
    plain, counts = mean(np.array(values)), mean_of_counts(np.array(values))
    assert (counts.value, counts.high, counts.samples) == (plain.value, plain.high, plain.samples)
    assert counts.low == max(0.0, plain.low)


def test_counts_that_are_all_alike_leave_room_for_the_others_that_may_have_been_missed() -> None:
    seen = mean_of_counts(np.full(8, 1.0))
    unseen = 1 - 0.025 ** (1 / 8)  # at most so many of all differ, by 97.5 %
    assert (seen.low, seen.high) == pytest.approx((1 - unseen, 1 + unseen))
    assert mean_of_counts(np.full(4, 0.0)).low == 0
    assert mean_of_counts(np.full(4, 0.7)).high == 0.7  # no count


def test_counts_of_which_few_differ_count_those_by_as_much_as_they_do() -> None:
    once = mean_of_counts(np.array([1.0] * 9 + [6.0]))
    assert once.high >= 1 + 5 * float(stats.beta.ppf(0.975, 2, 9))
    assert once.low <= 1


def test_rare_others_on_both_sides_count_by_their_own_distances() -> None:
    seen = mean_of_counts(np.array([10.0] * 11 + [13.0] + [8.0] * 2))
    above, below = (
        (
            float(stats.beta.ppf(0.025, few, 15 - few)),
            float(stats.beta.ppf(0.975, few + 1, 14 - few)),
        )
        for few in (1, 2)
    )
    assert seen.low == pytest.approx(10 + above[0] * 3 - below[1] * 2)
    assert seen.high == pytest.approx(10 + above[1] * 3 - below[0] * 2)


@pytest.mark.parametrize("values", [[1.0, 1, 2, 3], [1.0, 1, 2, 3, 4]])
def test_counts_of_which_no_more_than_half_are_one_number_have_no_usual_one(
    values: list[float],
) -> None:
    seen, plain = mean_of_counts(np.array(values)), mean(np.array(values))
    assert (seen.low, seen.high) == (max(plain.low, 0), plain.high)


def test_an_interval_is_wider_the_less_it_may_err() -> None:
    values = np.array([2.0, 4.0, 3.1, 4.5, 3.0, 2.2, 3.5, 2.5])
    for summary in (mean, mean_of_counts, mean_of_levels, mean_of_shares, median, seconds):
        usual, strict = summary(values, 0.025), summary(values, 0.01)
        assert strict.low < usual.low < usual.high < strict.high
        assert strict.value == usual.value


def seconds(values: Floats, tail: float = 0.025) -> Estimate:
    return mean_of_durations(0.25)(values, tail)


def of_segments_by_hand(values: list[float], likely: float) -> tuple[float, float]:
    """The ends that docs/coverage.md describes, for up to four segments."""
    count, value = len(values), sum(values) / len(values)
    degrees = 4 + count - 1
    variance = (4 * likely**2 + sum((each - value) ** 2 for each in values)) / degrees
    far = float(stats.t.isf(0.025, degrees)) * math.sqrt(variance / count)
    return max(value - far, 0), value + far


def test_a_duration_is_as_uncertain_as_one_that_likely_varies_by_30_per_cent_or_a_step() -> None:
    one, two = seconds(np.array([2.0])), seconds(np.array([2.0, 2.0]))
    far = float(stats.t.ppf(0.975, 5)) * 0.6 * math.sqrt(4 / 5 / 2)
    assert (two.low, two.high) == pytest.approx((2 - far, 2 + far))
    assert one.high - one.low > two.high - two.low
    assert seconds(np.array([0.0, 0.0])).high == pytest.approx(far * 0.25 / 0.6)
    assert seconds(np.array([1.0, 3.0])).high > two.high
    assert not seconds(np.array([math.nan])).known


def test_a_share_lies_between_0_and_100_and_is_sure_at_either_end() -> None:
    all_of_them, most = mean_of_shares(np.array([100.0, 100.0])), mean_of_shares(np.array([98.0]))
    assert (all_of_them.low, all_of_them.high) == (100, 100)  # chance within segments comes on top
    assert 97 < most.low < 98 < most.high < 100


def test_of_many_segments_their_own_spread_counts_and_the_likely_one_is_the_least() -> None:
    alike, apart = np.full(6, 50.0), np.array([10.0, 90, 30, 70, 50, 60])
    assert mean_of_levels(alike).low < 50 < mean_of_levels(alike).high
    plain, level = mean(apart), mean_of_levels(apart)
    assert level.low <= plain.low
    assert level.high >= plain.high


def test_of_few_segments_a_likely_spread_counts_like_four_more() -> None:
    level, low = mean_of_levels(np.array([50.0, 54.0])), mean_of_levels(np.array([1.0, 40.0]))
    assert (level.low, level.high) == pytest.approx(of_segments_by_hand([50, 54], 5.2))
    assert (low.low, low.high) == pytest.approx(of_segments_by_hand([1, 40], 2.05))
    assert low.low == 0
    share = mean_of_shares(np.array([60.0, 98.0]))
    assert share.low == pytest.approx(of_segments_by_hand([60, 98], 2.1)[0])
    assert of_segments_by_hand([60, 98], 2.1)[1] > 100.5
    assert share.high == 100
    assert {each.interval for each in (level, share, seconds(np.array([1.0])))} == {"mean95"}


def test_five_segments_are_no_longer_few() -> None:
    apart = np.array([0.0, 0, 0, 0, 100])
    assert mean_of_levels(apart).high == mean_of_counts(apart).high
    assert mean_of_levels(apart[1:]).high < mean_of_counts(apart[1:]).high
    narrow = Estimate(10, 10, 10, 5, "mean95")
    wide = with_chance_within(narrow, np.full(5, 10.0), [(5.0, 15.0)] * 5)
    assert (wide.low, wide.high) == pytest.approx((10 - math.sqrt(5), 10 + math.sqrt(5)))


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("tail", [0.025, 0.001])
def test_what_is_symmetric_has_students_interval_however_few_there_are(
    tail: float, count: int
) -> None:
    known = np.array([0.1, -0.02, 0.3, 0.05])[:count]
    seen = mean_of_symmetric(np.append(known, math.nan), tail)
    error = known.std(ddof=1) / math.sqrt(count)
    ends = stats.t.interval(1 - 2 * tail, count - 1, loc=known.mean(), scale=error)
    assert (seen.low, seen.high) == pytest.approx(ends)
    assert seen.value == pytest.approx(known.mean())
    assert (seen.samples, seen.interval) == (count, "mean95")
    assert mean_of_symmetric(known) == mean_of_symmetric(known, 0.025)
    for few in (known[:1], known[:0]):
        one, plain = mean_of_symmetric(few), mean(few)
        assert str(one) == str(plain)


def test_an_interval_is_no_narrower_than_chance_within_segments_makes_it() -> None:
    figures = np.array([10.0, 12.0])
    narrow = Estimate(11, 10.9, 11.1, 2, "mean95")
    wide = with_chance_within(narrow, figures, [(7.0, 16.0), (10.0, 13.0)])
    assert (wide.low, wide.high) == (8.5, 14.5)
    assert with_chance_within(wide, figures, [(10, 10), (12, 12)]) == wide
    assert with_chance_within(narrow, figures, [(-99.0, 16.0), (10, 13)]).low == 0


def test_of_more_segments_chance_within_them_averages_out() -> None:
    narrow = Estimate(10, 10, 10, 9, "mean95")
    wide = with_chance_within(narrow, np.full(9, 10.0), [(4.0, 13.0)] * 9)
    assert (wide.low, wide.high) == pytest.approx((8, 11))


def test_an_end_that_is_unknown_within_a_segment_is_left_to_the_others() -> None:
    narrow = Estimate(11, 9, 12, 2, "mean95")
    open_ = with_chance_within(narrow, np.array([10.0, 12.0]), [(7.0, math.inf), (9.0, 13.0)])
    assert (open_.low, open_.high) == (8, 12)
    unknown = [(-math.inf, math.inf), (9.0, 13.0)]
    assert with_chance_within(narrow, np.array([10.0, 12.0]), unknown) == narrow


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
