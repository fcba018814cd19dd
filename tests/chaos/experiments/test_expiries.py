"""Measures of made-up evidence, where the truth is known by construction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.experiments import _expiries as m
from chaos.model.evidence import Floats, Samples, Segment
from tests.support.segments import followed, looked_up, segment_of

TTL_S, DELTA_S = 0.8, 0.12


def segment(
    herds: list[int], *, rate_per_s: float = 100, delta_s: float = DELTA_S, calm: float = 1.0
) -> Segment:
    """Herds of given sizes, one each second, all of a herd's look-ups within δ of the first."""
    read = np.concatenate(
        [10 + number + np.linspace(0, delta_s * 0.9, size) for number, size in enumerate(herds)]
    )
    duration_s = float(len(herds))
    intended = np.arange(10, 10 + duration_s, 1 / rate_per_s)
    times = np.arange(10, 10 + duration_s, 0.1)
    return segment_of(
        10.0,
        10.0 + duration_s,
        requests=followed(intended),
        look_ups=looked_up(read, read + 0.001, read + 0.001 + delta_s, read + 0.002 + delta_s),
        samples=Samples(
            {"redis.commands": times}, {"redis.commands": (times - 10) * rate_per_s * calm}
        ),
    )


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12))
def test_each_herd_is_counted_whole_and_apart(herds: list[int]) -> None:
    assert m.origin_queries.of(segment(herds)).tolist() == herds


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12))
def test_the_peak_of_a_herd_that_overlaps_whole_is_its_size(herds: list[int]) -> None:
    assert m.peak_origin_queries.of(segment(herds)).tolist() == herds


def test_lookups_one_after_the_other_have_a_peak_of_one_and_are_expiries_of_their_own() -> None:
    one = segment([3])
    read = np.array([10.0, 10.2, 10.4])
    stored = read + 0.15
    apart = replace(one, look_ups=looked_up(read, read, stored, stored))
    assert m.origin_queries.of(apart).tolist() == [1, 1, 1]
    assert m.peak_origin_queries.of(apart).tolist() == [1, 1, 1]


def test_an_expiry_cut_off_by_the_end_of_arrivals_does_not_count() -> None:
    whole = segment([5, 5])
    cut = replace(whole, ended_s=11.05)
    assert m.origin_queries.of(cut).tolist() == [5]


def test_a_lookup_that_never_stored_belongs_to_the_expiry_it_began_in() -> None:
    herd = segment([4])
    stored = herd.look_ups.stored_s.copy()
    stored[0] = math.nan
    partly = replace(herd, look_ups=replace(herd.look_ups, stored_s=stored))
    assert m.origin_queries.of(partly).tolist() == [4]


def test_without_lookups_there_is_no_expiry() -> None:
    herd = segment([4])
    no_times = np.array([], dtype=np.float64)
    nothing = replace(herd, look_ups=looked_up(no_times, no_times, no_times, no_times))
    assert m.origin_queries.of(nothing).tolist() == []


def test_other_keys_do_not_count_as_the_herd() -> None:
    herd = segment([4])
    rank = herd.look_ups.rank.copy()
    rank[1:] = 3
    mixed = replace(herd, look_ups=replace(herd.look_ups, rank=rank))
    assert m.origin_queries.of(mixed).tolist() == [1]


def test_latency_runs_from_the_intended_time() -> None:
    late = segment([1])
    late = replace(late, requests=replace(late.requests, done_s=late.requests.intended_s + 0.5))
    assert m.latency_p50.of(late)[0] == pytest.approx(500)


# --- against definitions that are slow and plain -------------------------------------------------

SOME = settings(max_examples=40, deadline=None)
TICKS = st.integers(0, 12).map(float)  # few moments, so that many fall together
LOOK_UPS = st.lists(st.tuples(TICKS, st.one_of(st.just(math.nan), TICKS)), max_size=9)
ARRIVALS = st.lists(st.tuples(TICKS, st.integers(0, 6), st.integers(0, 1)), max_size=12)


def of_look_ups(look_ups: list[tuple[float, float]], ended_s: float) -> Segment:
    """A segment with look-ups that were read at a moment, and stored so much later."""
    read_s = sorted(read_s for read_s, _ in look_ups)
    stored_s = [read_s + took_s for read_s, (_, took_s) in zip(read_s, look_ups, strict=True)]
    found = looked_up(read_s, read_s, read_s, stored_s)
    return replace(segment([1]), look_ups=found, started_s=0.0, ended_s=ended_s)


def herds_of(found: Segment) -> list[list[tuple[float, float]]]:
    """Look-ups by expiry: one that was read when another of its herd had stored begins the next."""
    herds: list[list[tuple[float, float]]] = []
    for read_s, stored_s in zip(found.look_ups.read_s, found.look_ups.stored_s, strict=True):
        if not herds or any(stored <= read_s for _, stored in herds[-1]):
            herds.append([])
        herds[-1].append((read_s, stored_s))
    return herds


