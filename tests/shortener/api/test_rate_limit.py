"""The rate limit per client, on a fake clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.shortener.api import rate_limit as rate_module
from stack.shortener.api.rate_limit import RateLimit


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_goes_through_and_then_one_at_a_time() -> None:
    clock = Clock()
    rate = RateLimit(10, 5, clock)
    assert [rate.take("a").wait_s for _ in range(5)] == [0] * 5
    refused = rate.take("a")
    assert refused.wait_s == pytest.approx(0.1)
    assert refused.left == 0
    clock.now_s += 0.1
    assert rate.take("a").wait_s == 0
    assert rate.take("a").wait_s > 0


def test_what_is_left_is_in_the_answer_and_comes_back() -> None:
    clock = Clock()
    rate = RateLimit(10, 5, clock)
    assert [rate.take("a").left for _ in range(3)] == [4, 3, 2]
    clock.now_s += 0.2
    taken = rate.take("a")
    assert taken.left == 3
    assert taken.full_s == pytest.approx(0.2)


def test_each_client_has_its_own() -> None:
    rate = RateLimit(1, 1, Clock())
    assert rate.take("a").wait_s == 0
    assert rate.take("b").wait_s == 0
    assert rate.take("a").wait_s > 0


def test_a_request_that_was_worth_many_is_paid_off_later() -> None:
    clock = Clock()
    rate = RateLimit(10, 5, clock)
    rate.take("a")
    rate.charge("a", 99)
    assert rate.take("a").wait_s == pytest.approx(9.6)
    clock.now_s += 9.6
    assert rate.take("a").wait_s == 0


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=200))
def test_never_more_than_the_burst_and_the_rate_allow(pauses_s: list[float]) -> None:
    clock = Clock()
    rate = RateLimit(20, 10, clock)
    passed_s = []
    for pause_s in pauses_s:
        clock.now_s += pause_s
        if rate.take("a").wait_s == 0:
            passed_s.append(clock.now_s)
    for index, from_s in enumerate(passed_s):
        for count, until_s in enumerate(passed_s[index:], start=1):
            assert count <= 10 + 20 * (until_s - from_s) + 1e-6


def test_clients_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    rate = RateLimit(10, 5, clock)
    for client in range(1000):
        rate.take(str(client))
        clock.now_s += 0.05
    assert len(rate._full_at_s) < 10
    monkeypatch.setattr(rate_module, "_MAX_CLIENTS", 50)
    for client in range(1000):
        rate.take(str(client))
    assert len(rate._full_at_s) <= 51
