"""Clicks by way of the primary: a web process writes them there, and a worker moves them on.

A click is in the outbox, or it is counted: the transaction that counts it takes it out. It needs no
Redis, and costs the primary a write before the answer to every redirect.
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

from stack.shortener.clicks import buffer as minted
from stack.shortener.clicks.store import Click, ClickStore, UnstorableClicks, WorkerCounts, moment
from stack.shortener.infra.database import Database, DatabaseUnavailable
from stack.shortener.infra.log import log

_AT_ONCE = 1_000
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

    async def write(self, clicks: Sequence[minted.Click]) -> None:
        """Write them in one statement; raises `NotWritten` if the primary does not answer."""
        click_ids, codes, times_ms, referrers, bots, visitors = zip(*clicks, strict=True)
        times = [moment(at_ms) for at_ms in times_ms]
        try:
            async with self._primary.connection() as connection:
                await connection.execute(WRITE, click_ids, codes, times, referrers, bots, visitors)
        except DatabaseUnavailable as error:
            raise minted.NotWritten(str(error)) from error


class OutboxRelay:
    """Moves clicks from the outbox to the counts, until cancelled."""

    def __init__(
        self,
        primary: Database,
        tally: ClickStore,
        counts: WorkerCounts,
        pause_s: float,
        gather_s: float,
    ) -> None:
        self._primary = primary
        self._tally = tally
        self._counts = counts
        self._pause_s = pause_s
        self._gather_s = gather_s
        self._singly = 0
        self._lag_s = math.nan

    async def run(self) -> None:
        """Move batches, with a pause after one that was not full, or after a failure."""
        while True:
            size = 1 if self._singly else _AT_ONCE
            try:
                moved = await self._move(size)
            except DatabaseUnavailable as error:
                log("outbox_held_up", level="warning", error=str(error))
                self._lag_s, moved = math.nan, 0
            if not moved:
                await asyncio.sleep(self._pause_s)
            elif moved < size:
                await asyncio.sleep(self._gather_s)

    async def _move(self, size: int) -> int:
        """Move up to that many, and say how many; other workers take others meanwhile."""
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
                self._tally.distrust()
                if size > 1:
                    self._singly = size  # one of them is to blame: look for it
                else:
                    await self._set_aside(connection, rows[0], error)
                return len(rows)
        self._singly = max(0, self._singly - 1)
        return len(rows)

    async def _count(self, connection: Any, clicks: list[Click]) -> None:
        fresh = await self._tally.store(connection, clicks)
        self._counts.counted += fresh
        self._counts.duplicate += len(clicks) - fresh

    async def _set_aside(self, connection: Any, row: Any, error: Exception) -> None:
        """Take a click out that the database refuses; the log is where somebody can look at it.

        It is told before it is gone for good, so that it may be told twice, but never not at all.
        """
        async with connection.transaction():
            if await connection.fetchval(REMOVE_ONE, row[0]) is None:
                return  # another worker, who was refused as well, did it meanwhile
            self._counts.set_aside += 1
            click = dict(row)
            log("click_set_aside", level="warning", click=click, error=str(error))

    def families(self) -> Iterable[Metric]:
        """How long the oldest click was in the outbox."""
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
