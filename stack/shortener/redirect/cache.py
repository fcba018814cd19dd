"""The cache of links in Redis, in which a newer version is never overwritten by an older one.

Three keys a code: the value, the lock or lease of its fill, and for a while after a change the
floor: the lowest version that may be stored. A change sets the floor and deletes the other two, so
a fill that read the old row, from a lagging replica or just before the change, cannot put it back:
the stale set of Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, section 3.2.1. Other
values of `CACHE_INVALIDATION` set no floor and heed none.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from enum import Enum
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from stack.shortener.redirect.batched_reads import BatchedReads, CacheRead
from stack.shortener.redirect.cache_entry import ABSENT, CacheEntry, unpack
from stack.shortener.redirect.near_cache import NearCache
from stack.shortener.redirect.redis_reader import CacheUnavailable, OnValues, RedisReader
from stack.shortener.settings import WebSettings

__all__ = ["Cache", "CacheUnavailable", "StoreOutcome"]

# The 1 is the version of the packed format: processes of two releases may share a cache.
_VALUE, _FLOOR, _LOCK = "link:1:", "floor:1:", "lock:1:"
_PENDING_MAX, _RETRY_S = 10_000, 0.5  # invalidations to be sent

_STORE = """
-- value, lock, floor or none | packed value, time to live in ms, token or ''
if ARGV[3] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[3] then return 'void' end
local floor = KEYS[3] and tonumber(redis.call('GET', KEYS[3]) or 0) or 0
if struct.unpack('<i8', ARGV[1]) < floor then return 'behind' end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if ARGV[3] ~= '' then redis.call('DEL', KEYS[2]) end
return 'stored'
"""
_INVALIDATE = """
-- value, lock, floor | version, life of the floor in ms
if tonumber(ARGV[1]) >= tonumber(redis.call('GET', KEYS[3]) or 0) then
  redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
end
return redis.call('DEL', KEYS[1], KEYS[2])
"""
_LEASE = """
-- value, lock | token, life of the lease in ms, earliest fresh_until that may be served
local value = redis.call('GET', KEYS[1])
if value and struct.unpack('<d', value, 34) > tonumber(ARGV[3]) then return {0, value} end
return {redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0, false}
"""
_RELEASE = """
-- lock | token
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class StoreOutcome(Enum):
    """Result of storing a value."""

    STORED = "stored"
    VOID = "void"  # a change voided the lease, or it expired
    BEHIND = "behind"  # a newer version is known to exist


