"""API keys: known here by a hash only, and remembered for a moment so that each use costs no query.

A key is long and random, so a plain SHA-256 of it can't be guessed back; a password's could.
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
PREFIX = "lnk_"  # lets scanners for leaked secrets know one when they see it
_FORM = re.compile(PREFIX + "[A-Za-z0-9_-]{43}")
_MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    owner: str
    until_s: float


class ApiKeys:
    """Whose key it is; one that was revoked works for `keep_s` more seconds at most."""

    def __init__(
        self, primary: Database, keep_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._primary = primary
        self._keep_s = keep_s
        self._clock = clock
        self._known: dict[bytes, _Known] = {}

    def known(self, key: str) -> str | None:
        """The id of a key that was used a moment ago."""
        known = self._known.get(hashed(key))
        return known.owner if known and known.until_s > self._clock() else None

    async def owner(self, key: str) -> str | None:
        """The id of the key, or `None` if it is none of ours; raises `DatabaseUnavailable`."""
        if _FORM.fullmatch(key) is None:
            return None
        digest = hashed(key)
        async with self._primary.connection() as connection:
            owner: str | None = await connection.fetchval(LOOK_UP, digest)
        self._known.pop(digest, None)
        if owner is not None:
            if len(self._known) >= _MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[digest] = _Known(owner, self._clock() + self._keep_s)
        return owner


def new_key() -> str:
    """A key of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def hashed(key: str) -> bytes:
    """What is stored of a key."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
