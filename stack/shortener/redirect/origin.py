"""Look-ups of a link in the databases: the replica first, then the primary.

The primary is queried when the replica is unavailable, when it has no such row (a new link may not
be replicated yet), and when its row is older than a known change.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from dataclasses import asdict, dataclass
from typing import Any

from stack.shortener.infra.database import ConnectionBroken, Database, DatabaseUnavailable
from stack.shortener.infra.log import log
from stack.shortener.infra.metrics import Metrics
from stack.shortener.infra.retry_budget import RetryBudget
from stack.shortener.redirect.cache_entry import ABSENT, DISABLED, LIMITED, LIVE, CacheEntry, absent

LOOK_UP = (
    "SELECT /* origin */ url, version, expires_at, disabled, deleted, max_clicks "
    "FROM links WHERE code = $1"
)
_PAUSE_S = 0.01, 0.05  # before a retry; it varies, as all connections may have broken at once


@dataclass(slots=True)
class LookUp:
    """One query that reached a database; times are monotonic seconds."""

    db: str
    asked_s: float
    answered_s: float | None = None
    found: bool = False
    error: str | None = None


class OriginQuery:
    """The look-up of one code, in one database after the other."""

    def __init__(self, origin: Origin, code: str, read_s: float) -> None:
        self._origin = origin
        self._code = code
        self._read_s = read_s
        self._look_ups: list[LookUp] = []

    async def fetch(self) -> CacheEntry:
        """Query the replica, then the primary; raises `DatabaseUnavailable`."""
        with contextlib.suppress(DatabaseUnavailable):
            entry = await self._fetch(self._origin.replica)
            if entry.version:
                return entry
        return await self.fetch_primary()

    async def fetch_primary(self) -> CacheEntry:
        """Query the primary; one retry if a connection broke."""
        try:
            return await self._fetch(self._origin.primary)
        except ConnectionBroken:
            if not self._origin.retry():
                raise
        await asyncio.sleep(random.uniform(*_PAUSE_S))
        return await self._fetch(self._origin.primary)

    async def _fetch(self, database: Database) -> CacheEntry:
        database.check()
        async with database.connection() as connection:
            read_at = time.time()
            look_up = LookUp(database.name, asked_s=time.monotonic())
            self._look_ups.append(look_up)
            with self._origin.metrics.asking(database.name):
                row = await _fetch_row(connection, self._code, look_up)
        self._origin.budget.earn()
        return _entry(row, read_at, recompute_s=time.monotonic() - look_up.asked_s)

    def log(self, stored_s: float | None) -> None:
        """Log each look-up; only the last result can have been stored, at `stored_s`."""
        for look_up in self._look_ups:
            last = look_up is self._look_ups[-1]
            log(
                "origin_query",
                key=self._code,
                read_s=self._read_s,
                stored_s=stored_s if last else None,
                **asdict(look_up),
            )


async def _fetch_row(connection: Any, code: str, look_up: LookUp) -> Any:
    try:
        row = await connection.fetchrow(LOOK_UP, code)
    except BaseException as error:
        look_up.error = type(error).__name__
        raise
    finally:
        look_up.answered_s = time.monotonic()
    look_up.found = row is not None
    return row


@dataclass(frozen=True, slots=True)
class Origin:
    """The two databases, with metrics and retry budget."""

    replica: Database
    primary: Database
    metrics: Metrics
    budget: RetryBudget

    def retry(self) -> bool:
        """Spend a retry if the budget allows it, and count it either way."""
        may = self.budget.spend()
        self.metrics.retries["made" if may else "refused"] += 1
        return may

    def query(self, code: str, read_s: float) -> OriginQuery:
        """A query for a code missed in the cache at `read_s`."""
        return OriginQuery(self, code, read_s)


def _entry(row: Any, read_at: float, recompute_s: float) -> CacheEntry:
    if row is None:
        return absent(read_at, recompute_s)
    url, version, expires_at, disabled, deleted, max_clicks = row
    return CacheEntry(
        version=version,
        state=_state(deleted, disabled, max_clicks),
        link_expires_at=expires_at.timestamp() if expires_at else math.inf,
        read_at=read_at,
        recompute_s=recompute_s,
        fresh_until=math.inf,
        url=url.encode(),
    )


def _state(deleted: bool, disabled: bool, max_clicks: int | None) -> int:
    if deleted:
        return ABSENT
    if disabled:
        return DISABLED
    return LIVE if max_clicks is None else LIMITED
