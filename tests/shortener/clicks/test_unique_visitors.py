"""Unique visitors: counted well enough, and never kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.shortener.clicks.unique_visitors import (
    MAX_OBSERVATION,
    UniqueVisitors,
    estimate,
    is_observation,
)

KEY = bytes(range(32))


def visitors(key: bytes = KEY) -> UniqueVisitors:
    known = UniqueVisitors()
    known.use(key)
    return known


def estimated(observations: Iterable[int]) -> int:
    registers: dict[int, int] = {}
    for observation in observations:
        register, rank = divmod(observation, 64)
        registers[register] = max(rank, registers.get(register, 0))
    return estimate(Counter(registers.values()))


@pytest.mark.parametrize("people", [0, 1, 2, 10, 100, 1_000, 5_000, 20_000])
def test_the_estimate_is_within_three_standard_errors(people: int) -> None:
    known = visitors()
    found = estimated(known.token(b"%d" % n, b"browser") for n in range(people))
    assert abs(found - people) <= 3 * 0.023 * people


def test_who_comes_again_is_counted_once() -> None:
    known = visitors()
    assert estimated(known.token(b"%d" % (n % 7), b"browser") for n in range(1000)) == 7


def test_one_address_with_two_browsers_is_two_visitors() -> None:
    known = visitors()
    assert known.token(b"192.0.2.1", b"one") != known.token(b"192.0.2.1", b"two")


def test_address_and_browser_do_not_run_into_each_other() -> None:
    known = visitors()
    assert known.token(b"192.0.2.1", b"1") != known.token(b"192.0.2.11", b"")


def test_all_processes_of_a_deployment_agree_and_those_of_another_do_not() -> None:
    people = [(b"192.0.2.%d" % n, b"browser") for n in range(50)]
    here = [visitors().token(*one) for one in people]
    assert here == [visitors().token(*one) for one in people]
    assert here != [visitors(KEY[::-1]).token(*one) for one in people]


def test_before_the_key_is_known_everybody_is_nobody() -> None:
    unknowing = UniqueVisitors()
    assert (unknowing.token(b"192.0.2.1", b"browser"), unknowing.ready) == (0, False)
    unknowing.use(KEY)
    assert (unknowing.token(b"192.0.2.1", b"browser") > 0, unknowing.ready) == (True, True)


@given(st.binary(max_size=64), st.binary(max_size=200))
def test_an_observation_is_too_little_to_know_somebody_by(
    address: bytes, user_agent: bytes
) -> None:
    observation = visitors().token(address, user_agent)
    assert is_observation(observation)
    assert 0 < observation <= MAX_OBSERVATION < 2**17


@pytest.mark.parametrize("value", [-1, 64, MAX_OBSERVATION + 1, 55, True, 1.0, "1", None])
def test_what_is_no_observation_is_rejected(value: object) -> None:
    assert not is_observation(value)