class Cache:
    """Reads, stores and invalidates links; every method raises `CacheUnavailable` only."""

    def __init__(
        self, client: Redis, near: NearCache, settings: WebSettings, stale_s: float
    ) -> None:
        self._client: Any = client  # its stubs promise sync and async results at once
        self._reader = RedisReader(
            settings.cache_url, settings.cache_timeout_s, *settings.breaker_limits
        )
        self.breaker = self._reader.breaker
        self._near = near
        self._pending: dict[str, int] = {}
        self._retrying: asyncio.Task[None] | None = None
        self._closing = False
        self._settings = settings
        self._has_floors = settings.cache_invalidation == "delete-with-floor"
        self._voids_leases = settings.cache_fill == "lease"
        self._stale_s = stale_s
        self._retention_s = max(stale_s, settings.stale_if_error_s)
        self._lock_ms = round(settings.fill_lock_ttl_s * 1000)
        self._reads = BatchedReads(self._fetch, self._decode)
        self.read = self._reads.read
        self.get = self._reads.get
        self._store = self._client.register_script(_STORE)
        self._invalidate = self._client.register_script(_INVALIDATE)
        self._lease = self._client.register_script(_LEASE)
        self._release = self._client.register_script(_RELEASE)

    @asynccontextmanager
    async def _reaching_redis(self, *, even_if_open: bool = False) -> AsyncIterator[None]:
        if not (even_if_open or self.breaker.is_closed):
            raise CacheUnavailable("the cache is down: its breaker is open")
        try:
            yield
        except (RedisError, OSError, TimeoutError) as error:
            self.breaker.failed(repr(error))
            raise CacheUnavailable(str(error)) from error
        else:
            self.breaker.succeeded()

    def _fetch(self, codes: Sequence[str], callback: OnValues) -> None:
        self._reader.mget([_VALUE + code for code in codes], callback)

    def _decode(self, packed: bytes | None, read_s: float) -> CacheRead:
        """A read of the packed entry, if there is one, sorted by whether it may be served."""
        entry = unpack(packed) if packed else None
        if entry is None or self._may_be_served(entry):
            return CacheRead(entry, read_s)
        return CacheRead(None, read_s, expired=entry)

    def _usable(self, packed: bytes | None) -> CacheEntry | None:
        return self._decode(packed, 0.0).entry

    def _may_be_served(self, entry: CacheEntry) -> bool:
        """True if it is fresh, or a link in its stale window; a missing link has none."""
        window_s = 0.0 if entry.state == ABSENT else self._stale_s
        return entry.fresh_until > time.time() - window_s

    async def store(self, code: str, entry: CacheEntry, token: str = "") -> StoreOutcome:
        """Store a value just read; with a token only if its lease is still valid."""
        fresh_s = self._fresh_s(entry)
        retention_s = fresh_s if entry.state == ABSENT else fresh_s + self._retention_s
        entry = entry._replace(fresh_until=time.time() + fresh_s)
        keys = [_VALUE + code, _LOCK + code]
        if self._has_floors:
            keys.append(_FLOOR + code)
        async with self._reaching_redis():
            outcome = await self._store(
                keys=keys, args=[entry.pack(), round(retention_s * 1000), token]
            )
        return StoreOutcome(outcome.decode())

    def _fresh_s(self, entry: CacheEntry) -> float:
        settings = self._settings
        if entry.state == ABSENT:
            return settings.negative_ttl_s
        jitter = settings.cache_ttl_jitter
        return settings.cache_ttl_s * random.uniform(1 - jitter, 1 + jitter)

    async def invalidate(self, code: str, version: int) -> None:
        """Drop the cached link, now at `version`, and keep older versions out, if set to do so.

        If the cache is down this process retries until it is back.
        """
        settings = self._settings
        if settings.cache_invalidation == "none":
            return
        self._near.invalidate(code)
        if settings.cache_invalidation == "double-delete":
            asyncio.get_running_loop().call_later(
                settings.cache_second_delete_s, self._send_later, code, version, context=Context()
            )
        try:
            await self._send_invalidation(code, version)
        except CacheUnavailable:
            self._send_later(code, version)
            raise

    def _send_later(self, code: str, version: int) -> None:
        """Send an invalidation from the background, as often as it takes."""
        if self._closing:
            return
        if len(self._pending) >= _PENDING_MAX:
            del self._pending[next(iter(self._pending))]
        self._pending[code] = version
        if self._retrying is None:
            self._retrying = asyncio.get_running_loop().create_task(
                self._send_pending(), context=Context()
            )

    async def _send_pending(self) -> None:
        while self._pending:
            code, version = next(iter(self._pending.items()))
            try:
                await self._send_invalidation(code, version)
            except CacheUnavailable:
                await asyncio.sleep(_RETRY_S)
            else:
                if self._pending[code] == version:
                    del self._pending[code]
        self._retrying = None

    async def _send_invalidation(self, code: str, version: int) -> None:
        keys = [_VALUE + code, _LOCK + code]
        floor_ms = round(self._settings.version_floor_s * 1000)
        async with self._reaching_redis(even_if_open=True):
            if self._has_floors:
                await self._invalidate(keys=[*keys, _FLOOR + code], args=[version, floor_ms])
            else:
                await self._client.delete(*(keys if self._voids_leases else keys[:1]))

    async def lease(self, code: str, token: str) -> tuple[bool, CacheEntry | None]:
        """Read again, and if there is no usable value take the lease, in one atomic step."""
        keys = [_VALUE + code, _LOCK + code]
        async with self._reaching_redis():
            taken, value = await self._lease(keys=keys, args=[token, self._lock_ms, time.time()])
        return bool(taken), self._usable(value)

    async def lock(self, code: str, token: str) -> tuple[bool, CacheEntry | None]:
        """Try to take the lock, then read again: both in one round trip, in this order."""
        async with self._reaching_redis():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.set(_LOCK + code, token, nx=True, px=self._lock_ms)
            pipeline.get(_VALUE + code)
            taken, value = await pipeline.execute()
        return bool(taken), self._usable(value)

    async def release(self, code: str, token: str) -> None:
        """Release a lock or lease, unless it expired and has a new holder."""
        async with self._reaching_redis():
            await self._release(keys=[_LOCK + code], args=[token])

    async def close(self) -> None:
        """Close every connection; a second delete that is not due yet is not made."""
        self._closing = True
        await self.breaker.close()
        if self._retrying is not None:
            self._retrying.cancel()
        await self._reader.close()
        await self._client.aclose()
