"""What a measure says of made-up evidence, where the truth is known by construction."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos import measures as m
from chaos import predictions as p
from chaos.model import Counters, Generator, OriginQueries, Requests, Samples, Segment

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
    count = len(intended)
    times = np.arange(10, 10 + duration_s, 0.1)
    return Segment(
        arm="direct",
        round=0,
        settings={},
        started_s=10.0,
        ended_s=10.0 + duration_s,
        web_processes=2,
        requests=Requests(
            intended_s=intended,
            sent_s=intended + 0.001,
            done_s=intended + 0.002,
            rank=np.zeros(count, dtype=np.int64),
            status=np.full(count, 302),
            version=np.ones(count, dtype=np.int64),
            age_ms=np.full(count, 5.0),
            outcome=np.full(count, "ok"),
            served_from=np.full(count, "hit"),
        ),
        origin=OriginQueries(
            rank=np.zeros(len(read), dtype=np.int64),
            read_s=read,
            asked_s=read + 0.001,
            answered_s=read + 0.001 + delta_s,
            stored_s=read + 0.002 + delta_s,
        ),
        samples=Samples(
            {"redis_commands": times}, {"redis_commands": (times - 10) * rate_per_s * calm}
        ),
        generator=Generator(count, count, 0, 0, 0.1, 1.0),
        counted=Counters(len(read), len(read), 0, 0, 0),
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
    apart = replace(one, origin=OriginQueries(one.origin.rank, read, read, stored, stored))
    assert m.origin_queries.of(apart).tolist() == [1, 1, 1]
    assert m.peak_origin_queries.of(apart).tolist() == [1, 1, 1]


def test_an_expiry_cut_off_by_the_end_of_arrivals_does_not_count() -> None:
    whole = segment([5, 5])
    cut = replace(whole, ended_s=11.05)
    assert m.origin_queries.of(cut).tolist() == [5]


def test_a_lookup_that_never_stored_belongs_to_the_expiry_it_began_in() -> None:
    herd = segment([4])
    stored = herd.origin.stored_s.copy()
    stored[0] = math.nan
    partly = replace(herd, origin=replace(herd.origin, stored_s=stored))
    assert m.origin_queries.of(partly).tolist() == [4]


def test_without_lookups_there_is_no_expiry() -> None:
    herd = segment([4])
    no_times = np.array([], dtype=np.float64)
    none = OriginQueries(np.array([], dtype=np.int64), no_times, no_times, no_times, no_times)
    nothing = replace(herd, origin=none)
    assert m.origin_queries.of(nothing).tolist() == []


def test_other_keys_do_not_count_as_the_herd() -> None:
    herd = segment([4])
    rank = herd.origin.rank.copy()
    rank[1:] = 3
    mixed = replace(herd, origin=replace(herd.origin, rank=rank))
    assert m.origin_queries.of(mixed).tolist() == [1]


def test_latency_runs_from_the_intended_time() -> None:
    late = segment([1])
    late = replace(late, requests=replace(late.requests, done_s=late.requests.intended_s + 0.5))
    assert m.latency_p50.of(late)[0] == pytest.approx(500)


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
    times, commands = herd.samples.of("redis_commands")
    extra = commands + 40 * (times > 11.15)
    seen = replace(herd, samples=Samples({"redis_commands": times}, {"redis_commands": extra}))
    assert m.redis_commands_per_expiry.of(seen)[1] == pytest.approx(40, abs=2)


def test_the_herd_is_predicted_from_measured_rate_and_time() -> None:
    herd = segment([5, 5, 5])
    assert p.hot_rate_per_s([herd]) == pytest.approx(100, rel=0.01)
    assert p.herd.of([herd]) == pytest.approx(1 + 100 * DELTA_S, rel=0.01)


def test_the_law_of_xfetch_follows_from_the_beta_in_force() -> None:
    plain, eager = segment([1]), replace(segment([1]), settings={"XFETCH_BETA": "2"})
    assert p.xfetch_law.of([plain]) == pytest.approx(math.e)
    assert p.xfetch_law.of([eager]) == pytest.approx(math.exp(0.5))
    assert math.isnan(p.xfetch_law.of([plain, eager]))


def test_without_evidence_theory_predicts_nothing() -> None:
    assert math.isnan(p.herd.of([]))
    assert math.isnan(p.one_per_process.of([]))
