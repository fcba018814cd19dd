"""Arrivals: a Poisson process at the rate of the curve, with the stated share for the hot key."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from chaos.model.arrivals import CANDIDATES, arrivals, jitters, visits
from chaos.model.curves import rate_of
from chaos.model.evidence import Floats, Ints
from chaos.model.traffic import FOLLOW, Traffic

CURVES = {
    "steady": Traffic(300.0),
    "ramp": Traffic(50.0, "ramp", peak_per_s=500.0),
    "step": Traffic(100.0, "step", peak_per_s=600.0, step_at_s=7.0),
    "viral": Traffic(60.0, "viral", peak_per_s=900.0),
}
DURATION_S = 20.0


def drawn(traffic: Traffic, duration_s: float = DURATION_S, seed: int = 3) -> tuple[Floats, Ints]:
    batches = list(arrivals(traffic, duration_s, seed))
    times = np.concatenate([np.empty(0), *(batch[0] for batch in batches)])
    return times, np.concatenate([np.empty(0, np.int64), *(batch[1] for batch in batches)])


def expected(traffic: Traffic, start_s: float, end_s: float) -> float:
    rate = rate_of(traffic, DURATION_S)
    count, _ = integrate.quad(
        lambda t: float(rate(np.array([t]))[0]), start_s, end_s, points=[2.0, 7.0], limit=200
    )
    return float(count)


@pytest.mark.parametrize("rate", [2.0, 30.0, 300.0, 5_000.0])
def test_gaps_between_steady_arrivals_are_exponential(rate: float) -> None:
    times, _ = drawn(Traffic(rate), duration_s=max(DURATION_S, 600 / rate))
    gaps = np.diff(times, prepend=0.0)
    assert stats.kstest(gaps, "expon", args=(0, 1 / rate)).pvalue > 0.01


@pytest.mark.parametrize("curve", CURVES)
def test_arrivals_become_a_unit_poisson_process_when_time_runs_at_the_rate(curve: str) -> None:
    times, _ = drawn(CURVES[curve])
    grid = np.linspace(0.0, DURATION_S, 200_001)
    area = integrate.cumulative_trapezoid(rate_of(CURVES[curve], DURATION_S)(grid), grid, initial=0)
    rescaled = np.interp(times, grid, area)
    assert stats.kstest(np.diff(rescaled, prepend=0.0), "expon").pvalue > 0.01


@pytest.mark.parametrize("curve", CURVES)
def test_every_second_has_as_many_arrivals_as_the_curve(curve: str) -> None:
    times, _ = drawn(CURVES[curve])
    counts, _ = np.histogram(times, bins=np.arange(DURATION_S + 1))
    sure = 1 - 0.01 / len(counts)  # so that all seconds together are within by 99 % (Bonferroni)
    for second, count in enumerate(counts):
        low, high = stats.poisson.interval(sure, expected(CURVES[curve], second, second + 1))
        assert low <= count <= high


def test_half_of_a_viral_burst_has_come_after_466_tau() -> None:
    burst = Traffic(1e-9, "viral", peak_per_s=100.0, rise_s=0.0, tau_s=6.4)
    rate = rate_of(burst, np.inf)
    half, whole = (
        integrate.quad(lambda t: float(rate(np.array([t]))[0]), 0, end, limit=500)[0]
        for end in (4.657 * 6.4, np.inf)
    )
    assert half / whole == pytest.approx(0.5, abs=0.002)


def test_streams_together_have_the_rate_of_one() -> None:
    parts = [
        [len(times) for times, _ in arrivals(CURVES["viral"], DURATION_S, 3, stream=n, streams=4)]
        for n in range(4)
    ]
    low, high = stats.poisson.interval(0.999, expected(CURVES["viral"], 0, DURATION_S))
    assert low <= sum(map(sum, parts)) <= high


def test_streams_of_one_seed_differ() -> None:
    first, second = (next(arrivals(CURVES["steady"], 5.0, 3, stream=n))[0] for n in (0, 1))
    assert not np.intersect1d(first, second).size


@pytest.mark.parametrize("seed", [2**32, 7 + 2**32, 2**53 - 1, (2**53 - 1) * 1000 + 13, 2**64])
def test_a_large_seed_has_arrivals_of_its_own(seed: int) -> None:
    neighbours = [(seed - 1, 0), (seed + 1, 0), (seed % 2**32, seed >> 32), (seed % 2**32, 0)]
    own = next(arrivals(CURVES["steady"], 5.0, seed))[0]
    for other, stream in neighbours:
        times = next(arrivals(CURVES["steady"], 5.0, other, stream=stream, streams=1))[0]
        assert not np.intersect1d(own, times).size


def test_the_same_seed_gives_the_same_arrivals_and_another_seed_others() -> None:
    once, again, other = (drawn(CURVES["viral"], seed=seed) for seed in (9, 9, 10))
    assert np.array_equal(once[0], again[0])
    assert np.array_equal(once[1], again[1])
    assert not np.array_equal(once[0][:100], other[0][:100])


def test_arrivals_and_ranks_of_a_seed_stay_what_they_were() -> None:
    times, ranks = next(arrivals(CURVES["steady"], DURATION_S, 3))
    assert times[:2] == pytest.approx([0.0025618230751254544, 0.002956653648157338], rel=1e-12)
    assert ranks[:4].tolist() == [0, 21, 0, 16]
    _, ranks = next(arrivals(CURVES["steady"], DURATION_S, 3, stream=1, streams=2))
    assert ranks[:10].tolist() == [0, 0, 0, 0, 0, 0, 31, 0, 0, 1]


def test_visits_come_by_weight_and_leave_arrivals_and_ranks_alone() -> None:
    kinds = [replace(FOLLOW, name=name, weight=weight) for name, weight in (("a", 3.0), ("b", 1.0))]
    mixed = replace(CURVES["steady"], visits=tuple(kinds))
    drawn_visits = list(islice(visits(mixed, 3), 4000))
    counts = [sum(visit.name == name for visit in drawn_visits) for name in "ab"]
    assert stats.chisquare(counts, [3000, 1000]).pvalue > 0.01
    assert drawn_visits[:50] == list(islice(visits(mixed, 3), 50))
    for plain, same in zip(drawn(CURVES["steady"]), drawn(mixed), strict=True):
        assert np.array_equal(plain, same)


def test_jitters_are_uniform_and_repeat_with_the_seed() -> None:
    shares = list(islice(jitters(3), 5000))
    assert stats.kstest(shares, "uniform").pvalue > 0.01
    assert shares == list(islice(jitters(3), 5000))
    assert shares[:9] != list(islice(jitters(3, stream=1), 9))


def test_a_test_without_an_end_is_drawn_a_batch_at_a_time() -> None:
    endless = arrivals(CURVES["ramp"], np.inf, 3)
    batches = [next(endless)[0] for _ in range(50)]
    assert max(map(len, batches)) <= CANDIDATES
    assert all(a[-1] < b[0] for a, b in pairwise(batches))


def test_the_hot_key_gets_its_share_and_zipf_the_rest() -> None:
    _, ranks = drawn(Traffic(20_000.0, keys=20, hot_share=0.4, zipf_alpha=1.2), duration_s=5.0)
    weights = np.arange(1, 20) ** -1.2
    shares = np.concatenate(([0.4], 0.6 * weights / weights.sum()))
    counts = np.bincount(ranks, minlength=20)
    assert stats.chisquare(counts, shares * len(ranks)).pvalue > 0.01


@pytest.mark.parametrize(("share", "ranks"), [(1.0, {0}), (0.0, {1, 2})])
def test_the_hot_key_can_have_everything_or_nothing(share: float, ranks: set[int]) -> None:
    _, asked = drawn(Traffic(500.0, keys=3, hot_share=share), duration_s=2.0)
    assert set(asked) == ranks


def test_one_key_gets_every_request() -> None:
    assert set(drawn(Traffic(500.0, keys=1, hot_share=0.1), duration_s=1.0)[1]) == {0}


@settings(max_examples=60, deadline=None)
@given(
    curve=st.sampled_from(sorted(CURVES)),
    rate=st.floats(0.1, 2000.0),
    more=st.floats(0.0, 3000.0),
    duration_s=st.floats(0.01, 5.0),
    keys=st.integers(1, 40),
    seed=st.integers(0, 2**63),
)
def test_arrivals_ascend_within_the_duration_and_are_for_keys_that_exist(
    curve: str, rate: float, more: float, duration_s: float, keys: int, seed: int
) -> None:
    traffic = replace(CURVES[curve], rate_per_s=rate, peak_per_s=rate + more, keys=keys)
    times, ranks = drawn(traffic, duration_s, seed)
    assert len(times) == len(ranks)
    assert np.all(np.diff(times) >= 0)
    assert np.all((times > 0) & (times < duration_s))
    assert np.all((ranks >= 0) & (ranks < keys))


@settings(max_examples=60, deadline=None)
@given(
    curve=st.sampled_from(sorted(CURVES)),
    rate=st.floats(0.1, 1000.0),
    more=st.floats(0.0, 1000.0),
    at_s=st.lists(st.floats(0.0, 100.0), min_size=1),
)
def test_no_curve_leaves_the_band_between_base_and_peak(
    curve: str, rate: float, more: float, at_s: list[float]
) -> None:
    traffic = replace(CURVES[curve], rate_per_s=rate, peak_per_s=rate + more)
    rates = rate_of(traffic, 50.0)(np.array(at_s))
    assert np.all(rates >= rate * (1 - 1e-9))
    assert np.all(rates <= (rate + more) * (1 + 1e-9))
