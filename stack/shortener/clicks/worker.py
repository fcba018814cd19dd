"""Worker process: take clicks off the stream and count each of them once.

By default clicks are stored and counted in one transaction that ignores known ids; only then is
their entry acknowledged. An entry that is redelivered, since a worker died between the two, counts
nothing. An entry that is malformed, or rejected by the database, is dead-lettered and blocks no
other.
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
    STORE_NAIVELY,
    Click,
    ClickStore,
    UnstorableClicks,
    WorkerCounts,
    unpack,
)
from stack.shortener.clicks.stream_reader import Delivery, StreamLag, StreamReader
from stack.shortener.http import asgi
from stack.shortener.http.health import HealthEndpoints
from stack.shortener.http.server import serve
from stack.shortener.infra.database import Database, DatabaseUnavailable, pool_families
from stack.shortener.infra.log import configure, log
from stack.shortener.infra.metrics import build_info, counter, settings_in_force, start_time
from stack.shortener.infra.migrate import migrate
from stack.shortener.infra.redis_client import connect
from stack.shortener.settings import WorkerSettings, in_force

_REDIS_CONNECTIONS = 4
_POOL_SIZE = 3  # one each for the stream, the outbox and maintenance
_MIN_BACKOFF_S = 0.05
_MAX_CLICKS = 2_000  # in one transaction, far from its time limit
_STOP_S = 3.0
_OUTAGES = (DatabaseUnavailable, RedisError, OSError, TimeoutError)


class Worker:
    """Moves clicks from the stream to the database until stopped."""

    def __init__(self, stream: StreamReader, store: ClickStore, settings: WorkerSettings) -> None:
        self.counts = WorkerCounts()
        self._stream = stream
        self._click_store = store
        self._settings = settings
        self._claim_at_s = 0.0
        self._handling = asyncio.Lock()
        self._stopping = False

    async def run(self) -> None:
        """Handle entries until stopped; begin, also after a failure, with the pending ones."""
        backoff_s = _MIN_BACKOFF_S
        while not self._stopping:
            try:
                await self._stream.create_group()
                while deliveries := await self._stream.pending():
                    await self._handle(deliveries)
                while not self._stopping:
                    await self._poll()
                    backoff_s = _MIN_BACKOFF_S
            except _OUTAGES as error:
                log("worker_retrying", level="warning", error=repr(error), backoff_s=backoff_s)
                await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))
                backoff_s = min(2 * backoff_s, self._settings.worker_backoff_s)

    async def stop(self, working: asyncio.Task[None]) -> None:
        """Finish the batch in flight, then stop."""
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await self._handling.acquire()  # never released: no other batch begins
        working.cancel()
        await asyncio.wait([working], timeout=_STOP_S)

    async def _poll(self) -> None:
        deliveries = await self._stream.new(self._settings.worker_block_s)
        await self._handle(deliveries)
        now_s = time.monotonic()
        if now_s >= self._claim_at_s:
            self._claim_at_s = now_s + self._settings.worker_claim_idle_s / 2
            await self._handle(await self._stream.claim(self._settings.worker_claim_idle_s))
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
                    await self._dead_letter(delivery, error)
                    continue
                if len(clicks) + len(found) > _MAX_CLICKS:
                    await self._store(batch, clicks)
                    batch, clicks = [], []
                batch.append(delivery)
                clicks += found
            await self._store(batch, clicks)

    async def _store(self, batch: list[Delivery], clicks: list[Click]) -> None:
        """Store a batch; if it is rejected, store its entries one by one to find the cause."""
        if not batch:
            return
        acknowledges_first = self._settings.worker_acknowledge == "before-commit"
        await self._reached("after-read")
        if acknowledges_first:
            await self._acknowledge(batch)
        try:
            await self._count(clicks)
        except UnstorableClicks as error:
            if len(batch) == 1:
                await self._dead_letter(batch[0], error)
                return
            for delivery in batch:
                await self._store([delivery], unpack(delivery.fields))
        else:
            await self._reached("after-store")
            if not acknowledges_first:
                await self._acknowledge(batch)

    async def _acknowledge(self, batch: list[Delivery]) -> None:
        await self._stream.acknowledge(batch)
        await self._reached("after-acknowledge")

    async def _reached(self, step: str) -> None:
        """Pause at the step of the setting, for a kill from outside to hit it."""
        if step == self._settings.worker_step:
            await asyncio.sleep(self._settings.worker_step_pause_s)

    async def _count(self, clicks: list[Click]) -> None:
        fresh = await self._click_store.add(clicks)
        self.counts.counted += fresh
        self.counts.duplicate += len(clicks) - fresh

    async def _dead_letter(self, delivery: Delivery, error: UnstorableClicks) -> None:
        await self._stream.dead_letter(delivery, str(error))
        self.counts.dead_lettered += 1
        entry = delivery.entry_id.decode()
        log("clicks_dead_lettered", level="warning", entry=entry, error=str(error))

    def families(self) -> Iterable[Metric]:
        """The counters, as Prometheus families."""
        counts = self.counts
        yield counter("shortener_clicks_counted", "Clicks stored and counted", counts.counted)
        yield counter("shortener_clicks_duplicate", "Clicks delivered again", counts.duplicate)
        yield counter(
            "shortener_clicks_dead_lettered", "Entries dead-lettered", counts.dead_lettered
        )


async def run(settings: WorkerSettings) -> None:
    """Run a worker until cancelled; the batch in flight is finished first."""
    configure(settings.name)
    client = connect(
        settings.queue_url, settings.queue_timeout_s, _REDIS_CONNECTIONS, settings.worker_block_s
    )
    statement = STORE if settings.click_dedupe else STORE_NAIVELY
    failover = settings.failover()
    primary = Database(
        "primary",
        settings.primary_url,
        _POOL_SIZE,
        settings.primary_timeout_s,
        [statement, TAKE, REMOVE],
        failover=failover,
    )
    stream = StreamReader(client, settings.name, settings.worker_batch)
    partitions = Partitions(settings.click_retention_days)
    store = ClickStore(primary, partitions, statement)
    worker = Worker(stream, store, settings)
    pauses_s = settings.outbox_poll_s, settings.worker_gather_s
    relay = OutboxRelay(primary, store, worker.counts, *pauses_s)
    maintenance = MaintenanceTasks(primary, partitions, settings)
    lag = StreamLag(stream, settings.queue_timeout_s)
    in_use = settings_in_force(in_force(settings))

    def families() -> Iterable[Metric]:
        yield from worker.families()
        yield from relay.families()
        yield from maintenance.families()
        yield from lag.families()
        yield from pool_families(primary)
        yield build_info()
        yield in_use
        yield start_time()

    migrated = migrate(
        settings.primary_url,
        settings.primary_timeout_s,
        apply=settings.migrate,
        servers=failover.servers,
    )
    background = [relay.run, maintenance.run]
    working = asyncio.create_task(_work(migrated, primary, worker, background))
    watching = asyncio.create_task(lag.watch())
    probes = asgi.guarded(HealthEndpoints(lambda: primary.ready, families))
    serving = asyncio.create_task(serve(probes, settings.address, _STOP_S))
    try:
        await asyncio.wait([serving, working, watching], return_when=asyncio.FIRST_COMPLETED)
        for task in (working, watching):
            if task.done():  # by a bug: raise it and exit
                task.result()
    finally:
        await worker.stop(working)
        watching.cancel()
        serving.cancel()
        await primary.close()
        await client.aclose()
        log("stopped")


async def _work(
    migrated: Coroutine[None, None, None],
    primary: Database,
    worker: Worker,
    background: Sequence[Callable[[], Coroutine[None, None, None]]],
) -> None:
    await migrated
    await primary.open()
    log("ready")
    async with asyncio.TaskGroup() as group:
        others = [group.create_task(one()) for one in background]
        await worker.run()
        for other in others:
            other.cancel()
