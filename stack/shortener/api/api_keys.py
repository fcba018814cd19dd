"""API keys, stored as hashes and cached for a short time to save a query on each use.

A key has 256 random bits, so a plain SHA-256 is enough; a password would need a slow hash.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from stack.shortener.infra.database import Database

LOOK_UP = "SELECT id FROM api_keys WHERE hash = $1 AND revoked_at IS NULL"
PREFIX = "lnk_"  # recognizable to scanners for leaked secrets
_FORM = re.compile(PREFIX + "[A-Za-z0-9_-]{43}")
_CACHE_MAX_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class _CachedOwner:
    owner: str
    expires_at_s: float


class ApiKeys:
    """Owners of keys; a revoked key still works for `cache_ttl_s` at most."""

    def __init__(
        self, primary: Database, cache_ttl_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._primary = primary
        self._cache_ttl_s = cache_ttl_s
        self._clock = clock
        self._cache: dict[bytes, _CachedOwner] = {}

    def cached_owner(self, key: str) -> str | None:
        """The id of a key that is in the cache."""
        cached = self._cache.get(hashed(key))
        return cached.owner if cached and cached.expires_at_s > self._clock() else None

    async def owner(self, key: str) -> str | None:
        """The id of a valid key, or `None`; raises `DatabaseUnavailable`."""
        if _FORM.fullmatch(key) is None:
            return None
        digest = hashed(key)
        async with self._primary.connection() as connection:
            owner: str | None = await connection.fetchval(LOOK_UP, digest)
        self._cache.pop(digest, None)
        if owner is not None:
            if len(self._cache) >= _CACHE_MAX_KEYS:
                del self._cache[next(iter(self._cache))]
            self._cache[digest] = _CachedOwner(owner, self._clock() + self._cache_ttl_s)
        return owner


def new_key() -> str:
    """A new key of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def hashed(key: str) -> bytes:
    """The SHA-256 under which a key is stored."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
