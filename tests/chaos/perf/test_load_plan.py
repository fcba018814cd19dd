"""The plan of a launch's load: fair, reproducible, and rendered as HTTP."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from chaos.perf.load_plan import all_at_once, coin_flips, renderer, warm_up
from chaos.perf.service_file import Request

REQUESTS = (
    Request(name="read", share=3, path="/items/{n}", numbers=50),
    Request(name="write", method="POST", path="/items", body='{"n": {n}}', numbers=10),
)


def test_arrivals_are_a_poisson_process_in_order() -> None:
    due_s = coin_flips(REQUESTS, 3, 2000, 10, seed=1).due_s
    gaps_s = np.diff(due_s)
    assert len(due_s) == pytest.approx(20_000, rel=0.03)
    assert gaps_s.min() >= 0
    assert gaps_s.std() == pytest.approx(gaps_s.mean(), rel=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_every_arm_gets_equally_many_of_every_kind(seed: int) -> None:
    plan = coin_flips(REQUESTS, 3, 2000, 10, seed)
    assert (plan.kinds == 0).mean() == pytest.approx(3 / 4, abs=0.03)
    for kind in range(2):
        counts = np.bincount(plan.arms[plan.kinds == kind], minlength=3)
        assert counts.max() - counts.min() <= 1


def test_no_arm_is_more_likely_than_another_at_any_moment_or_after_any_other() -> None:
    """Each request is a fair throw, and so are two neighbours, but for their equal number."""
    tries = 4000
    first = [coin_flips(REQUESTS[:1], 3, 20, 1, seed).arms[:2].tolist() for seed in range(tries)]
    chosen = Counter(tuple(arms) for arms in first)
    assert set(chosen) == {(one, other) for one in range(3) for other in range(3)}
    expected = tries / 9
    assert all(abs(n - expected) < 6 * math.sqrt(expected) for n in chosen.values())


def test_the_arm_that_gets_one_more_is_drawn_too() -> None:
    plans = [coin_flips(REQUESTS[:1], 3, 4, 1, seed).arms for seed in range(3000)]
    more = Counter(int(arms[0]) for arms in plans if len(arms) == 1)
    assert set(more) == {0, 1, 2}
    assert max(more.values()) < 2 * min(more.values())


def test_numbers_stay_below_the_bound_of_their_kind() -> None:
    plan = coin_flips(REQUESTS, 3, 2000, 5, seed=1)
    for kind, request in enumerate(REQUESTS):
        numbers = plan.numbers[plan.kinds == kind]
        assert set(numbers.tolist()) == set(range(request.numbers))


def test_the_same_seed_gives_the_same_plan_and_another_one_another() -> None:
    one, same, other = (coin_flips(REQUESTS, 3, 100, 5, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.due_s, same.due_s)
    assert np.array_equal(one.arms, same.arms)
    assert len(one.due_s) != len(other.due_s) or not np.array_equal(one.due_s, other.due_s)


def test_a_warm_up_asks_each_arm_for_all_of_few_numbers() -> None:
    many = Request(name="many", share=1, path="/many/{n}", numbers=5000)
    plan = warm_up((*REQUESTS, many), 3, rate_per_s=100, seconds=3.5, seed=1)  # 70 for each arm
    for arm in range(3):
        asked = plan.numbers[(plan.kinds == 0) & (plan.arms == arm)].tolist()
        assert sorted(asked[:50]) == [*range(50)]
        assert max(Counter(asked).values()) <= 2
    of_many = plan.numbers[plan.kinds == 2]
    assert of_many.max() > 1000
    assert len(set(of_many.tolist())) > 0.9 * len(of_many)


def test_a_warm_up_is_as_much_load_of_the_same_mix() -> None:
    cold, warm = (make(REQUESTS, 3, 500, 2, seed=3) for make in (coin_flips, warm_up))
    assert np.array_equal(cold.due_s, warm.due_s)
    assert np.array_equal(cold.arms, warm.arms)
    assert np.array_equal(cold.kinds, warm.kinds)
    assert not np.array_equal(cold.numbers, warm.numbers)


def test_all_at_once_is_one_arm_s_and_has_the_same_mix() -> None:
    plan = all_at_once(REQUESTS, 2, 4000, seed=1)
    assert (plan.due_s == 0).all()
    assert (plan.arms == 2).all()
    assert len(plan.due_s) == pytest.approx(4000, rel=0.06)
    assert (plan.kinds == 0).mean() == pytest.approx(3 / 4, abs=0.03)


def test_a_request_is_rendered_with_its_number_and_length() -> None:
    assert renderer(REQUESTS[0], "a:1")(7) == b"GET /items/7 HTTP/1.1\r\nHost: a:1\r\n\r\n"
    head, _, body = renderer(REQUESTS[1], "a:1")(10).partition(b"\r\n\r\n")
    assert body == b'{"n": 10}'
    assert b"Content-Length: 9" in head


def test_a_host_of_the_service_file_is_the_only_one() -> None:
    request = Request(name="a", path="/", headers={"Host": "example.org"})
    assert renderer(request, "a:1")(0).count(b"Host") == 1