@SOME
@given(LOOK_UPS, TICKS)
def test_an_expiry_is_whoever_read_before_the_first_of_them_had_stored(
    look_ups: list[tuple[float, float]], ended_s: float
) -> None:
    found = of_look_ups(look_ups, ended_s)
    herds = herds_of(found)
    ends = [*(herd[0][0] for herd in herds[1:]), ended_s]
    expected = [
        (herd, min(stored), max(stored), until_s)
        for herd, until_s in zip(herds, ends, strict=False)
        if (stored := [stored for _, stored in herd if not math.isnan(stored)])
        and min(stored) <= ended_s
    ]
    assert [e.until_s for e in m.expiries(found)] == [until_s for *_, until_s in expected]
    for expiry, (herd, first, last, _) in zip(m.expiries(found), expected, strict=True):
        assert expiry.read_s.tolist() == [read_s for read_s, _ in herd]
        assert (expiry.began_s, expiry.refilled_s, expiry.settled_s) == (herd[0][0], first, last)


@SOME
@given(LOOK_UPS, ARRIVALS)
def test_an_aftermath_is_the_hot_requests_in_flight_and_those_of_the_next_second(
    look_ups: list[tuple[float, float]], arrivals: list[tuple[float, int, int]]
) -> None:
    arrivals = sorted(arrivals)
    intended_s, took_s, rank = (np.array([a[at] for a in arrivals]) for at in range(3))
    requests = replace(
        segment([1]).requests, intended_s=intended_s, done_s=intended_s + took_s, rank=rank
    )
    found = replace(of_look_ups(look_ups, 13.0), requests=requests)
    expected = [
        [
            place
            for place, (due_s, lasted_s, key) in enumerate(arrivals)
            if key == 0
            and due_s + lasted_s > expiry.began_s
            and due_s < min(expiry.began_s + 1, expiry.until_s)
        ]
        for expiry in m.expiries(found)
    ]
    assert [places.tolist() for places in m.aftermaths(found)] == expected


@SOME
@given(st.lists(st.tuples(TICKS, TICKS), min_size=1, max_size=9))
def test_the_peak_is_the_most_look_ups_under_way_at_any_question(
    look_ups: list[tuple[float, float]],
) -> None:
    asked_s = [5.0 + asked_s for asked_s, _ in look_ups]
    answered_s = [asked + took for asked, (_, took) in zip(asked_s, look_ups, strict=True)]
    herd = looked_up([5.0] * len(look_ups), asked_s, answered_s, [99.0] * len(look_ups))
    (peak,) = m.peak_origin_queries.of(replace(segment([1]), look_ups=herd, ended_s=99.0))
    spans = list(zip(asked_s, answered_s, strict=True))
    assert peak == max(sum(asked <= at <= done for asked, done in spans) for at in asked_s)


SPANS = st.lists(st.tuples(TICKS, TICKS), max_size=4)


@SOME
@given(st.sets(TICKS, max_size=8), st.lists(TICKS, max_size=12), SPANS)
def test_redis_uses_of_a_span_are_between_its_first_sample_and_its_last(
    sampled: set[float], done: list[float], spans: list[tuple[float, float]]
) -> None:
    at_s = sorted(sampled)
    found = with_samples(answered(segment([1]), done), at_s, [at_s**2 for at_s in at_s])
    expected = []
    for from_s, to_s in spans:
        inside = [t_s for t_s in at_s if from_s <= t_s <= to_s]
        first, last = (inside[0], inside[-1]) if len(inside) > 1 else (math.nan, math.nan)
        expected.append((last**2 - first**2, sum(first < done_s <= last for done_s in done)))
    edges = [np.array([span[at] for span in spans]) for at in range(2)]
    used, redirects = m._redis_uses(found, *edges)
    assert np.array_equal(used, [used for used, _ in expected], equal_nan=True)
    assert redirects.tolist() == [redirects for _, redirects in expected]


def answered(found: Segment, done_s: Sequence[float] | Floats) -> Segment:
    """The same with requests that were answered at these moments."""
    return replace(found, requests=replace(found.requests, done_s=np.array(done_s, dtype=float)))


def with_samples(found: Segment, at_s: Sequence[float], commands: Sequence[float]) -> Segment:
    """The same with Redis's counter read at these moments."""
    values = np.array(commands, dtype=float)
    samples = Samples({"redis.commands": np.array(at_s, dtype=float)}, {"redis.commands": values})
    return replace(found, samples=samples)


# --- figures of an expiry's aftermath ------------------------------------------------------------


def after_one_expiry(**columns: object) -> Segment:
    """A herd of one at 10 s, and a hundred requests after it, with these columns."""
    herd = segment([1])
    return replace(herd, requests=replace(herd.requests, **columns))  # type: ignore[arg-type]


