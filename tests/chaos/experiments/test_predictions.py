"""Predictions from made-up segments, whose rate and time are known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from chaos.experiments import _expiries as p
from chaos.model.evidence import Segment
from tests.support.segments import followed, looked_up, segment_of


def segment(*, hot: int, others: int, duration_s: float, took_s: list[float]) -> Segment:
    """Of requests for the hot key and for others, and hot look-ups that took so long.

    There is one look-up for another key, which took a minute.
    """
    ranks = np.array([0] * hot + [1] * others, dtype=np.int64)
    times = np.linspace(10, 10 + duration_s, len(ranks), endpoint=False)
    asked_s = np.full(len(took_s) + 1, 10.0)
    answered_s = asked_s + np.array([*took_s, 60.0])
    own = np.array([0] * len(took_s) + [1], dtype=np.int64)
    return segment_of(
        10.0,
        10.0 + duration_s,
        requests=replace(followed(times), rank=ranks),
        look_ups=replace(looked_up(asked_s - 1, asked_s, answered_s, answered_s), rank=own),
    )


SHORT = segment(hot=20, others=5, duration_s=0.5, took_s=[0.1, 0.2])
LONG = segment(hot=30, others=9, duration_s=2.0, took_s=[0.3])
NONE_HOT = segment(hot=0, others=9, duration_s=2.5, took_s=[])


def test_the_rate_is_of_requests_for_the_hot_key_over_all_the_time() -> None:
    assert p.hot_rate_per_s([SHORT]) == pytest.approx(40)
    assert p.hot_rate_per_s([SHORT, LONG]) == pytest.approx(20)
    assert p.hot_rate_per_s([SHORT, LONG, NONE_HOT]) == pytest.approx(10)


def test_the_time_is_the_mean_over_all_hot_look_ups() -> None:
    assert p.origin_time_s([SHORT]) == pytest.approx(0.15)
    assert p.origin_time_s([SHORT, NONE_HOT, LONG]) == pytest.approx(0.2)


def test_rate_and_time_are_not_known_where_nothing_tells_them() -> None:
    assert math.isnan(p.hot_rate_per_s([]))
    assert math.isnan(p.origin_time_s([]))
    assert math.isnan(p.origin_time_s([NONE_HOT]))
    assert math.isnan(p.herd.of([NONE_HOT]))


def test_the_inputs_are_told_beside_what_is_made_of_them() -> None:
    assert {(f.name, f.symbol, f.unit): f.of([SHORT, LONG]) for f in p.inputs} == {
        ("lambda_per_s", "λ", "/s"): pytest.approx(20),
        ("delta_ms", "δ", "ms"): pytest.approx(200),
        ("lambda_delta", "λδ", ""): pytest.approx(4),
    }


def test_a_herd_is_the_first_miss_and_all_that_come_before_its_answer() -> None:
    assert p.herd.of([SHORT, LONG]) == pytest.approx(5)


def test_one_look_up_a_process_is_as_many_as_there_were_processes_at_most() -> None:
    assert p.one_per_process.of([SHORT, replace(LONG, web_processes=3), SHORT]) == 3
    assert math.isnan(p.one_per_process.of([]))


def test_one_holder_is_one_look_up() -> None:
    assert p.one.of([SHORT]) == 1


def test_xfetch_follows_the_beta_in_force_which_is_one_by_default() -> None:
    eager = replace(SHORT, settings={"XFETCH_BETA": "2"})
    plain = replace(SHORT, settings={"XFETCH_BETA": "1"})
    assert p.xfetch_law.of([eager]) == pytest.approx(math.exp(0.5))
    assert p.xfetch_law.of([SHORT, plain]) == pytest.approx(math.e)
    assert math.isnan(p.xfetch_law.of([SHORT, eager]))
