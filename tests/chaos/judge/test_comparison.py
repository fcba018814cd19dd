"""Changes between two runs: their intervals, and what else was different."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from chaos.judge.comparison import (
    ComparedRun,
    NotComparable,
    ProvesNothing,
    as_json,
    compare,
    difference_interval,
)

FINITE = st.floats(-1e6, 1e6)
WIDTH = st.floats(0, 1e6)


def measure(value: float | None, low: float, high: float, interval: str = "mean95") -> Any:
    return {
        **{"title": "p99", "unit": "ms", "value": value, "low": low, "high": high},
        **{"samples": 5, "interval": interval, "at_least": False},
    }


def run(name: str, p99: Any = None, experiment: str = "herd", verdict: str = "PASS") -> ComparedRun:
    arms = ("lock", "lease")
    measures = {"p99": p99 or measure(100.0, 90.0, 110.0)}
    result = {
        **{"experiment": experiment, "verdict": verdict},
        "arms": [{"name": arm, "measures": measures} for arm in arms],
        **{"checks": [], "claims": [{"text": "lock: p99 ≤ 5 ms", "verdict": verdict}]},
    }
    planned = {"settings": {"TTL_S": "1"}, "timeline": [], "traffic": {"keys": 20}}
    plan = {
        **{"runtime": "embedded", "seed": 7, "mode": {"rounds": 2}, "linkstorm": "1"},
        **{"commit": "abc", "machine": {"cores": 2}, "command": "linkstorm run herd"},
        **{"began": name, "began_s": 1.0},
        "arms": dict.fromkeys(arms, planned),
    }
    return ComparedRun(name, result, plan)


@given(FINITE, WIDTH, WIDTH, FINITE, WIDTH, WIDTH)
def test_the_interval_holds_the_change_and_turns_round_with_the_runs(
    base: float, down: float, up: float, head: float, below: float, above: float
) -> None:
    one, other = (base, base - down, base + up), (head, head - below, head + above)
    low, high = difference_interval(*one, *other)
    assert low <= head - base <= high
    assert difference_interval(*other, *one) == pytest.approx((-high, -low))
    assert high - low >= max(down, up, below, above) * (1 - 1e-6) - 1e-3


def test_of_two_means_it_is_missed_by_the_true_change_one_time_in_twenty() -> None:
    """With unequal spreads and numbers, over 4,000 pairs of runs."""
    random = np.random.default_rng(5)
    missed = 0
    for _ in range(4000):
        sides = random.normal(10, 1, 8), random.normal(12, 4, 12)
        ends = [(s.mean(), *stats.t.interval(0.95, len(s) - 1, s.mean(), stats.sem(s)))
                for s in sides]  # fmt: skip
        low, high = difference_interval(*ends[0], *ends[1])
        missed += not low <= 2 <= high
    assert 0.03 < missed / 4000 < 0.06


def test_a_change_is_seen_where_the_interval_is_beyond_zero() -> None:
    slower = run("head", measure(150.0, 140.0, 160.0))
    found = compare(run("base"), slower)
    assert [change.arm for change in found.changes] == ["lock", "lease"]
    assert all(change.is_apart for change in found.changes)
    assert found.changes[0].value == 50.0
    assert (found.changes[0].low, found.changes[0].high) == pytest.approx(
        (50 - math.hypot(10, 10), 50 + math.hypot(10, 10))
    )
    assert not any(change.is_apart for change in compare(run("base"), run("head")).changes)


@pytest.mark.parametrize(
    "head",
    [
        measure(150.0, 140.0, 160.0, "range"),
        measure(None, 140.0, 160.0),
        {**measure(150.0, 140.0, 160.0), "at_least": True},
    ],
)
def test_an_extreme_of_a_run_and_what_has_no_figure_cannot_be_told_apart(head: Any) -> None:
    found = compare(run("base"), run("head", head))
    assert found.tested == 0
    document = as_json(found)["changes"][0]
    assert (document["low"], document["high"], document["is_apart"]) == (None, None, None)


@pytest.mark.parametrize(("lost", "is_apart"), [(0.0, False), (13.0, True)])
def test_an_exact_figure_is_another_or_is_not(lost: float, is_apart: bool) -> None:
    none = run("base", measure(0.0, 0.0, 0.0, "exact"))
    found = compare(none, run("head", measure(lost, lost, lost, "exact")))
    assert [change.is_apart for change in found.changes] == [is_apart, is_apart]
    assert found.tested == 0


def test_a_change_with_an_unknown_end_is_known_on_the_other_side() -> None:
    document = as_json(compare(run("base"), run("head", measure(150.0, 140.0, math.inf))))
    assert document["changes"][0]["high"] is None
    assert document["changes"][0]["low"] == pytest.approx(50 - math.hypot(10, 10))
    assert document["changes"][0]["is_apart"]


def test_settings_and_traffic_that_differ_are_told_once_for_all_arms() -> None:
    head = run("head")
    plan = {**head.plan, "seed": 8, "machine": {"cores": 4}}
    other = {**plan["arms"]["lock"], "settings": {"TTL_S": "2"}}
    found = compare(run("base"), replace(head, plan={**plan, "arms": dict.fromkeys(
        plan["arms"], other)}))  # fmt: skip
    told = [(d.what, d.base, d.head) for d in found.differences]
    assert told == [
        ("seed", "7", "8"), ("machine cores", "2", "4"), ("every arm: TTL_S", "1", "2"),
    ]  # fmt: skip
    alone = compare(run("base"), replace(head, plan={**head.plan, "arms": {
        **head.plan["arms"], "lease": other}}))  # fmt: skip
    assert [d.what for d in alone.differences] == ["lease: TTL_S"]


def test_arms_of_one_run_only_are_named() -> None:
    head = run("head")
    fewer = {**head.result, "arms": head.result["arms"][:1]}
    found = compare(run("base"), replace(head, result=fewer))
    assert (found.only_base, found.only_head) == (("lease",), ())
    assert [change.arm for change in found.changes] == ["lock"]


def test_runs_that_answer_different_questions_are_refused() -> None:
    with pytest.raises(NotComparable, match="head one of storm: only runs of one experiment"):
        compare(run("base"), run("head", experiment="storm"))
    head = run("head")
    nothing = replace(head, result={**head.result, "arms": []})
    with pytest.raises(NotComparable, match="no arm in common"):
        compare(run("base"), nothing)


@pytest.mark.parametrize("sides", [("INVALID", "PASS"), ("PASS", "INVALID")])
def test_a_run_that_proves_nothing_is_refused(sides: tuple[str, str]) -> None:
    with pytest.raises(ProvesNothing, match=r"is INVALID, .*: not so: lock: p99 ≤ 5 ms"):
        compare(run("base", verdict=sides[0]), run("head", verdict=sides[1]))


def test_a_copy_of_a_run_is_no_other_run() -> None:
    one = run("one")
    with pytest.raises(NotComparable, match="the same run as one, or a copy"):
        compare(one, replace(one, name="copy"))
