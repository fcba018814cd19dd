"""The traffic on record is drawn again, and what follows in visits is asked of their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from chaos.engine.run import run
from chaos.judge import traffic_checks as t
from chaos.model.evidence import Evidence, Finding, Floats, Requests, Segment, Verdict
from chaos.model.experiment import Experiment
from chaos.model.traffic import Traffic
from chaos.record.reader import read_evidence
from tests.support.busy import busy
from tests.support.fake_stack import World, herd_order, lab, order_of

HERD, BUSY = herd_order(World()).experiment, busy(World())


@pytest.fixture(scope="module")
def herd(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    world, directory = World(), tmp_path_factory.mktemp("herd") / "run"
    run(herd_order(world), lab(world), directory, lambda *_: None)
    return read_evidence(directory)


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    world, directory = World(), tmp_path_factory.mktemp("busy") / "run"
    run(order_of(busy(world)), lab(world), directory, lambda *_: None)
    return read_evidence(directory)


def first(change: Callable[[Requests], Requests], evidence: Evidence, **more: Any) -> Evidence:
    """The first segment has other requests."""
    own = evidence.segments[0]
    changed = replace(own, requests=change(own.requests), **more)
    return replace(evidence, segments=[changed, *evidence.segments[1:]])


def only(requests: Requests, keep: Any) -> Requests:
    return Requests(**{f.name: getattr(requests, f.name)[keep] for f in fields(Requests)})


def with_value(name: str, row: int, value: Any) -> Callable[[Requests], Requests]:
    def change(requests: Requests) -> Requests:
        column = getattr(requests, name).copy()
        column[row] = value
        return replace(requests, **{name: column})

    return change


# --- arrivals ----------------------------------------------------------------------------------


def arrivals(evidence: Evidence, experiment: Experiment = HERD) -> str:
    found = t.arrivals_are_those_drawn(experiment, evidence)
    assert (found.verdict is Verdict.PASS) is found.observed.startswith("all ")
    return found.observed


def test_a_sound_run_has_every_arrival(herd: Evidence, visits: Evidence) -> None:
    count = sum(s.generator.visits for s in herd.all_segments)
    assert arrivals(herd) == f"all {count} are"
    assert arrivals(visits, BUSY).startswith("all ")


@pytest.mark.parametrize("row", [0, 100, -1])
def test_one_missing_is_seen_but_not_where_it_is_said_to_be_unsent(
    herd: Evidence, row: int
) -> None:
    one = np.arange(len(herd.segments[0].requests)) != row % len(herd.segments[0].requests)
    assert arrivals(first(lambda r: only(r, one), herd)) == "singleflight: 1 missing"
    unsent = replace(herd.segments[0].generator, unsent=1)
    assert arrivals(first(lambda r: only(r, one), herd, generator=unsent)).startswith("all ")


def test_one_more_is_seen(herd: Evidence) -> None:
    twice = np.sort(np.append(np.arange(len(herd.segments[0].requests)), 100))
    more = first(lambda r: with_value("session", 100, -5)(only(r, twice)), herd)
    assert arrivals(more) == "singleflight: 1 surplus"


@pytest.mark.parametrize(("by_s", "moved"), [(0.9e-6, False), (1.2e-6, True), (-1.2e-6, True)])
def test_times_agree_to_a_microsecond(herd: Evidence, by_s: float, moved: bool) -> None:
    at_s = herd.segments[0].requests.intended_s[100]
    seen = arrivals(first(with_value("intended_s", 100, at_s + by_s), herd))
    assert seen.startswith("singleflight: 1 missing, 1 surplus") is moved


def test_another_link_is_seen(herd: Evidence) -> None:
    seen = arrivals(first(with_value("rank", 100, 19), herd))
    assert seen == "singleflight: 1 of another link or operation"


def test_two_that_rounding_swapped_are_the_same(herd: Evidence) -> None:
    starts = t.Starts(
        *(np.array(c) for c in ([1.0, 1.000001, 2.0], [3, 4, 5], [0, 0, 0], [0, 1, 2]))
    )
    swapped = replace(starts, rank=np.array([4, 3, 5]))
    other = replace(starts, rank=np.array([4, 4, 5]))
    apart = replace(starts, due_s=np.array([1.0, 1.00001, 2.0]))
    assert t._differences(starts, swapped, 0)["of another link or operation"] == 0
    assert t._differences(starts, other, 0)["of another link or operation"] == 1
    assert (
        t._differences(apart, replace(apart, rank=swapped.rank), 0)["of another link or operation"]
        == 2
    )


def test_a_writer_s_link_is_not_compared_but_its_operation_is(visits: Evidence) -> None:
    requests = visits.segments[0].requests
    edit = int(np.flatnonzero((requests.operation == "edit") & (requests.rank < 20))[0])
    assert arrivals(first(with_value("rank", edit, 7), visits), BUSY).startswith("all ")
    seen = arrivals(first(with_value("operation", edit, "follow"), visits), BUSY)
    assert seen == "careless: 1 of another link or operation"


def test_a_link_of_its_own_has_its_visit_s_number(visits: Evidence) -> None:
    requests = visits.segments[0].requests
    create = int(np.flatnonzero(requests.operation == "create")[0])
    seen = arrivals(first(with_value("rank", create, 20), visits), BUSY)
    assert seen == "careless: 1 of another link or operation"


def test_another_numpy_is_named_only_where_something_differs(herd: Evidence) -> None:
    old = replace(herd, plan={**herd.plan, "machine": {"numpy": "1.0"}})
    assert arrivals(old).startswith("all ")
    assert "numpy 1.0 drew them, and numpy" in arrivals(first(with_value("rank", 9, 19), old))


def test_a_segment_of_another_length_is_not_drawn(herd: Evidence) -> None:
    endless = replace(herd.mode, segment_s=1e300)
    assert "surplus" in arrivals(replace(herd, mode=endless))


# --- what follows ------------------------------------------------------------------------------


def followers(evidence: Evidence) -> str:
    found = t.visits_went_on(BUSY, evidence)
    assert found is not None
    assert (found.verdict is Verdict.PASS) is found.observed.startswith("all ")
    return found.observed


def test_a_sound_run_went_on(visits: Evidence) -> None:
    further = sum(len(s.requests) - s.generator.visits for s in visits.all_segments)
    assert further > 100
    assert followers(visits) == f"all {further} further ones are"


def test_an_experiment_of_single_requests_is_not_asked(herd: Evidence) -> None:
    assert t.visits_went_on(HERD, herd) is None


def test_a_try_again_that_no_arm_plans_is_seen(herd: Evidence) -> None:
    twice = np.sort(np.append(np.arange(len(herd.segments[0].requests)), 100))
    again = first(lambda r: with_value("attempt", 101, 2)(only(r, twice)), herd)
    assert arrivals(again).startswith("all ")
    found = t.visits_went_on(HERD, again)
    assert found is not None
    assert found.verdict is Verdict.INVALID
    assert "1 of another operation, or unasked for" in found.observed


def a_row(evidence: Evidence, operation: str, attempt: int = 1, *, last: bool = True) -> int:
    own = evidence.segments[0].requests
    which = (own.operation == operation) & (own.attempt == attempt) & (own.last == last)
    which &= own.intended_s < evidence.segments[0].ended_s - 1
    return int(np.flatnonzero(which)[0])


@pytest.mark.parametrize(("by_s", "told"), [(0.9e-6, "all "), (2e-6, "careless: 1 at ")])
def test_a_step_is_due_so_long_after_the_answer_before(
    visits: Evidence, by_s: float, told: str
) -> None:
    row = a_row(visits, "delete")
    at_s = visits.segments[0].requests.intended_s[row]
    assert followers(first(with_value("intended_s", row, at_s + by_s), visits)).startswith(told)


@pytest.mark.parametrize(
    ("by_s", "told"),
    [(0.0, "all "), (-0.05, "all "), (-0.051, "careless: 1 at another time than due")],
)
def test_a_try_is_due_within_its_pause(visits: Evidence, by_s: float, told: str) -> None:
    row = a_row(visits, "follow", 2, last=False)
    at_s = visits.segments[0].requests.intended_s[row]
    seen = followers(first(with_value("intended_s", row, at_s + by_s), visits))
    assert seen.startswith(told)


def test_a_try_later_than_its_longest_pause_is_seen(visits: Evidence) -> None:
    row = a_row(visits, "follow", 2, last=False)
    at_s = visits.segments[0].requests.intended_s[row]
    seen = followers(first(with_value("intended_s", row, at_s + 0.001), visits))
    assert "careless: 1 at another time than due" in seen


def test_a_visit_broken_off_is_seen_unless_something_was_unsent(visits: Evidence) -> None:
    requests = visits.segments[0].requests
    row = a_row(visits, "delete")
    shorter = first(lambda r: only(r, np.arange(len(requests)) != row), visits)
    assert followers(shorter) == "careless: 1 missing"
    unsent = replace(shorter.segments[0].generator, unsent=1)
    own = replace(shorter.segments[0], generator=unsent)
    said = replace(shorter, segments=[own, *shorter.segments[1:]])
    assert followers(said).startswith("all ")


def test_a_try_given_up_too_early_is_seen(visits: Evidence) -> None:
    requests = visits.segments[0].requests
    row = a_row(visits, "follow", 3)
    shorter = first(lambda r: only(r, np.arange(len(requests)) != row), visits)
    assert followers(shorter) == "careless: 1 missing"


def test_a_step_after_a_failure_is_unasked_for(visits: Evidence) -> None:
    row = a_row(visits, "create")
    failing = with_value("outcome", row, "fail")
    seen = followers(first(lambda r: with_value("status", row, 409)(failing(r)), visits))
    assert seen == "careless: 1 of another operation, or unasked for"


def test_another_operation_than_the_visit_s_is_seen(visits: Evidence) -> None:
    seen = followers(first(with_value("operation", a_row(visits, "delete"), "stats"), visits))
    assert seen == "careless: 1 of another operation, or unasked for"


# --- laws --------------------------------------------------------------------------------------


def laws(evidence: Evidence, experiment: Experiment = HERD) -> Finding:
    return t.arrivals_are_random(experiment, evidence)


def test_a_sound_run_is_random(herd: Evidence, visits: Evidence) -> None:
    assert laws(herd).verdict is Verdict.PASS
    assert laws(visits, BUSY).verdict is Verdict.PASS


def evenly(_: Traffic, duration_s: float, *__: Any) -> Iterator[tuple[Floats, Any]]:
    times = np.arange(0.001, duration_s, 1 / 240)
    yield times, (np.arange(len(times)) % 10 == 0).astype(np.int64)


def test_what_both_accounts_draw_wrongly_is_seen_by_the_laws(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for module in ("chaos.judge.traffic_checks", "tests.support.fake_stack"):
        monkeypatch.setattr(f"{module}.arrivals", evenly)
    world, directory = World(), tmp_path_factory.mktemp("even") / "run"
    run(herd_order(world), lab(world), directory, lambda *_: None)
    evidence = read_evidence(directory)
    assert arrivals(evidence).startswith("all ")
    assert "gaps spread by 0.00" in laws(evidence).observed
    assert "mean log rank is 0.00" in laws(evidence).observed


def test_the_most_popular_link_has_its_share_of_what_is_only_read(visits: Evidence) -> None:
    def uniform(segment: Segment) -> Segment:
        rank = segment.requests.rank
        spread = np.where(rank < 20, np.arange(len(rank)) % 20, rank)
        return replace(segment, requests=replace(segment.requests, rank=spread))

    odd = replace(visits, segments=[*map(uniform, visits.segments)])
    assert "for the most popular link" in laws(odd, BUSY).observed


def test_visits_come_by_weight(visits: Evidence) -> None:
    def all_edits(segment: Segment) -> Segment:
        edits = np.where(segment.requests.operation == "follow", "edit", "follow")
        return replace(segment, requests=replace(segment.requests, operation=edits))

    odd = replace(visits, segments=[*map(all_edits, visits.segments)])
    assert "visits begin with follow" in laws(odd, BUSY).observed


@pytest.mark.parametrize(
    ("due_s", "operations", "pairs"),
    [
        ([1.0, 1.0, 2.0], [2, 0, 0], [1, 0, 2]),  # swapped by rounding
        ([1.0, 1.0, 2.0], [0, 2, 0], [0, 1, 2]),
        ([1.0, 1.1, 2.0], [2, 0, 0], [0, 1, 2]),  # not at once: another one than was drawn
        ([1.0, 1.0, 2.0], [0, 0, 0], [0, 1, 2]),
    ],
)
def test_arrivals_that_rounding_has_swapped_are_told_by_what_they_do(
    due_s: list[float], operations: list[int], pairs: list[int]
) -> None:
    places = np.arange(3)
    drawn = t.Starts(np.array(due_s), places, np.array([0, 2, 0]), places)
    seen = t.Starts(np.array(due_s), places, np.array(operations), places)
    assert t._by_operation(drawn, places, seen, places).tolist() == pairs
