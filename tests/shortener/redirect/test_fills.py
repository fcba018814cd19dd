"""The laws behind the fills, checked without servers."""

from __future__ import annotations

import asyncio
import math
import random
import time

import pytest

from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.cache_entry import LIVE, CacheEntry
from stack.shortener.redirect.fills.base import pauses
from stack.shortener.redirect.fills.singleflight import Flights
from stack.shortener.redirect.fills.xfetch import is_drawn
from stack.shortener.redirect.refill import FillResult

DELTA_S, FRESH_UNTIL = 0.1, 100.0
ENTRY = CacheEntry(1, LIVE, math.inf, 0.0, DELTA_S, FRESH_UNTIL, b"https://example.org/")
NEWER = ENTRY._replace(version=2)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("remaining_s", [0.05, 0.1, 0.3])
def test_the_odds_of_an_early_refresh_fall_by_e_every_beta_delta(
    beta: float, remaining_s: float
) -> None:
    generator = random.Random(7)
    draws = [1.0 - generator.random() for _ in range(20_000)]
    drawn = sum(is_drawn(ENTRY, FRESH_UNTIL - remaining_s, beta, draw) for draw in draws)
    assert drawn / len(draws) == pytest.approx(math.exp(-remaining_s / (beta * DELTA_S)), abs=0.01)


@pytest.mark.parametrize("draw", [1.0, 0.5, 1e-300])
def test_an_expired_value_is_always_refreshed(draw: float) -> None:
    assert is_drawn(ENTRY, FRESH_UNTIL, 1.0, draw)


@pytest.mark.parametrize(("beta", "refreshes"), [(1.0, math.e), (2.0, math.exp(0.5))])
def test_a_cycle_costs_e_to_the_one_over_beta_refreshes(beta: float, refreshes: float) -> None:
    generator = random.Random(11)
    counts = [_refreshes_of_a_cycle(generator, beta) for _ in range(800)]
    assert sum(counts) / len(counts) == pytest.approx(refreshes, rel=0.1)


def _refreshes_of_a_cycle(generator: random.Random, beta: float, rate_per_s: float = 1000) -> int:
    """Readers come at random until the first refresh is done; count those who refresh."""
    now, done, count = FRESH_UNTIL - 2.0, math.inf, 0
    while now < done:
        if is_drawn(ENTRY, now, beta, 1.0 - generator.random()):
            count += 1
            done = min(done, now + DELTA_S)
        now += generator.expovariate(rate_per_s)
    return count


def test_calls_at_the_same_time_share_one_flight() -> None:
    flown, answers = asyncio.run(_share([math.inf] * 5))
    assert flown == 1
    assert sorted(answer.served for answer in answers) == ["miss", "wait", "wait", "wait", "wait"]


def test_who_looked_before_the_flight_landed_starts_no_other() -> None:
    assert asyncio.run(_share_after_landing(looked_before=True)) == 1


def test_who_looked_after_the_flight_landed_starts_another() -> None:
    assert asyncio.run(_share_after_landing(looked_before=False)) == 2


def test_all_who_share_a_flight_share_its_failure_and_the_next_flies_again() -> None:
    async def main() -> tuple[list[object], FillResult]:
        flights = Flights(look)

        async def crash() -> FillResult:
            await asyncio.sleep(0)
            raise OSError("down")

        failed = await asyncio.gather(
            *(flights.share("code", math.inf, crash) for _ in range(3)), return_exceptions=True
        )
        return list(failed), await flights.share("code", math.inf, _fly)

    failures, answer = asyncio.run(main())
    assert all(isinstance(failure, OSError) for failure in failures)
    assert answer.served == "miss"


async def look(_code: str) -> CacheRead:
    raise AssertionError("nobody has to look again")


@pytest.mark.parametrize("cached", [True, False])
def test_who_looked_after_the_answer_was_proven_looks_again(cached: bool) -> None:
    """A change may have come between the proof and his look, and be the reason that he missed."""

    async def main() -> tuple[int, FillResult]:
        flown = 0
        proven_s = time.monotonic()

        async def fly() -> FillResult:
            nonlocal flown
            flown += 1
            await asyncio.sleep(0.01)
            return FillResult(ENTRY, "miss", proven_s)

        async def look_again(_code: str) -> CacheRead:
            return CacheRead(NEWER if cached else None, time.monotonic())

        flights = Flights(look_again)
        first = asyncio.create_task(flights.share("code", proven_s - 1, fly))
        await asyncio.sleep(0)
        answer = await flights.share("code", time.monotonic(), fly)
        await first
        return flown, answer

    flown, answer = asyncio.run(main())
    assert (flown, answer.served) == ((1, "wait") if cached else (2, "miss"))
    assert answer.entry.version == (NEWER if cached else ENTRY).version


async def _fly() -> FillResult:
    await asyncio.sleep(0.01)
    return FillResult(ENTRY, "miss")


async def _share(looked: list[float]) -> tuple[int, list[FillResult]]:
    flown = 0

    async def fly() -> FillResult:
        nonlocal flown
        flown += 1
        return await _fly()

    flights = Flights(look)
    answers = await asyncio.gather(*(flights.share("code", at_s, fly) for at_s in looked))
    return flown, list(answers)


async def _share_after_landing(*, looked_before: bool) -> int:
    flown = 0

    async def fly() -> FillResult:
        nonlocal flown
        flown += 1
        return await _fly()

    flights = Flights(look)
    before_s = time.monotonic()
    await flights.share("code", before_s, fly)
    await flights.share("code", before_s if looked_before else math.inf, fly)
    return flown


def test_pauses_grow_to_a_bound_and_end_in_time() -> None:
    started_s = time.monotonic()
    slept = []
    for pause_s in pauses(0.05):
        slept.append(pause_s)
        time.sleep(pause_s)
    assert 2 <= len(slept) <= 10
    assert max(slept) <= 0.04
    assert time.monotonic() - started_s >= 0.05
