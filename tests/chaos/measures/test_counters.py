"""Measures of sampled series and of ledgers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.measures.ledgers import duplicated, edits_undone, lost, miscounted, unacknowledged
from chaos.measures.samples import peak, per_second, series
from chaos.measures.selections import during
from chaos.model.evidence import Ledger, Samples, Segment
from tests.support.segments import acted, floats, segment_of


def sampled(**of: list[tuple[float, float]]) -> Segment:
    """A segment of 6 s with these readings; `web_1__hits` is web-1.hits."""
    named = {name.replace("__", ".").replace("_", "-", 1): own for name, own in of.items()}
    times = {name: floats([t_s for t_s, _ in own]) for name, own in named.items()}
    values = {name: floats([value for _, value in own]) for name, own in named.items()}
    return segment_of(0.0, 6.0, samples=Samples(times, values), acts=[acted(2.0, 4.0)])


TWO = sampled(
    web_1__hits=[(1.0, 10.0), (3.0, 20.0)],
    web_2__hits=[(2.0, 1.0), (4.0, 5.0)],
    redis__hits=[(0.0, 1000.0)],
    web_1__misses=[(0.0, 7.0)],
)


def test_a_series_of_one_part_is_as_it_was_read() -> None:
    t_s, values = series(TWO, "redis.hits")
    assert (t_s.tolist(), values.tolist()) == ([0.0], [1000.0])


def test_a_series_of_a_kind_of_part_adds_up_what_each_was_last_read_at() -> None:
    t_s, values = series(TWO, "web.hits")
    assert (t_s.tolist(), values.tolist()) == ([2.0, 3.0, 4.0], [11.0, 21.0, 25.0])


def test_a_series_without_a_part_is_that_of_all_parts() -> None:
    t_s, values = series(TWO, "hits")
    assert (t_s.tolist(), values.tolist()) == ([2.0, 3.0, 4.0], [1011.0, 1021.0, 1025.0])


def test_a_series_that_nobody_read_is_empty() -> None:
    t_s, values = series(TWO, "web.magic")
    assert (len(t_s), len(values)) == (0, 0)


READINGS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(READINGS, READINGS)
def test_a_value_holds_until_the_next_one_of_its_part(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    own = [sorted(dict(readings).items()) for readings in (one, other)]
    segment = sampled(web_1__x=[(float(t), float(v)) for t, v in own[0]],
                      web_2__x=[(float(t), float(v)) for t, v in own[1]])  # fmt: skip
    from_s = max(readings[0][0] for readings in own)
    moments = sorted({t for readings in own for t, _ in readings if t >= from_s})
    expected = [sum([v for t, v in readings if t <= at][-1] for readings in own) for at in moments]
    t_s, values = series(segment, "web.x")
    assert (t_s.tolist(), values.tolist()) == (moments, expected)


def test_a_peak_is_the_largest_reading_of_its_time() -> None:
    segment = sampled(redis__waiting=[(1.0, 9.0), (2.0, 3.0), (3.9, 4.0), (4.0, 8.0)])
    whole, acted_on = peak("waiting", "most", "clicks"), peak("waiting", "most", "clicks", during)
    assert (whole.name, acted_on.name) == ("peak_waiting", "peak_waiting_during")
    assert whole.of(segment).tolist() == [9.0]
    assert acted_on.of(segment).tolist() == [4.0]
    assert np.isnan(acted_on.of(replace(segment, acts=[]))).tolist() == [True]


def test_a_rate_is_a_rise_over_its_time() -> None:
    segment = sampled(redis__commands=[(-1.0, 0.0), (0.0, 100.0), (2.0, 200.0), (4.0, 600.0),
                                       (6.0, 700.0), (7.0, 9000.0)])  # fmt: skip
    whole = per_second("redis.commands", "commands", "commands")
    acted_on = per_second("redis.commands", "commands", "commands", during)
    assert (whole.name, whole.unit) == ("redis_commands_per_s", "commands/s")
    assert whole.of(segment) == pytest.approx([100])
    assert acted_on.of(segment) == pytest.approx([200])


def test_one_reading_has_no_rate() -> None:
    rate = per_second("redis.commands", "commands", "commands", during)
    assert np.isnan(rate.of(sampled(redis__commands=[(3.0, 5.0)]))).tolist() == [True]
    assert np.isnan(rate.of(sampled())).tolist() == [True]


# --- ledgers -------------------------------------------------------------------------------------

BOOKS = {"clicks": Ledger(100, 90, 85, 5, 2, 0, 7), "edits": Ledger(9, 8, 7, 1, 4, 3)}


def test_a_measure_of_a_ledger_is_its_figure() -> None:
    segment = segment_of(0.0, 1.0, ledgers=BOOKS)
    assert lost("clicks").of(segment).tolist() == [5.0]
    assert lost("edits").of(segment).tolist() == [1.0]
    assert duplicated("clicks").of(segment).tolist() == [2.0]
    assert miscounted().of(segment).tolist() == [7.0]
    assert unacknowledged().of(segment).tolist() == [10.0]
    assert edits_undone().of(segment).tolist() == [5.0]


def test_what_was_not_read_back_has_no_figure() -> None:
    for measure in (lost("links"), edits_undone(), miscounted(), unacknowledged()):
        assert np.isnan(measure.of(segment_of(0.0, 1.0))).tolist() == [True]
        assert measure.without == "the primary was not read back"


def test_what_is_read_back_has_one_look_whatever_a_run_looks_at_before() -> None:
    values = np.array([9.0, 16.0])
    assert lost("clicks").summary(values, 0.025 / 3) == lost("clicks").summary(values, 0.025)


def test_losses_add_up_over_segments() -> None:
    assert lost("clicks").summary(np.array([5.0, 0.0, 2.0])).value == 7
