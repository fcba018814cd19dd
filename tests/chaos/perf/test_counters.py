"""Counters are read from what services print, and none that is asked for may be missing."""

from __future__ import annotations

import pytest

from chaos.perf.counters import numbers_in, require_all, wanted
from chaos.perf.service_file import CounterSource
from chaos.perf.trouble import WrongInput


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
