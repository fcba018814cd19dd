"""Look-ups of a link in the databases; a route decides in which (`read_routes.py`)."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from stack.shortener.infra.database import ConnectionBroken, Database
from stack.shortener.infra.log import log
from stack.shortener.infra.metrics import Metrics
from stack.shortener.infra.retry_budget import RetryBudget
from stack.shortener.redirect.cache_entry import ABSENT, DISABLED, LIMITED, LIVE, CacheEntry, absent
from stack.shortener.redirect.read_tokens import ReadToken

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
    """The look-up of one code, for a reader who must see the write `after`, if there is one."""

    def __init__(self, origin: Origin, code: str, read_s: float, after: ReadToken | None) -> None:
        self.origin = origin
        self.after = after
        self._code = code
        self._read_s = read_s
        self._look_ups: list[LookUp] = []

    def fetch(self) -> Awaitable[CacheEntry]:
        """Query what the route says; raises `DatabaseUnavailable`."""
        return self.origin.route.fetch(self)

    def fetch_replica(self) -> Awaitable[CacheEntry]:
        """Query the replica."""
        return self._fetch(self.origin.replica)

    async def fetch_primary(self) -> CacheEntry:
        """Query the primary; one retry if a connection broke."""
        try:
            return await self._fetch(self.origin.primary)
        except ConnectionBroken:
            if not self.origin.retry():
                raise
        await asyncio.sleep(random.uniform(*_PAUSE_S))
        return await self._fetch(self.origin.primary)

    async def _fetch(self, database: Database) -> CacheEntry:
        database.check()
        async with database.connection() as connection:
            read_at = time.time()
            look_up = LookUp(database.name, asked_s=time.monotonic())
            self._look_ups.append(look_up)
            with self.origin.metrics.asking(database.name):
                row = await _fetch_row(connection, self._code, look_up)
        self.origin.budget.earn()
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


class ReadRoute(Protocol):
    """The databases that a look-up goes to."""

    # An answer older than a change that the cache knows of is then looked up on the primary, not
    # served.
    asks_again_if_behind: bool = False

    async def fetch(self, query: OriginQuery) -> CacheEntry:
        """The link; raises `DatabaseUnavailable`."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The two databases and the route to them, with metrics and retry budget."""

    replica: Database
    primary: Database
    metrics: Metrics
    budget: RetryBudget
    route: ReadRoute

    def retry(self) -> bool:
        """Spend a retry if the budget allows it, and count it either way."""
        may = self.budget.spend()
        self.metrics.retries["made" if may else "refused"] += 1
        return may

    def query(self, code: str, read_s: float, after: ReadToken | None = None) -> OriginQuery:
        """A query for a code missed in the cache at `read_s`, by a reader who wrote `after`."""
        return OriginQuery(self, code, read_s, after)


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
