"""The control must be well; one that is not is tried again, and every try is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from chaos import experiments
from chaos.judge.control_checks import (
    control_is_healthy,
    control_was_quick,
    odd_tries,
    why_not_well,
)
from chaos.judge.doubt import arms_in_doubt
from chaos.model.evidence import CONTROL, Evidence, Mode, Segment, Verdict
from tests.support.segments import evidence_of, followed, segment_of

HERD = experiments.load("thundering-herd")
SLOW = "half of the redirects within 2.0 ms, 20.0% left at its end"


def control(number: int = -1, failed: int = 0, count: int = 10, **fields: Any) -> Segment:
    """A try of so many redirects within 2 ms in ten seconds, the first of which failed."""
    requests = followed(np.linspace(0.0, 9.0, count))
    outcome = np.where(np.arange(count) < failed, "fail", requests.outcome)
    own: dict[str, Any] = {"requests": replace(requests, outcome=outcome), **fields}
    return segment_of(0.0, 10.0, arm=CONTROL, round=number, **own)


def slow(number: int = -1, left: int = 2) -> Segment:
    """A try with some of its ten requests left at its end."""
    well = control(number).requests
    done_s = np.where(np.arange(10) < left, 11.0, well.done_s)
    return control(number, requests=replace(well, done_s=done_s))


def of(*tries: Segment) -> Evidence:
    return replace(evidence_of([]), control=list(tries))


def test_a_control_that_answers_every_request_is_healthy() -> None:
    for count in (1, 10):
        seen = control_is_healthy(HERD, of(control(count=count)))
        assert (seen.verdict, seen.observed) == (Verdict.PASS, f"{count} requests, 0 failed")


@pytest.mark.parametrize("outcome", ["fail", "unknown", "absent"])
def test_one_request_that_failed_makes_it_unhealthy(outcome: str) -> None:
    requests = control().requests
    outcomes = np.where(np.arange(10) == 3, outcome, requests.outcome)
    ill = control(requests=replace(requests, outcome=outcomes))
    seen = control_is_healthy(HERD, of(ill))
    assert (seen.verdict, seen.observed) == (Verdict.INVALID, "10 requests, 1 failed")


def test_without_a_request_nothing_is_known_of_it() -> None:
    for seen in (of(), of(control(count=0))):
        assert control_is_healthy(HERD, seen).verdict is Verdict.INVALID
        assert control_was_quick(HERD, seen).verdict is Verdict.INVALID


def test_a_tenth_may_be_left_at_its_end_and_no_more() -> None:
    for left, verdict in ((0, Verdict.PASS), (1, Verdict.PASS), (2, Verdict.INVALID)):
        assert control_was_quick(HERD, of(slow(left=left))).verdict is verdict
    assert control_was_quick(HERD, of(slow())).observed == SLOW


def test_what_is_due_in_the_last_half_second_may_be_left() -> None:
    well = control().requests
    due_s = np.where(np.arange(10) < 8, well.intended_s, 9.6)
    done_s = np.where(np.arange(10) < 8, well.done_s, 11.0)
    assert why_not_well(control(requests=replace(well, intended_s=due_s, done_s=done_s))) == ""


def test_redirects_that_take_more_than_50_ms_are_too_slow() -> None:
    requests = control().requests
    for took_s, verdict in ((0.050, Verdict.PASS), (0.051, Verdict.INVALID)):
        late = replace(requests, done_s=requests.intended_s + took_s)
        assert control_was_quick(HERD, of(control(requests=late))).verdict is verdict


def test_the_last_try_is_judged_and_those_before_are_told() -> None:
    seen = control_is_healthy(HERD, of(control(failed=3), slow(-2), control(-3, count=40)))
    assert seen.verdict is Verdict.PASS
    assert seen.observed == (
        "40 requests, 0 failed; try 1 of 3 was not well: 10 requests, 3 failed;"
        f" try 2 of 3 was not well: {SLOW}"
    )
    assert control_is_healthy(HERD, of(control(), control(-2, failed=1))).verdict is Verdict.INVALID
    assert control_was_quick(HERD, of(control(failed=1), slow(-2))).verdict is Verdict.INVALID


def test_only_a_control_that_is_not_well_is_in_doubt() -> None:
    assert arms_in_doubt(HERD, of(control())) == {}
    assert arms_in_doubt(HERD, of(control(failed=1))) == {CONTROL: "10 requests, 1 failed"}
    assert arms_in_doubt(HERD, of(slow(), control(-2))) == {}
    assert arms_in_doubt(HERD, of()) == {}
    both = replace(slow(), requests=replace(slow().requests, outcome=np.full(10, "fail")))
    assert why_not_well(both) == f"10 requests, 10 failed; {SLOW}"


@pytest.mark.parametrize(("count", "over"), [(28, False), (29, True)])
def test_failures_are_over_once_as_many_requests_would_have_shown_them(
    count: int, over: bool
) -> None:
    """One of ten failed: 28 requests would have none with a chance of 5.2 %, 29 of 4.7 %."""
    tries = of(control(failed=1), control(-2, count=count))
    assert arms_in_doubt(HERD, tries) == ({} if over else {CONTROL: "failures may go on"})
    seen = control_is_healthy(HERD, tries)
    assert seen.verdict is (Verdict.PASS if over else Verdict.INVALID)
    assert over or seen.observed.startswith("28 requests, too few to show that failures are over")


@pytest.mark.parametrize(
    ("tries", "words"),
    [
        ([], ["the control is not on record"]),
        ([control()], []),
        ([control(failed=1), slow(-2), control(-3)], []),
        ([control(failed=1), control(-2, count=28), control(-3)], []),
        (
            [control(failed=1), control(-2, count=29), control(-3)],
            ["a control that was well was tried again"],
        ),
        ([control(), control(-2)], ["a control that was well was tried again"]),
        ([control(-2)], ["the controls on record are not as many as were run"]),
        ([control(failed=1), control(-3)], ["the controls on record are not as many as were run"]),
        ([slow(-n) for n in (1, 2, 3, 4)], ["the control was tried more than 3 times"]),
        ([replace(control(), arm="direct")], ["the control is not on record"]),
    ],
)
def test_tries_that_should_not_be_are_odd(tries: list[Segment], words: list[str]) -> None:
    assert [*odd_tries(of(*tries))] == words


def test_each_try_lasts_twice_as_long_as_the_one_before() -> None:
    mode = Mode("quick", rounds=2, segment_s=4.0, control_s=1.5)
    assert [mode.lasts_s(number) for number in (-1, -2, -3, 0, 7)] == [1.5, 3.0, 6.0, 4.0, 4.0]
    assert mode.lasts_s(-1000) == 12.0  # a record that is not ours has no bound of its own
