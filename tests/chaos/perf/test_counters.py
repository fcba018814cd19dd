"""Counters are read from what services print, none may be missing, and chance decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import product

import numpy as np
import pytest

from chaos.perf.counters import (
    ROUNDS,
    CounterChange,
    by_counter,
    head_is_above,
    judged,
    numbers_in,
    require_all,
    round_numbers,
    wanted,
)
from chaos.perf.launches import ARMS, ArmName
from chaos.perf.service_file import CounterSource, Counting, Request
from chaos.perf.trouble import WrongInput
from tests.support.gate_launches import counted


def test_counters_are_lines_of_a_name_and_a_number() -> None:
    page = '# HELP a b 1\na_total 3\nb{x="1 2"} 4.5e2\nc: 6\n  d 7\ne seven\nf=-1\ncache hits 8\n'
    assert dict(numbers_in(page)) == {
        **{"a_total": 3, 'b{x="1 2"}': 450, "c": 6, "f": -1},
        "cache hits": 8,
    }


@pytest.mark.parametrize("end", ["\n", "\r\n", " \r\n"], ids=["LF", "CRLF", "a blank"])
def test_a_line_may_have_a_time_and_any_end(end: str) -> None:
    lines = ['asked{code="200"} 1027 1395066363000', "asked 3 1395066363000", "began 1395066363000"]
    assert dict(numbers_in(end.join([*lines, ""]))) == {
        'asked{code="200"}': 1027,
        "asked": 3,
        "began": 1395066363000,
    }


def test_a_line_that_is_long_and_no_counter_costs_no_time() -> None:
    assert not [*numbers_in("a" + " " * 100_000 + "x\n" + "a{" * 50_000)]


PAGE = "asked_total 3\nasked_twice 1\nfailed_total 0\n"


def test_only_what_is_asked_for_is_taken() -> None:
    of = CounterSource(path="/counters", only=("asked_*", "failed_total"))
    assert wanted(of, PAGE + "other 5\n") == dict(numbers_in(PAGE))
    require_all(of, PAGE, "base")
    assert wanted(CounterSource(path="/counters"), PAGE) == dict(numbers_in(PAGE))


@pytest.mark.parametrize("missing", ["lost_total", "lost_*", "asked"])
def test_a_counter_that_nothing_prints_is_told_with_its_arm_and_source(missing: str) -> None:
    of = CounterSource(path="/counters", only=("asked_total", missing))
    with pytest.raises(WrongInput) as told:
        require_all(of, PAGE, "head")
    assert str(told.value) == f"head: /counters prints no counter that matches {missing}"


def test_a_source_without_any_counter_is_told() -> None:
    of = CounterSource(command=("tell", "all"))
    with pytest.raises(WrongInput, match=r"base: `tell all` prints no counter that matches \*"):
        require_all(of, "nothing of use\n", "base")


@pytest.mark.parametrize(
    ("of", "verdict"),
    [
        ({"base": 1.0, "again": 1.0, "head": 1.0}, "PASS"),
        ({"base": 1.0, "again": 1.0, "head": 0.0}, "PASS"),
        ({"base": 1.0, "again": 1.01, "head": 1.02}, "PASS"),
        ({"base": 1.0, "again": 1.0, "head": 1.1}, "FAIL"),
        ({"base": 1.0, "again": 1.5, "head": 2.0}, "not exact"),
    ],
)
def test_a_counter_decides_only_where_base_agrees_with_itself(
    of: Mapping[ArmName, float], verdict: str
) -> None:
    assert counted("read", "x", of) == CounterChange("read", "x", of, verdict)  # type: ignore[arg-type]


@pytest.mark.parametrize(("head", "verdict"), [(329.0, "PASS"), (331.0, "FAIL")])
def test_of_bytes_a_few_more_are_a_header_and_a_tenth_more_fails(head: float, verdict: str) -> None:
    of: Mapping[ArmName, float] = {"base": 300.0, "again": 300.4, "head": head}
    assert counted("read", "answer bytes", of).verdict == verdict


@pytest.mark.parametrize(
    ("counter", "base", "head", "verdict"),
    [
        ("Redis round trips", 2.0, 2.05, "PASS"),  # the end of a reading of 40 requests
        ("Redis round trips", 2.0, 2.5, "FAIL"),
        ("Redis bytes", 0.0, 0.05, "PASS"),
        ("Redis bytes", 0.0, 9.0, "FAIL"),
    ],
)
def test_a_reading_that_is_counted_late_fails_nothing(
    counter: str, base: float, head: float, verdict: str
) -> None:
    of: Mapping[ArmName, float] = {"base": base, "again": base, "head": head}
    assert counted("read", counter, of).verdict == verdict


def test_one_statement_of_the_background_decides_nothing() -> None:
    calm, hit = [1.0] * ROUNDS, [1.0, 1.05, 1.0, 1.0, 1.0]
    for rounds in ([calm, hit, calm], [hit, calm, calm]):
        seen = judged("read", "SQL statements", dict(zip(ARMS, rounds, strict=True)), 0.02)
        assert seen.verdict in ("PASS", "not exact")
        assert seen.of == {"base": 1.0, "head": 1.0, "again": 1.0}


def test_one_more_fails_whatever_the_background_does_to_base() -> None:
    rounds: Mapping[ArmName, list[float]] = {
        "base": [1.0, 1.05, 1.0, 1.1, 1.0],
        "again": [1.0, 1.0, 1.05, 1.0, 1.0],
        "head": [2.0, 2.05, 2.0, 2.0, 2.1],
    }
    assert judged("read", "SQL statements", rounds, 0.02).verdict == "FAIL"


def test_two_arms_of_base_that_differ_in_every_round_show_that_it_is_no_chance() -> None:
    rounds: Mapping[ArmName, list[float]] = {
        "base": [1.0, 1.1, 1.0, 1.1, 1.0],
        "again": [1.2, 1.3, 1.2, 1.3, 1.2],
        "head": [2.0] * ROUNDS,
    }
    assert judged("read", "allocations", rounds, 0.02).verdict == "not exact"


def test_a_round_in_which_head_is_not_above_settles_it() -> None:
    rounds: dict[ArmName, list[float]] = {"base": [1.0], "again": [1.0], "head": [1.05]}
    assert head_is_above("SQL statements", rounds, 0.02)
    for further in product([1.0, 1.05, 3.0], repeat=3):
        longer = {arm: [*rounds[arm], more] for arm, more in zip(ARMS, further, strict=True)}
        longer["head"].append(1.0)
        assert not head_is_above("SQL statements", longer, 0.02)


def test_a_counter_that_begins_in_a_later_round_was_zero_before() -> None:
    of = by_counter({"base": [{}, {"lost": 2.0}], "head": [{}, {}]})
    assert of == {"lost": {"base": [0.0, 2.0], "head": [0.0, 0.0]}}


WINDOW_S, TRIES = 0.9, 5000


@pytest.mark.parametrize("more", [0, 1], ids=["unchanged", "one more"])
@pytest.mark.parametrize("each_s", [0.2, 1, 5, 30])
def test_how_often_a_background_misleads_is_as_the_page_says(each_s: float, more: int) -> None:
    """A statement at random moments of each arm, once in so many seconds on average."""
    count = Counting().requests
    events = np.random.default_rng(7).poisson(WINDOW_S / each_s, (TRIES, len(ARMS), ROUNDS))
    seen = Counter(
        judged(
            "read",
            "SQL statements",
            {
                arm: [1 + (arm == "head") * more + event / count for event in own]
                for arm, own in zip(ARMS, one, strict=True)
            },
            0.02,
        ).verdict
        for one in events.tolist()
    )
    if more:
        assert seen["FAIL"] / TRIES > 0.99
    else:
        assert seen["FAIL"] / TRIES < 0.0005


def test_of_many_numbers_each_is_new_in_every_round_and_few_have_all_been_asked_for() -> None:
    many = Request(name="r", path="/{n}", numbers=5000)
    asked = [n for turn in range(ROUNDS) for own in round_numbers(many, 20, turn) for n in own]
    assert len({*asked}) == len(asked) == ROUNDS * 25
    few = Request(name="r", path="/{n}", numbers=200)
    for turn in range(ROUNDS):
        beforehand, counted_ones = round_numbers(few, 20, turn)
        assert {*counted_ones.tolist()} <= {*beforehand.tolist()} == {*range(200)}