def test_latencies_after_an_expiry_are_its_median_its_99th_percentile_and_its_largest() -> None:
    due_s = segment([1]).requests.intended_s
    slow = after_one_expiry(done_s=due_s + np.arange(1, 101)[::-1] / 1000)
    assert m.latency_p50.of(slow) == pytest.approx([50.5])
    assert m.latency_p99.of(slow) == pytest.approx([99.01])
    assert m.latency_max.of(slow) == pytest.approx([100])


def test_where_nobody_came_after_an_expiry_there_is_no_latency_and_no_age() -> None:
    deserted = after_one_expiry(rank=np.ones(100, dtype=np.int64))
    for measure in (m.latency_p50, m.latency_p99, m.latency_max, m.oldest_age):
        assert np.isnan(measure.of(deserted)).tolist() == [True]


def test_the_oldest_answer_is_told_by_those_whose_age_is_known() -> None:
    age_ms = np.full(100, math.nan)
    assert math.isnan(m.oldest_age.of(after_one_expiry(age_ms=age_ms))[0])
    age_ms[3:6] = [7.0, 9.0, 8.0]
    assert m.oldest_age.of(after_one_expiry(age_ms=age_ms)).tolist() == [9.0]


def test_redirects_that_wait_for_the_origin_are_told_by_where_they_were_served_from() -> None:
    herd = segment([1])
    served = herd.requests.served_from.astype("U8")
    served[:4] = ["miss", "wait", "early", "stale"]
    assert m.waited.of(
        replace(herd, requests=replace(herd.requests, served_from=served))
    ).tolist() == [3]


def test_redis_commands_in_calm_are_those_per_redirect() -> None:
    calm = m.redis_commands_per_redirect.of(segment([2, 2, 2], calm=1.6))
    assert calm.mean() == pytest.approx(1.6, rel=0.05)


def test_redis_commands_of_an_expiry_are_those_beyond_calm() -> None:
    herd = segment([1, 1, 1])
    times, commands = herd.samples.of("redis.commands")
    extra = commands + 40 * (times > 11.15)
    seen = replace(herd, samples=Samples({"redis.commands": times}, {"redis.commands": extra}))
    assert m.redis_commands_per_expiry.of(seen)[1] == pytest.approx(40, abs=2)


def one_herd(at_s: Sequence[float], commands: Sequence[float]) -> Segment:
    """An expiry from 4 to 5 s in a segment of 10 s, a redirect answered every tenth of a second."""
    herd = replace(segment([1]), started_s=0.0, ended_s=10.0)
    herd = replace(herd, look_ups=looked_up([4.0, 4.0], [4.0, 4.0], [4.5, 4.5], [4.5, 5.0]))
    return with_samples(answered(herd, np.arange(1, 101) / 10), at_s, commands)


def test_calm_is_before_an_expiry_and_after_its_last_look_up_has_stored() -> None:
    seen = one_herd([0, 4, 4.5, 5, 9, 10], [0, 80, 500, 1000, 1040, 1050])
    assert m.redis_commands_per_redirect.of(seen) == pytest.approx([80 / 40, 50 / 50])


def test_a_time_without_a_redirect_tells_nothing_of_their_cost() -> None:
    seen = one_herd([0, 4, 5, 10], [0, 80, 1000, 1050])
    idle = answered(seen, np.arange(1, 41) / 10)
    assert m.redis_commands_per_redirect.of(idle) == pytest.approx([80 / 40])
    one = answered(seen, [2.0])
    assert m.redis_commands_per_redirect.of(one) == pytest.approx([80])


def test_what_an_expiry_costs_redis_is_beyond_the_mean_of_calm() -> None:
    seen = one_herd([0, 3, 6, 10], [0, 60, 200, 240])
    assert m.redis_commands_per_redirect.of(seen) == pytest.approx([60 / 30, 40 / 40])
    assert m.redis_commands_per_expiry.of(seen) == pytest.approx([140 - 1.5 * 30])


def test_an_expiry_that_begins_and_settles_with_a_sample_is_measured_between_these() -> None:
    seen = one_herd([0, 4, 5, 10], [0, 40, 100, 150])
    assert m.redis_commands_per_expiry.of(seen) == pytest.approx([60 - 10])


@pytest.mark.parametrize("at_s", [[5, 6, 10], [0, 3, 4]])
def test_an_expiry_without_a_sample_on_both_sides_is_not_measured(at_s: list[float]) -> None:
    seen = one_herd(at_s, [0, 10, 20])
    assert len(m.redis_commands_per_redirect.of(seen)) == 1
    assert m.redis_commands_per_expiry.of(seen).tolist() == []


@pytest.mark.parametrize("at_s", [[], [4.5], [4, 5]])
def test_without_calm_nothing_can_be_beyond_it(at_s: list[float]) -> None:
    seen = one_herd(at_s, at_s)
    assert m.redis_commands_per_redirect.of(seen).tolist() == []
    assert m.redis_commands_per_expiry.of(seen).tolist() == []
