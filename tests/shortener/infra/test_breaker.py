"""The breaker: what opens it, its probes, and what closes it."""

from __future__ import annotations

import asyncio
from typing import Any

from stack.shortener.infra.breaker import Breaker, BreakerState
from stack.shortener.settings import WebSettings
from tests.support.fake_links import ADDRESSES

PAUSE_S = 0.02


class Part:
    """A dependency that is down until `is_up`."""

    def __init__(self) -> None:
        self.is_up = False
        self.probes = 0
        self.breaker = Breaker("part", 3, PAUSE_S, self.probe)

    async def probe(self) -> None:
        self.probes += 1
        await asyncio.sleep(0)
        if not self.is_up:
            raise OSError("down")

    async def until_closed(self) -> None:
        while not self.breaker.is_closed:
            await asyncio.sleep(PAUSE_S / 4)


def test_a_breaker_opens_with_the_last_failure_that_is_allowed_in_a_row() -> None:
    async def main() -> None:
        breaker = Part().breaker
        for _ in range(10):
            breaker.failed("down")
            breaker.failed("down")
            breaker.succeeded()
        assert breaker.is_closed
        for _ in range(3):
            breaker.failed("down")
        assert breaker.state is BreakerState.OPEN
        await breaker.close()

    asyncio.run(main())


def test_a_breaker_opens_when_for_a_while_nothing_went_well() -> None:
    async def main() -> None:
        breaker = Part().breaker
        breaker.failed("down")
        await asyncio.sleep(PAUSE_S * 1.2)
        assert breaker.is_closed  # a single failure says little, however long ago
        breaker.failed("down")
        assert breaker.state is BreakerState.OPEN
        await breaker.close()

    asyncio.run(main())


def test_without_limits_a_breaker_never_opens() -> None:
    async def main() -> None:
        breaker = Breaker("part", *chosen(breaker=False).breaker_limits, Part().probe)
        for _ in range(2000):
            breaker.failed("down")
        assert breaker.is_closed

    asyncio.run(main())
    assert chosen().breaker_limits == (5, 1.0)


def chosen(**settings: Any) -> WebSettings:
    return WebSettings(**{**ADDRESSES, **settings})


def test_an_open_breaker_probes_alone_and_closes_when_a_probe_succeeds() -> None:
    async def main() -> None:
        part = Part()
        for _ in range(50):
            part.breaker.failed("down")
        began_s = asyncio.get_running_loop().time()
        while part.probes < 4:
            await asyncio.sleep(PAUSE_S / 4)
        # one at a time, a pause between
        assert asyncio.get_running_loop().time() - began_s >= 3 * PAUSE_S
        assert not part.breaker.is_closed
        part.is_up = True
        await asyncio.wait_for(part.until_closed(), 1)
        probes = part.probes
        await asyncio.sleep(PAUSE_S * 3)
        assert part.probes == probes
        part.breaker.failed("down")
        assert part.breaker.is_closed  # it counts from the start again

    asyncio.run(main())
