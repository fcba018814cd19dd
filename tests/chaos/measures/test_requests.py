"""Measures of requests: when they were due, which they are, how they ended, until when it hurt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.measures import selections as when
from chaos.measures.outcomes import failed, goodput, latency, retried, tries
from chaos.measures.recovery import BIN_S, catch_up, recovery
from chaos.model.evidence import Samples, Segment
from tests.support.segments import acted, floats, followed, segment_of

SOME = settings(max_examples=60, deadline=None)


def lasting(duration_s: float, *acts: Any, due_s: Any = None, **columns: Any) -> Segment:
    """A segment from second 0, a request every tenth of a second, with other columns."""
    requests = followed(np.arange(0.05, duration_s, 0.1) if due_s is None else due_s)
    return segment_of(0.0, duration_s, requests=replace(requests, **columns), acts=[*acts])


def column(count: int, of: dict[int, Any], otherwise: Any, kind: Any = "U8") -> Any:
    """A column that is the same everywhere but in some places."""
    values = np.full(count, otherwise, dtype=kind)
    for place, value in of.items():
        values[place] = value
    return values


# --- when and which ------------------------------------------------------------------------------


def due(segment: Segment, span: when.When) -> list[float]:
    chosen = segment.requests.intended_s[when.selected(segment, span, when.every)]
    return [float(t_s) for t_s in chosen]


def test_before_during_and_after_are_told_by_the_acts_of_the_segment() -> None:
    segment = lasting(6.0, acted(1.0, 2.0), acted(1.5, 4.0), due_s=[0.5, 1.0, 3.9, 4.0, 5.0, 7.0])
    assert due(segment, when.whole) == [0.5, 1.0, 3.9, 4.0, 5.0, 7.0]
    assert due(segment, when.before) == [0.5]
    assert due(segment, when.during) == [1.0, 3.9]
    assert due(segment, when.after_heal) == [4.0, 5.0, 7.0]


def test_between_two_acts_is_neither_before_nor_during_nor_after() -> None:
    segment = lasting(6.0, acted(1.0, 2.0), acted(3.0, 4.0), due_s=[2.5])
    assert [due(segment, span) for span in (when.before, when.during, when.after_heal)] == [[]] * 3


def test_an_act_that_is_not_undone_is_in_force_for_ever_and_there_is_no_after() -> None:
    segment = lasting(6.0, acted(1.0, None), due_s=[0.5, 2.0, 5.9, 7.0])
    assert due(segment, when.during) == [2.0, 5.9, 7.0]
    assert when.healed_s(segment) == 6.0


def test_without_an_act_all_is_before_and_after_and_nothing_during() -> None:
    segment = lasting(6.0, due_s=[0.5, 5.0])
    assert due(segment, when.before) == due(segment, when.after_heal) == [0.5, 5.0]
    assert due(segment, when.during) == []


def test_requests_are_chosen_by_what_they_do() -> None:
    does = np.array(["follow", "create", "edit", "delete", "stats"])
    requests = lasting(0.5, operation=does).requests
    assert when.follows.of(requests).tolist() == [True, False, False, False, False]
    assert when.writes.of(requests).tolist() == [False, True, True, True, False]
    assert when.every.of(requests).all()


def test_a_measure_is_named_by_what_it_is_of_and_when() -> None:
    named = failed(when.during, when.writes)
    assert (named.name, named.title) == ("write_failed_during", "write failed during")
    names = {m.name for w in (when.whole, when.before, when.during) for m in (failed(w), tries(w))}
    assert len(names) == 6


# --- how they ended ------------------------------------------------------------------------------


def test_an_operation_has_failed_if_its_last_try_has() -> None:
    outcome = column(10, {0: "fail", 1: "unknown", 2: "absent", 3: "fail"}, "ok")
    last = column(10, {3: False}, True, bool)
    segment = lasting(1.0, outcome=outcome, last=last)
    assert failed().of(segment).tolist() == [3.0]
    assert np.isnan(failed(which=when.writes).of(segment)).tolist() == [True]


def test_latency_counts_from_when_a_request_was_due() -> None:
    slow = lasting(1.0)
    requests = replace(slow.requests, done_s=slow.requests.intended_s + np.arange(1, 11) / 1000)
    slow = replace(slow, requests=requests)
    assert latency(50).of(slow) == pytest.approx([5.5])
    assert latency(100).of(slow) == pytest.approx([10])
    assert np.isnan(latency(50, when.during).of(slow)).tolist() == [True]


def test_tries_are_the_requests_of_an_operation() -> None:
    attempt = column(10, {1: 2, 2: 3, 5: 2}, 1, np.int64)
    assert tries().of(lasting(1.0, attempt=attempt)) == pytest.approx([10 / 7])
    assert retried().of(lasting(1.0, attempt=attempt)).tolist() == [3]
    nothing = lasting(1.0, attempt=np.full(10, 2))
    assert np.isnan(tries().of(nothing)).tolist() == [True]


def test_goodput_is_what_was_answered_in_time_of_what_was_due() -> None:
    segment = lasting(1.0, outcome=column(10, {0: "fail", 1: "absent"}, "ok"))
    done_s = segment.requests.intended_s + column(10, {2: 0.3}, 0.002, float)
    segment = replace(segment, requests=replace(segment.requests, done_s=done_s))
    assert goodput().of(segment) == pytest.approx([80])
    assert goodput(within_ms=300.1).of(segment) == pytest.approx([80])
    assert goodput(within_ms=100).of(segment) == pytest.approx([70])
    retried = replace(segment.requests, last=column(10, {0: False}, True, bool))
    assert goodput().of(replace(segment, requests=retried)) == pytest.approx([100 * 8 / 9])
    none_yet = replace(segment.requests, last=np.zeros(10, dtype=bool))
    assert np.isnan(goodput().of(replace(segment, requests=none_yet))).tolist() == [True]


# --- until when it hurt --------------------------------------------------------------------------


def slow_until(bad_s: list[float], healed_s: float | None = 2.0, end_s: float = 6.0) -> Segment:
    """An act from second 1, and requests due at these times that take a second."""
    segment = lasting(end_s, acted(1.0, healed_s))
    due_s = segment.requests.intended_s
    late = np.isin(np.round(due_s, 2), bad_s)
    return replace(segment, requests=replace(segment.requests, done_s=due_s + 0.002 + late))


@pytest.mark.parametrize(
    ("bad_s", "seconds"),
    [
        ([], 0.0),
        ([1.05, 1.95], 0.0),
        ([2.05], 0.25),
        ([2.25], 0.5),
        ([2.05, 3.95], 2.0),
        ([5.95], np.inf),
    ],
)
def test_recovery_is_until_the_last_quarter_of_a_second_that_was_bad(
    bad_s: list[float], seconds: float
) -> None:
    assert recovery(within_ms=100).of(slow_until(bad_s)).tolist() == [seconds]


def test_a_share_of_slow_answers_may_be_well() -> None:
    assert recovery(within_ms=100, share=0.5).of(slow_until([2.05])).tolist() == [0.0]
    assert recovery(within_ms=1100).of(slow_until([2.05])).tolist() == [0.0]


def test_without_an_act_or_a_request_after_it_there_is_no_recovery() -> None:
    measure = recovery(within_ms=100)
    assert np.isnan(measure.of(lasting(6.0))).tolist() == [True]
    assert np.isnan(measure.of(slow_until([], healed_s=None))).tolist() == [True]
    assert measure.censored_at(slow_until([])) == 4.0


@SOME
@given(st.lists(st.tuples(st.floats(0, 5.99), st.booleans()), max_size=30))
def test_recovery_is_what_a_slow_reader_finds(asked: list[tuple[float, bool]]) -> None:
    asked = sorted(asked)
    outcome = np.array(["ok" if good else "fail" for _, good in asked], dtype="U8")
    segment = lasting(6.0, acted(1.0, 2.0), due_s=[at for at, _ in asked], outcome=outcome)
    bins: dict[int, list[bool]] = {}
    for at_s, good in asked:
        if at_s >= 2.0:
            bins.setdefault(int((at_s - 2.0) / BIN_S), []).append(good)
    bad = [place for place, good in bins.items() if not all(good)]
    (seen,) = recovery(within_ms=100).of(segment)
    if not bins:
        assert np.isnan(seen)
    elif not bad:
        assert seen == 0
    elif max(bad) == max(bins):
        assert np.isposinf(seen)
    else:
        assert seen == (max(bad) + 1) * BIN_S


# --- until when clicks waited --------------------------------------------------------------------


def waiting(values: list[float], settled_s: float = 9.0, *acts: Any) -> Segment:
    """Clicks that wait in the queue, read every second from 0.5."""
    name, at_s = "redis.clicks_waiting", floats(np.arange(len(values)) + 0.5)
    samples = Samples({name: at_s}, {name: floats(values)})
    segment = lasting(6.0, *(acts or (acted(2.0, 3.0),)))
    return replace(segment, samples=samples, settled_s=settled_s)


@pytest.mark.parametrize(
    ("values", "settled_s", "seconds"),
    [
        ([0, 5, 90, 50, 6, 5], 9.0, 2.5),
        ([0, 5, 90, 4, 90, 90], 9.0, 0.5),
        ([0, 5, 90, 90, 90, 90], 9.0, 6.0),
        ([0, 5, 90, 90, 90, 90], np.nan, np.inf),
        ([], 9.0, 6.0),
    ],
)
def test_catch_up_is_until_no_more_clicks_wait_than_before_the_act(
    values: list[float], settled_s: float, seconds: float
) -> None:
    assert catch_up().of(waiting(values, settled_s)).tolist() == [seconds]


def test_without_an_act_there_is_nothing_to_catch_up_with() -> None:
    assert np.isnan(catch_up().of(replace(waiting([1, 2]), acts=[]))).tolist() == [True]
    assert catch_up().censored_at(waiting([])) == 3.0
