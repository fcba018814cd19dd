"""Where a look-up goes, by `READ_FROM`, and so what a reader may see while the replica lags."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stack.shortener.infra.database import Database, DatabaseUnavailable
from stack.shortener.redirect.cache_entry import CacheEntry
from stack.shortener.redirect.origin import OriginQuery, ReadRoute
from stack.shortener.redirect.read_tokens import WalPosition
from stack.shortener.redirect.replica_lag import LagWatch, replayed
from stack.shortener.settings import ReadFrom, WebSettings

_POLL_S = 0.005


class ReplicaThenPrimary(ReadRoute):
    """The replica, and the primary for what the replica does not have or cannot have yet."""

    asks_again_if_behind: bool = True

    async def fetch(self, query: OriginQuery) -> CacheEntry:
        """Query the primary if the replica is unavailable or has no such row."""
        with contextlib.suppress(DatabaseUnavailable):
            entry = await query.fetch_replica()
            if entry.version:
                return entry
        return await query.fetch_primary()


class ReplicaOnly(ReadRoute):
    """The replica alone, naively: as stale as it is, and 404 for a link it does not have yet."""

    async def fetch(self, query: OriginQuery) -> CacheEntry:
        """Query the replica; there is nothing else to fall back on."""
        return await query.fetch_replica()


class PrimaryOnly(ReadRoute):
    """The primary alone: never stale, and all load is on it."""

    asks_again_if_behind: bool = True

    async def fetch(self, query: OriginQuery) -> CacheEntry:
        """Query the primary."""
        return await query.fetch_primary()


@dataclass(frozen=True, slots=True)
class Pinned(ReadRoute):
    """The primary for a while after a session's write, which is a guess at the replica's lag."""

    pin_s: float

    async def fetch(self, query: OriginQuery) -> CacheEntry:
        """Query the replica alone, unless the reader has just written."""
        after = query.after
        if after is not None and time.time() < after.at_ms / 1000 + self.pin_s:
            return await query.fetch_primary()
        return await query.fetch_replica()


@dataclass(frozen=True, slots=True)
class Replayed(ReadRoute):
    """The replica once it has replayed the session's write, and the primary until then.

    The log sequence number as a session's token is how GitLab balances its databases. The timeline
    is compared first: after a failover the numbers beyond the fork are given again.
    """

    wait_s: float

    async def fetch(self, query: OriginQuery) -> CacheEntry:
        """Query the replica if it has what the reader wrote, or the reader wrote nothing."""
        after = query.after
        with contextlib.suppress(DatabaseUnavailable):
            if after is None or await self._has_replayed(query.origin.replica, after.position):
                return await query.fetch_replica()
        return await query.fetch_primary()

    async def _has_replayed(self, replica: Database, wanted: WalPosition) -> bool:
        """True once the replica is that far, which may take `wait_s`."""
        deadline_s = time.monotonic() + self.wait_s
        while (position := await replayed(replica)) and position.timeline == wanted.timeline:
            if position.lsn >= wanted.lsn:
                return True
            if time.monotonic() >= deadline_s:
                break
            await asyncio.sleep(_POLL_S)
        return False


class LagBounded(ReadRoute):
    """Another route while the replica's lag is known to be within a bound, else the primary.

    It holds for all readers and without tokens, and for changes that no cache knows of. While the
    primary is down the lag is unknown, and an old answer is better than none.
    """

    def __init__(self, route: ReadRoute, lag: LagWatch) -> None:
        self.asks_again_if_behind = route.asks_again_if_behind
        self._route = route
        self._lag = lag

    async def fetch(self, query: OriginQuery) -> CacheEntry:
        """Query by the other route, or the primary alone."""
        if not self._lag.is_within:
            with contextlib.suppress(DatabaseUnavailable):
                return await query.fetch_primary()
        return await self._route.fetch(query)


READ_ROUTES: Mapping[ReadFrom, Callable[[WebSettings], ReadRoute]] = {
    "replica-then-primary": lambda _: ReplicaThenPrimary(),
    "replica": lambda _: ReplicaOnly(),
    "primary": lambda _: PrimaryOnly(),
    "pinned": lambda settings: Pinned(settings.read_pin_s),
    "lsn": lambda _: Replayed(wait_s=0.0),
    "lsn-wait": lambda settings: Replayed(settings.read_wait_s),
}


def read_route(settings: WebSettings, lag: LagWatch | None) -> ReadRoute:
    """The route that the settings say, within what `lag` bounds."""
    route = READ_ROUTES[settings.read_from](settings)
    return LagBounded(route, lag) if lag else route
