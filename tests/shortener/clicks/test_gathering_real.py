"""Batching by the worker: fewer transactions under load, and no wait for the first click."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Any, cast

from stack.shortener.clicks.buffer import FIELD, pack
from stack.shortener.clicks.outbox import OutboxRelay
from stack.shortener.clicks.store import Click, ClickStore, WorkerCounts
from stack.shortener.clicks.stream_reader import Delivery, StreamReader
from stack.shortener.clicks.worker import Worker
from stack.shortener.settings import WorkerSettings

GATHER_S, EVERY_S, FOR_S = 0.1, 0.005, 0.6


class Source:
    """A stream in which an entry of one click comes every few milliseconds."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._given = 0

    async def create_group(self) -> None: ...

    async def pending(self) -> list[Delivery]:
        return []

    async def claim(self, _idle_s: float) -> list[Delivery]:
        return []

    async def new(self, _block_s: float) -> list[Delivery]:
        """Return the entries since the last call; wait for one if there are none."""
        while (there := int((time.monotonic() - self._began_s) / EVERY_S)) == self._given:
            await asyncio.sleep(EVERY_S / 5)
        click = ("id", "code", 1_900_000_000_000, "", False, 0)
        entry = {FIELD: pack([click]).encode()}
        came = [Delivery(b"%d-0" % number, entry) for number in range(self._given, there)]
        self._given = there
        return came

    async def acknowledge(self, _deliveries: list[Delivery]) -> None: ...


class Transactions:
    """A click store that records the size of each transaction, and the time of the first."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.first_s = math.inf
        self._began_s = time.monotonic()

    async def add(self, clicks: Sequence[Click]) -> int:
        self.first_s = min(self.first_s, time.monotonic() - self._began_s)
        self.sizes.append(len(clicks))
        return len(clicks)


def transactions(**changed: Any) -> Transactions:
    """Run a worker for `FOR_S`; return its transactions."""
    done = Transactions()
    addresses = {"primary_url": "postgresql://any", "queue_url": "redis://any"}

    async def main() -> None:
        settings = WorkerSettings(**{**addresses, **changed})
        worker = Worker(cast(StreamReader, Source()), cast(ClickStore, done), settings)
        working = asyncio.create_task(worker.run())
        await asyncio.sleep(FOR_S)
        await worker.stop(working)

    asyncio.run(main())
    return done


def test_clicks_that_come_one_by_one_share_transactions() -> None:
    assert len(transactions(worker_gather_s=GATHER_S).sizes) <= FOR_S / GATHER_S + 1


def test_without_gathering_there_is_a_transaction_for_whatever_has_come() -> None:
    assert len(transactions(worker_gather_s=0).sizes) > 2 * FOR_S / GATHER_S


def test_the_first_click_after_a_quiet_moment_is_counted_at_once() -> None:
    assert transactions(worker_gather_s=60).first_s < FOR_S / 2


def test_behind_a_full_batch_no_time_is_lost() -> None:
    assert len(transactions(worker_gather_s=60, worker_batch=1).sizes) > 5


def test_a_worker_that_gathers_stops_at_once() -> None:
    began_s = time.monotonic()
    transactions(worker_gather_s=60)
    assert time.monotonic() - began_s < FOR_S + 2


def test_an_outbox_is_emptied_in_shared_transactions_as_well() -> None:
    sizes = []

    class Counted(OutboxRelay):
        async def _move(self, size: int) -> int:
            sizes.append(size)
            return 1

    async def main() -> None:
        nothing = cast(Any, None)
        relaying = asyncio.create_task(
            Counted(nothing, nothing, WorkerCounts(), 60, GATHER_S).run()
        )
        await asyncio.sleep(FOR_S)
        relaying.cancel()

    asyncio.run(main())
    assert 2 <= len(sizes) <= FOR_S / GATHER_S + 1
