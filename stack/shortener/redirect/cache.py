"""The cache of links in Redis, in which a newer version is never overwritten by an older one.

Three keys a code: the value, the lease or lock of whoever fills it, and for a while after a change
the floor: the lowest version that may be stored. A change sets the floor and deletes the other two.
So a fill that read the old row, from a lagging replica or just before the change, cannot put it
back: the stale set of Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, section 3.2.1.
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
from stack.shortener.redirect.redis_reader import CacheUnavailable, RedisReader, Told
from stack.shortener.settings import WebSettings

__all__ = ["Cache", "CacheUnavailable", "StoreOutcome"]

# The 1 is the version of the packed format: processes of two releases may share a cache.
_VALUE, _FLOOR, _HOLD = "link:1:", "floor:1:", "hold:1:"
_MOST_OWED, _AGAIN_S = 10_000, 0.5  # changes that the cache could not be told yet

_STORE = """
-- value, floor, hold | packed value, time to live in ms, token or ''
if ARGV[3] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[3] then return 'void' end
local floor = tonumber(redis.call('GET', KEYS[2]) or 0)
if struct.unpack('<i8', ARGV[1]) < floor then return 'behind' end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if ARGV[3] ~= '' then redis.call('DEL', KEYS[3]) end
return 'stored'
"""
_FORGET = """
-- value, floor, hold | version, life of the floor in ms
if tonumber(ARGV[1]) >= tonumber(redis.call('GET', KEYS[2]) or 0) then
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
end
return redis.call('DEL', KEYS[1], KEYS[3])
"""
_LEASE = """
-- value, hold | token, life of the lease in ms, oldest end of freshness that will do
local value = redis.call('GET', KEYS[1])
if value and struct.unpack('<d', value, 34) > tonumber(ARGV[3]) then return {0, value} end
return {redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0, false}
"""
_GIVE_BACK = """
-- hold | token
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class StoreOutcome(Enum):
    """What became of a value that was to be stored."""

    STORED = "stored"
    VOID = "void"  # the lease was voided by a change, or ran out
    BEHIND = "behind"  # a newer version is known to exist


