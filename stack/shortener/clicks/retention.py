"""Maintenance beside the clicks: partitions, old clicks, expired links, old idempotency keys.

Several workers may do it at once: locks and `SKIP LOCKED` keep them apart. A task that fails is
retried a little later and delays neither the clicks nor the other tasks.

A link that expired long ago, and was not changed since, becomes like a deleted one: its row stays,
since its code is never given again, and its target goes. From then on it is answered with 404
instead of 410. Its cache entry needs no invalidation, since it has expired as well.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from prometheus_client.metrics_core import Metric

from stack.shortener.clicks.partitions import Partitions
from stack.shortener.infra.database import Database, DatabaseUnavailable
from stack.shortener.infra.log import log
from stack.shortener.infra.metrics import counter
from stack.shortener.settings import WorkerSettings

_HOUR_S, _MINUTE_S = 3600.0, 60.0
_RETRY_S = 5.0
_BATCH = 500  # rows in a transaction, to keep it short
# The rows are chosen first, as an array: a join would read the whole table where that looks cheap.
SWEEP_LINKS = f"""UPDATE links
SET deleted = true, url = '', version = version + 1, updated_at = now()
WHERE code = ANY (ARRAY(
  SELECT code FROM links WHERE NOT deleted AND expires_at < now() - make_interval(secs => $1)
    AND updated_at < now() - make_interval(secs => $1)
  ORDER BY expires_at LIMIT {_BATCH} FOR UPDATE SKIP LOCKED
)) RETURNING code"""
DELETE_KEYS = f"""DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM idempotency_keys WHERE created_at < now() - make_interval(secs => $1)
  ORDER BY created_at LIMIT {_BATCH} FOR UPDATE SKIP LOCKED
)) RETURNING key"""


async def sweep_expired_links(connection: Any, kept_s: float) -> int:
    """Delete a batch of links expired, and last changed, `kept_s` ago; return its size."""
    return len(await connection.fetch(SWEEP_LINKS, kept_s))


async def delete_old_keys(connection: Any, kept_s: float) -> int:
    """Delete a batch of idempotency keys older than `kept_s`; return its size."""
    return len(await connection.fetch(DELETE_KEYS, kept_s))


@dataclass
class MaintenanceTask:
    """A task that runs every `every_s`, and again at once while rows are left."""

    name: str
    every_s: float
    run: Callable[[Any], Awaitable[int]]  # on a connection; 0 when nothing is left
    due_s: float = field(default=0.0)


class MaintenanceTasks:
    """Runs the tasks that are due, until cancelled."""

    def __init__(self, primary: Database, partitions: Partitions, settings: WorkerSettings) -> None:
        self.swept = 0
        self._primary = primary
        self._partitions = partitions
        self._expired_kept_s = settings.expired_link_retention_s
        delete_keys = partial(delete_old_keys, kept_s=settings.idempotency_key_ttl_s)
        self._tasks = [
            MaintenanceTask("create partitions", _HOUR_S, self._create_partitions),
            MaintenanceTask("drop old clicks", _HOUR_S, self._drop_old_clicks),
            MaintenanceTask("sweep expired links", settings.sweep_interval_s, self._sweep),
            MaintenanceTask("delete old idempotency keys", _MINUTE_S, delete_keys),
        ]

    async def run(self) -> None:
        """Run each task when it is due, one at a time."""
        while True:
            for task in self._tasks:
                if time.monotonic() >= task.due_s:
                    task.due_s = time.monotonic() + await self._run_once(task)
            next_s = min(task.due_s for task in self._tasks)
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))

    async def _run_once(self, task: MaintenanceTask) -> float:
        """Run a task; return the seconds until it is due again."""
        try:
            async with self._primary.connection() as connection:
                return 0.0 if await task.run(connection) else task.every_s
        except DatabaseUnavailable as error:
            log("maintenance_retrying", level="warning", task=task.name, error=repr(error))
            return min(_RETRY_S, task.every_s)

    async def _create_partitions(self, connection: Any) -> int:
        await self._partitions.create_ahead(connection)
        return 0

    async def _drop_old_clicks(self, connection: Any) -> int:
        for day in await self._partitions.drop_old(connection):
            log("clicks_dropped_by_age", day=day)
        return 0

    async def _sweep(self, connection: Any) -> int:
        swept = await sweep_expired_links(connection, self._expired_kept_s)
        self.swept += swept
        return swept

    def families(self) -> Iterable[Metric]:
        """The number of links swept, as a Prometheus family."""
        yield counter("shortener_links_swept", "Expired links deleted", self.swept)
