"""Measures of an outage: three clocks from the act on, and what two primaries do at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from chaos.acts.faults import Kill, Pause
from chaos.measures.outage import first_error, on_old_timeline, overlap, steady, taken_over
from chaos.measures.selections import since_act, until_act
from chaos.model.evidence import Segment
from chaos.model.experiment import Measure
from tests.support.histories import Row, requests
from tests.support.segments import acted, floats, segment_of

KILLED = Kill("primary")
AT_S = 2.0


def of_writes(*rows: Row, timelines: tuple[int, ...] = ()) -> Segment:
    """A segment from 0 to 10 s with these requests, whose primary is killed after 2 s."""
    columns = requests(rows)
    if timelines:
        columns = replace(columns, timeline=np.array(timelines))
    return segment_of(0.0, 10.0, requests=columns, acts=[acted(AT_S, None, KILLED.name)])


def create(sent_s: float, took_s: float = 0.01, outcome: str = "ok") -> Row:
    return Row("create", sent_s, sent_s + took_s, version=1, outcome=outcome)


def test_the_first_error_counts_from_the_act() -> None:
    own = of_writes(create(1.0, outcome="fail"), create(2.1), create(2.5, outcome="fail"))
    assert first_error(KILLED).of(own)[0] == pytest.approx(0.51)


def test_a_timeout_is_an_error() -> None:
    own = of_writes(create(2.5, 1.0, outcome="unknown"))
    assert first_error(KILLED).of(own)[0] == pytest.approx(1.5)


def test_another_primary_takes_over_with_its_first_answer() -> None:
    rows = [create(1.0), create(2.01), create(2.2, outcome="fail"), create(3.0, 0.05), create(4.0)]
    own = of_writes(*rows, timelines=(3, 3, -1, 4, 4))
    assert taken_over(KILLED).of(own)[0] == pytest.approx(1.05)


def test_a_write_that_waited_for_the_new_primary_counts_from_its_answer() -> None:
    own = of_writes(create(1.0), create(1.9, 0.9), timelines=(3, 4))
    assert taken_over(KILLED).of(own)[0] == pytest.approx(0.8)


def test_what_the_old_primary_still_acknowledges_takes_nothing_over() -> None:
    measure = taken_over(KILLED)
    own = of_writes(create(1.0), create(2.01), create(2.2, outcome="fail"), timelines=(3, 3, -1))
    assert measure.of(own)[0] == np.inf
    assert measure.censored_at(own) == 8.0


def test_without_a_write_before_nobody_knows_who_took_over() -> None:
    assert np.isnan(taken_over(KILLED).of(of_writes(create(3.0), timelines=(4,)))[0])


def test_it_is_steady_from_the_first_request_that_begins_a_good_span() -> None:
    bad = [create(2.0 + 0.1 * n, outcome="fail") for n in range(10)]
    lone = [create(3.0), create(3.1, outcome="fail")]
    good = [create(3.2 + 0.1 * n) for n in range(60)]
    own = of_writes(*bad, *lone, *good)
    assert steady(KILLED, within_ms=100, for_s=3).of(own)[0] == pytest.approx(1.2)


def test_one_error_in_a_hundred_is_steady() -> None:
    rows = [create(2.0 + 0.01 * n, outcome="fail" if n == 50 else "ok") for n in range(700)]
    assert steady(KILLED, within_ms=100).of(of_writes(*rows))[0] == pytest.approx(0.0)


def test_a_span_that_the_segment_cuts_short_is_not_steady() -> None:
    rows = [create(6.0 + 0.1 * n) for n in range(39)]
    assert steady(KILLED, within_ms=100).of(of_writes(*rows))[0] == np.inf


def test_an_answer_that_waits_for_the_outage_to_end_is_no_success() -> None:
    waiting = [create(2.0 + 0.1 * n, 1.0) for n in range(10)]
    good = [create(3.0 + 0.1 * n) for n in range(60)]
    own = of_writes(*waiting, *good)
    assert steady(KILLED, within_ms=500, for_s=3).of(own)[0] == pytest.approx(1.0)
    assert steady(KILLED, within_ms=1500, for_s=3).of(own)[0] == pytest.approx(0.0)


def test_two_primaries_overlap_from_the_first_new_answer_to_the_last_old_one() -> None:
    rows = [create(1.0), create(3.0), create(4.0), create(5.0)]
    own = of_writes(*rows, timelines=(1, 2, 1, 2))
    assert overlap().of(own)[0] == pytest.approx(1.0)
    assert on_old_timeline().of(own)[0] == 1


def test_one_primary_after_the_other_does_not_overlap() -> None:
    own = of_writes(create(1.0), create(3.0), timelines=(1, 2))
    assert overlap().of(own)[0] == 0
    assert on_old_timeline().of(own)[0] == 0


@pytest.mark.parametrize("measure", [overlap(), on_old_timeline()])
@pytest.mark.parametrize("timelines", [(), (3, 3)])
def test_where_only_one_server_acknowledged_writes_nothing_is_known_of_two(
    measure: Measure, timelines: tuple[int, ...]
) -> None:
    own = of_writes(create(1.0), create(3.0), timelines=timelines)
    assert np.isnan(measure.of(own)[0])


@pytest.mark.parametrize("measure", [overlap(), on_old_timeline()])
def test_there_is_no_figure_if_one_segment_has_none(measure: Measure) -> None:
    assert measure.summary(np.array([0.0, 0.0])).known
    assert not measure.summary(np.array([0.0, np.nan])).known


def test_spans_end_and_begin_with_the_act() -> None:
    own = of_writes(create(1.0), create(3.0))
    t_s = own.requests.intended_s
    assert until_act(KILLED).holds(own, t_s).tolist() == [True, False]
    assert since_act(KILLED).holds(own, t_s).tolist() == [False, True]
    assert since_act(KILLED, 1.5).holds(own, floats([3.4, 3.6])).tolist() == [False, True]
    assert not since_act(Pause("redis")).holds(own, t_s).any()