class Cache:
    """Reads, stores and forgets links; everything raises `CacheUnavailable` and nothing else."""

    def __init__(
        self, client: Redis, near: NearCache, settings: WebSettings, stale_s: float
    ) -> None:
        self._client: Any = client  # the stubs of redis-py promise sync and async answers at once
        self._reader = RedisReader(
            settings.cache_url,
            settings.cache_timeout_s,
            settings.breaker_failures,
            settings.breaker_open_s,
        )
        self.breaker = self._reader.breaker
        self._near = near
        self._owed: dict[str, int] = {}
        self._paying: asyncio.Task[None] | None = None
        self._settings = settings
        self._stale_s = stale_s
        self._kept_s = max(stale_s, settings.stale_if_error_s)
        self._hold_ms = round(settings.fill_lock_ttl_s * 1000)
        self._reads = BatchedReads(self._fetch, self._judge)
        self.ask = self._reads.ask
        self.get = self._reads.get
        self._store = self._client.register_script(_STORE)
        self._forget = self._client.register_script(_FORGET)
        self._lease = self._client.register_script(_LEASE)
        self._give_back = self._client.register_script(_GIVE_BACK)

    @asynccontextmanager
    async def _reaching_redis(self, *, though_it_is_down: bool = False) -> AsyncIterator[None]:
        if not (though_it_is_down or self.breaker.is_closed):
            raise CacheUnavailable("the cache is down, and is left alone for a moment")
        try:
            yield
        except (RedisError, OSError, TimeoutError) as error:
            self.breaker.failed(repr(error))
            raise CacheUnavailable(str(error)) from error
        else:
            self.breaker.succeeded()

    def _fetch(self, codes: Sequence[str], told: Told) -> None:
        self._reader.mget([_VALUE + code for code in codes], told)

    def _judge(self, packed: bytes | None, read_s: float) -> CacheRead:
        """What was read: it may be too old to be served, or there may be nothing."""
        entry = unpack(packed) if packed else None
        if entry is None or entry.fresh_until > self._oldest():
            return CacheRead(entry, read_s)
        return CacheRead(None, read_s, old=entry)

    def _usable(self, packed: bytes | None) -> CacheEntry | None:
        return self._judge(packed, 0.0).entry

    def _oldest(self) -> float:
        """The oldest end of freshness with which an entry may still be served."""
        return time.time() - self._stale_s

    async def store(self, code: str, entry: CacheEntry, token: str = "") -> StoreOutcome:
        """Store a value just read; with a token only if the lease of that token still stands."""
        fresh_s = self._fresh_s(entry)
        keep_s = fresh_s if entry.state == ABSENT else fresh_s + self._kept_s
        entry = entry._replace(fresh_until=time.time() + fresh_s)
        keys = [_VALUE + code, _FLOOR + code, _HOLD + code]
        async with self._reaching_redis():
            said = await self._store(keys=keys, args=[entry.pack(), round(keep_s * 1000), token])
        return StoreOutcome(said.decode())

    def _fresh_s(self, entry: CacheEntry) -> float:
        settings = self._settings
        if entry.state == ABSENT:
            return settings.negative_ttl_s
        jitter = settings.cache_ttl_jitter
        return settings.cache_ttl_s * random.uniform(1 - jitter, 1 + jitter)

    async def forget(self, code: str, version: int) -> None:
        """Drop what is cached of a link that has just become `version`, and keep older ones out.

        If the cache cannot be told now it is told later, by this process, if that lives so long.
        """
        self._near.forget(code)
        try:
            await self._tell(code, version)
        except CacheUnavailable:
            self._owe(code, version)
            raise

    def _owe(self, code: str, version: int) -> None:
        """Tell it later: else an old link would live on for as long as it is kept."""
        if len(self._owed) >= _MOST_OWED:
            del self._owed[next(iter(self._owed))]
        self._owed[code] = version
        if self._paying is None:
            self._paying = asyncio.get_running_loop().create_task(self._pay(), context=Context())

    async def _pay(self) -> None:
        while self._owed:
            code, version = next(iter(self._owed.items()))
            try:
                await self._tell(code, version)
            except CacheUnavailable:
                await asyncio.sleep(_AGAIN_S)
            else:
                if self._owed[code] == version:
                    del self._owed[code]
        self._paying = None

    async def _tell(self, code: str, version: int) -> None:
        keys = [_VALUE + code, _FLOOR + code, _HOLD + code]
        floor_ms = round(self._settings.version_floor_s * 1000)
        async with self._reaching_redis(though_it_is_down=True):
            await self._forget(keys=keys, args=[version, floor_ms])

    async def lease(self, code: str, token: str) -> tuple[bool, CacheEntry | None]:
        """Look once more, and if there is still nothing take the lease, all in one step."""
        keys = [_VALUE + code, _HOLD + code]
        async with self._reaching_redis():
            taken, value = await self._lease(keys=keys, args=[token, self._hold_ms, self._oldest()])
        return bool(taken), self._usable(value)

    async def lock(self, code: str, token: str) -> tuple[bool, CacheEntry | None]:
        """Try to take the lock, then look once more: both in one round trip, in this order."""
        async with self._reaching_redis():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.set(_HOLD + code, token, nx=True, px=self._hold_ms)
            pipeline.get(_VALUE + code)
            taken, value = await pipeline.execute()
        return bool(taken), self._usable(value)

    async def give_back(self, code: str, token: str) -> None:
        """End a lock or lease, unless it ran out and is somebody else's by now."""
        async with self._reaching_redis():
            await self._give_back(keys=[_HOLD + code], args=[token])

    async def close(self) -> None:
        """Close every connection."""
        await self.breaker.close()
        if self._paying is not None:
            self._paying.cancel()
        await self._reader.close()
        await self._client.aclose()
