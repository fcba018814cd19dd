"""What a worker does beside the clicks: partitions ahead, old days, expired links, old keys.

Several workers may do the same: locks and skipped rows keep them out of each other's way. What
fails is tried again a little later, and holds up neither the clicks nor the other chores.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from prometheus_client.metrics_core import Metric

from stack.shortener.clicks.expired_rows import end_expired, forget_keys
from stack.shortener.clicks.partitions import Partitions
from stack.shortener.infra.database import Database, DatabaseUnavailable
from stack.shortener.infra.log import log
from stack.shortener.infra.metrics import total
from stack.shortener.settings import WorkerSettings

_HOUR_S, _MINUTE_S = 3600.0, 60.0
_AGAIN_S = 5.0  # after a failure


@dataclass
class MaintenanceTask:
    """One kind of work: done every so often, and at once again while there is more of it."""

    name: str
    every_s: float
    do: Callable[[Any], Awaitable[int]]  # on a connection; 0 when nothing is left
    due_s: float = field(default=0.0)


class MaintenanceTasks:
    """Does what is due, until cancelled."""

    def __init__(self, primary: Database, partitions: Partitions, settings: WorkerSettings) -> None:
        self.swept = 0
        self._primary = primary
        self._partitions = partitions
        self._expired_keep_s = settings.expired_link_retention_s
        self._chores = [
            MaintenanceTask("make partitions", _HOUR_S, self._make_ahead),
            MaintenanceTask("drop old clicks", _HOUR_S, self._drop_old),
            MaintenanceTask("end expired links", settings.sweep_interval_s, self._sweep),
            MaintenanceTask(
                "forget idempotency keys",
                _MINUTE_S,
                partial(forget_keys, kept_s=settings.idempotency_key_ttl_s),
            ),
        ]

    async def run(self) -> None:
        """Do each chore when it is due, one at a time."""
        while True:
            for chore in self._chores:
                if time.monotonic() >= chore.due_s:
                    chore.due_s = time.monotonic() + await self._pause_s(chore)
            next_s = min(chore.due_s for chore in self._chores)
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))

    async def _pause_s(self, chore: MaintenanceTask) -> float:
        try:
            async with self._primary.connection() as connection:
                return 0.0 if await chore.do(connection) else chore.every_s
        except DatabaseUnavailable as error:
            log("chore_held_up", level="warning", chore=chore.name, error=repr(error))
            return min(_AGAIN_S, chore.every_s)

    async def _make_ahead(self, connection: Any) -> int:
        await self._partitions.make_ahead(connection)
        return 0

    async def _drop_old(self, connection: Any) -> int:
        for day in await self._partitions.drop_old(connection):
            log("clicks_dropped_by_age", day=day)
        return 0

    async def _sweep(self, connection: Any) -> int:
        ended = await end_expired(connection, self._expired_keep_s)
        self.swept += ended
        return ended

    def families(self) -> Iterable[Metric]:
        """What was done, as Prometheus families."""
        yield total("shortener_links_swept", "Expired links ended", self.swept)
