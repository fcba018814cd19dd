"""Transactional outbox for clicks: web processes insert into the primary, a worker relays.

The transaction that counts a click deletes it from the outbox. This needs no Redis, and costs the
primary a write before the answer to every redirect.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from stack.shortener.clicks.buffer import BufferedClick, NotWritten
from stack.shortener.clicks.store import Click, ClickStore, UnstorableClicks, WorkerCounts, moment
from stack.shortener.infra.database import Database, DatabaseUnavailable
from stack.shortener.infra.log import log

_BATCH = 1_000
WRITE = """INSERT INTO click_outbox (click_id, code, clicked_at, referrer, bot, visitor)
SELECT * FROM unnest(
  $1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::boolean[], $6::integer[]
)"""
TAKE = """SELECT id, click_id, code, clicked_at, referrer, bot, visitor FROM click_outbox
ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED"""
REMOVE = "DELETE FROM click_outbox WHERE id = ANY ($1::bigint[])"
REMOVE_ONE = "DELETE FROM click_outbox WHERE id = $1 RETURNING id"


class Outbox:
    """Writes batches of clicks to the outbox."""

    def __init__(self, primary: Database) -> None:
        self._primary = primary

    async def write(self, clicks: Sequence[BufferedClick]) -> None:
        """Insert clicks in one statement; raises `NotWritten` if the primary is unavailable."""
        click_ids, codes, times_ms, referrers, bots, visitors = zip(*clicks, strict=True)
        times = [moment(at_ms) for at_ms in times_ms]
        try:
            async with self._primary.connection() as connection:
                await connection.execute(WRITE, click_ids, codes, times, referrers, bots, visitors)
        except DatabaseUnavailable as error:
            raise NotWritten(str(error)) from error


class OutboxRelay:
    """Moves clicks from the outbox to the click store, until cancelled."""

    def __init__(
        self,
        primary: Database,
        store: ClickStore,
        counts: WorkerCounts,
        poll_s: float,
        gather_s: float,
    ) -> None:
        self._primary = primary
        self._store = store
        self._counts = counts
        self._poll_s = poll_s
        self._gather_s = gather_s
        self._single_left = 0  # clicks to move one by one, after a batch was rejected
        self._lag_s = math.nan

    async def run(self) -> None:
        """Move batches; pause after one that was not full and after a failure."""
        while True:
            size = 1 if self._single_left else _BATCH
            try:
                moved = await self._move(size)
            except DatabaseUnavailable as error:
                log("outbox_retrying", level="warning", error=str(error))
                self._lag_s, moved = math.nan, 0
            if not moved:
                await asyncio.sleep(self._poll_s)
            elif moved < size:
                await asyncio.sleep(self._gather_s)

    async def _move(self, size: int) -> int:
        """Move up to `size` clicks that no other worker has locked; return their number."""
        async with self._primary.connection() as connection:
            try:
                async with connection.transaction():
                    rows = await connection.fetch(TAKE, size)
                    self._lag_s = _age_s(rows)
                    if not rows:
                        return 0
                    await self._count(connection, [Click(*row[1:]) for row in rows])
                    await connection.execute(REMOVE, [row[0] for row in rows])
            except (
                UnstorableClicks,
                asyncpg.DataError,
                asyncpg.IntegrityConstraintViolationError,
            ) as error:
                self._store.invalidate_partitions()
                if size > 1:
                    self._single_left = size  # to find the click that was rejected
                else:
                    await self._dead_letter(connection, rows[0], error)
                return len(rows)
        self._single_left = max(0, self._single_left - 1)
        return len(rows)

    async def _count(self, connection: Any, clicks: list[Click]) -> None:
        fresh = await self._store.store(connection, clicks)
        self._counts.counted += fresh
        self._counts.duplicate += len(clicks) - fresh

    async def _dead_letter(self, connection: Any, row: Any, error: Exception) -> None:
        """Move a click that the database rejects to the log.

        It is logged before the commit: twice at worst, but never lost.
        """
        async with connection.transaction():
            if await connection.fetchval(REMOVE_ONE, row[0]) is None:
                return  # another worker has done it
            self._counts.dead_lettered += 1
            log("click_dead_lettered", level="warning", click=dict(row), error=str(error))

    def families(self) -> Iterable[Metric]:
        """The age of the oldest click, as a Prometheus family."""
        yield GaugeMetricFamily(
            "shortener_outbox_lag_seconds",
            "Age of the oldest click in the outbox, 0 if there is none; NaN while it is unknown",
            value=self._lag_s,
        )


def _age_s(rows: Sequence[Any]) -> float:
    if not rows:
        return 0.0
    age_s: float = (datetime.now(UTC) - rows[0]["clicked_at"]).total_seconds()
    return max(0.0, age_s)
