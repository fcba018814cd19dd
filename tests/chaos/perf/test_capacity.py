"""The capacity finder finds a capacity that is known, and says where it cannot."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from chaos.perf.capacity import Objective, Step, find_capacity, objective
from chaos.perf.trouble import WrongInput

P99 = Objective(99, 50)
SERVICE_S = 0.002  # one at a time: 500 a second at the very most


def queue_ms(rate_per_s: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """The latencies of a server that answers one request after the other."""
    arrivals = np.cumsum(rng.exponential(1 / rate_per_s, max(int(rate_per_s * seconds), 1)))
    work = np.arange(1, len(arrivals) + 1) * SERVICE_S
    ends: np.ndarray = np.maximum.accumulate(arrivals - work + SERVICE_S) + work
    return (ends - arrivals) * 1000


def served(seed: int, seconds: float = 20) -> Callable[[float], Step]:
    rng = np.random.default_rng(seed)

    def measured(rate_per_s: float) -> Step:
        took_ms = queue_ms(rate_per_s, seconds, rng)
        return Step(rate_per_s, float(np.percentile(took_ms, 99)), float(np.median(took_ms)), 0, 0)

    return measured


def known_capacity() -> float:
    """The rate at which p99 of a very long run reaches the bound."""
    rng = np.random.default_rng(1)
    rates = np.arange(400, 500, 2.0)
    p99_ms = [float(np.percentile(queue_ms(rate, 2000, rng), 99)) for rate in rates]
    return float(rates[np.searchsorted(p99_ms, P99.bound_ms)])


def test_the_capacity_of_a_known_queue_is_found_ten_times_in_ten() -> None:
    known = known_capacity()
    for seed in range(10):
        found = find_capacity(served(seed), P99, first_per_s=100)
        assert found.rate_per_s == pytest.approx(known, rel=0.1)


@pytest.mark.parametrize("first_per_s", [2, 440, 20_000])
def test_wherever_the_search_begins_it_ends_at_the_capacity(first_per_s: float) -> None:
    found = find_capacity(served(3), P99, first_per_s)
    assert found.rate_per_s == pytest.approx(known_capacity(), rel=0.1)


def test_a_rate_counts_only_once_it_is_confirmed() -> None:
    seen: dict[float, int] = {}

    def lucky_once(rate_per_s: float) -> Step:
        seen[rate_per_s] = seen.get(rate_per_s, 0) + 1
        holds = rate_per_s <= 100 or (rate_per_s <= 140 and seen[rate_per_s] == 1)
        return Step(rate_per_s, 10 if holds else 100, 1, 0, 0)

    found = find_capacity(lucky_once, P99, first_per_s=50)
    assert 80 < found.rate_per_s <= 100
    confirming = [
        step for step in found.steps if step.confirms and step.rate_per_s == found.rate_per_s
    ]
    assert len(confirming) == 3


def test_a_service_that_never_holds_has_no_capacity() -> None:
    found = find_capacity(lambda rate: Step(rate, math.inf, 1, 0, 0), P99, first_per_s=100)
    assert found.rate_per_s == 0


def test_failures_count_whatever_the_latency() -> None:
    def fails_above(rate_per_s: float) -> Step:
        return Step(rate_per_s, 1, 1, 0.01 if rate_per_s > 300 else 0, 0)

    assert find_capacity(fails_above, P99, first_per_s=10).rate_per_s == pytest.approx(
        300, rel=0.04
    )


def test_a_client_that_is_late_where_it_fails_may_be_the_limit() -> None:
    def late(share: float) -> bool:
        found = find_capacity(
            lambda rate: Step(rate, 100 if rate > 300 else 1, 1, 0, share if rate > 300 else 0),
            P99, first_per_s=100,
        )  # fmt: skip
        return found.is_of_the_client

    assert late(0.5)
    assert not late(0.01)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("p99<50ms", Objective(99, 50)),
        (" p99.9 < 1.5 s ", Objective(99.9, 1500)),
        ("p50<2ms", Objective(50, 2)),
    ],
)
def test_an_objective_is_a_percentile_and_a_bound(text: str, meant: Objective) -> None:
    assert objective(text) == meant


@pytest.mark.parametrize("text", ["", "p99", "p99>50ms", "p0<1ms", "p99<0ms", "p99<50", "mean<1s"])
def test_what_is_no_objective_is_refused(text: str) -> None:
    with pytest.raises(WrongInput, match="is no objective: it is like p99<50ms"):
        objective(text)
