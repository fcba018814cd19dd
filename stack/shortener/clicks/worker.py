"""A worker process: takes clicks off the stream and counts each of them once, whatever fails.

Clicks are stored and counted in one transaction that ignores those it has seen; only then is their
entry acknowledged. An entry that comes again, since a worker died between the two, counts nothing.
An entry that cannot be read, or that the database refuses, is set aside and holds up no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence

from prometheus_client.metrics_core import Metric
from redis.exceptions import RedisError

from stack.shortener.clicks.outbox import REMOVE, TAKE, OutboxRelay
from stack.shortener.clicks.partitions import Partitions
from stack.shortener.clicks.retention import MaintenanceTasks
from stack.shortener.clicks.store import (
    STORE,
    Click,
    ClickStore,
    UnstorableClicks,
    WorkerCounts,
    unpack,
)
from stack.shortener.clicks.stream_lag import StreamLag
from stack.shortener.clicks.stream_reader import Delivery, StreamReader
from stack.shortener.http import asgi
from stack.shortener.http.health import HealthEndpoints
from stack.shortener.http.server import serve
from stack.shortener.infra.database import Database, DatabaseUnavailable
from stack.shortener.infra.log import configure, log
from stack.shortener.infra.metrics import build_info, started, total
from stack.shortener.infra.migrate import migrate
from stack.shortener.infra.pool_metrics import pools
from stack.shortener.infra.redis_client import connect
from stack.shortener.settings import WorkerSettings

_CONNECTIONS = 4
_TASKS = 3  # that use the database: the stream's clicks, the outbox's, and chores
_FIRST_PAUSE_S = 0.05
_MOST_CLICKS = 2_000  # in one transaction, so that none comes near its time limit
_STOP_S = 3.0
_OUTAGES = (DatabaseUnavailable, RedisError, OSError, TimeoutError)


class Worker:
    """Moves clicks from the stream to the database until it is told to stop."""

    def __init__(self, stream: StreamReader, tally: ClickStore, settings: WorkerSettings) -> None:
        self.counts = WorkerCounts()
        self._stream = stream
        self._tally = tally
        self._settings = settings
        self._claim_at_s = 0.0
        self._handling = asyncio.Lock()
        self._stopping = False

    async def run(self) -> None:
        """Work until stopped. After a failure begin with what was given to us and is unfinished."""
        pause_s = _FIRST_PAUSE_S
        while not self._stopping:
            try:
                await self._stream.join()
                while deliveries := await self._stream.unfinished():
                    await self._handle(deliveries)
                while not self._stopping:
                    await self._turn()
                    pause_s = _FIRST_PAUSE_S
            except _OUTAGES as error:
                log("worker_held_up", level="warning", error=repr(error), pause_s=pause_s)
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(2 * pause_s, self._settings.worker_backoff_s)

    async def stop(self, working: asyncio.Task[None]) -> None:
        """Let the batch under way be finished, then end the work."""
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await self._handling.acquire()  # and keep it: no batch begins any more
        working.cancel()
        await asyncio.wait([working], timeout=_STOP_S)

    async def _turn(self) -> None:
        deliveries = await self._stream.new(self._settings.worker_block_s)
        await self._handle(deliveries)
        now_s = time.monotonic()
        if now_s >= self._claim_at_s:
            self._claim_at_s = now_s + self._settings.worker_claim_idle_s / 2
            await self._handle(await self._stream.abandoned(self._settings.worker_claim_idle_s))
        if 0 < len(deliveries) < self._settings.worker_batch:
            await asyncio.sleep(self._settings.worker_gather_s)

    async def _handle(self, deliveries: list[Delivery]) -> None:
        async with self._handling:
            batch: list[Delivery] = []
            clicks: list[Click] = []
            for delivery in deliveries:
                try:
                    found = unpack(delivery.fields)
                except UnstorableClicks as error:
                    await self._set_aside(delivery, error)
                    continue
                if len(clicks) + len(found) > _MOST_CLICKS:
                    await self._store(batch, clicks)
                    batch, clicks = [], []
                batch.append(delivery)
                clicks += found
            await self._store(batch, clicks)

    async def _store(self, batch: list[Delivery], clicks: list[Click]) -> None:
        """Store all of them together; if that is refused, one by one, to find who is to blame."""
        if not batch:
            return
        try:
            await self._count(clicks)
        except UnstorableClicks as error:
            if len(batch) == 1:
                await self._set_aside(batch[0], error)
                return
            for delivery in batch:
                await self._store([delivery], unpack(delivery.fields))
        else:
            await self._stream.finish(batch)

    async def _count(self, clicks: list[Click]) -> None:
        fresh = await self._tally.add(clicks)
        self.counts.counted += fresh
        self.counts.duplicate += len(clicks) - fresh

    async def _set_aside(self, delivery: Delivery, error: UnstorableClicks) -> None:
        await self._stream.set_aside(delivery, str(error))
        self.counts.set_aside += 1
        entry = delivery.entry_id.decode()
        log("clicks_set_aside", level="warning", entry=entry, error=str(error))

    def families(self) -> Iterable[Metric]:
        """The counts, as Prometheus families."""
        counts = self.counts
        yield total("shortener_clicks_counted", "Clicks stored and counted", counts.counted)
        yield total("shortener_clicks_duplicate", "Clicks that came again", counts.duplicate)
        yield total("shortener_clicks_set_aside", "Entries set aside", counts.set_aside)


async def run(settings: WorkerSettings) -> None:
    """Work until told to stop; a batch under way is finished first."""
    configure(settings.name)
    client = connect(
        settings.queue_url, settings.queue_timeout_s, _CONNECTIONS, settings.worker_block_s
    )
    primary = Database(
        "primary", settings.primary_url, _TASKS, settings.primary_timeout_s, [STORE, TAKE, REMOVE]
    )
    stream = StreamReader(client, settings.name, settings.worker_batch)
    partitions = Partitions(settings.click_retention_days)
    tally = ClickStore(primary, partitions)
    worker = Worker(stream, tally, settings)
    pauses_s = settings.outbox_poll_s, settings.worker_gather_s
    relay = OutboxRelay(primary, tally, worker.counts, *pauses_s)
    chores = MaintenanceTasks(primary, partitions, settings)
    lag = StreamLag(stream, settings.queue_timeout_s)

    def families() -> Iterable[Metric]:
        yield from worker.families()
        yield from relay.families()
        yield from chores.families()
        yield from lag.families()
        yield from pools(primary)
        yield build_info()
        yield started()

    working = asyncio.create_task(_work(primary, worker, [relay.run, chores.run], settings))
    watching = asyncio.create_task(lag.watch())
    probes = asgi.guarded(HealthEndpoints(lambda: primary.ready, families))
    serving = asyncio.create_task(serve(probes, settings.address, _STOP_S))
    try:
        await asyncio.wait([serving, working, watching], return_when=asyncio.FIRST_COMPLETED)
        for endless in (working, watching):
            if endless.done():  # by a mistake of ours: die, do not idle
                endless.result()
    finally:
        await worker.stop(working)
        watching.cancel()
        serving.cancel()
        await primary.close()
        await client.aclose()
        log("stopped")


async def _work(
    primary: Database,
    worker: Worker,
    beside: Sequence[Callable[[], Coroutine[None, None, None]]],
    settings: WorkerSettings,
) -> None:
    await migrate(settings.primary_url, settings.primary_timeout_s, apply=settings.migrate)
    await primary.open()
    log("ready")
    async with asyncio.TaskGroup() as group:
        others = [group.create_task(one()) for one in beside]
        await worker.run()
        for other in others:
            other.cancel()
