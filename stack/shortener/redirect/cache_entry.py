"""A cache entry: a link as read from a database, packed into bytes."""

from __future__ import annotations

import math
import re
import struct
from functools import lru_cache
from typing import NamedTuple

_HEAD = struct.Struct("<qBdddd")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
ABSENT, LIVE, DISABLED, LIMITED = range(4)


class CacheEntry(NamedTuple):
    """A link, or its absence (then `version` is 0, or that of its deletion).

    Times are seconds since the epoch, since entries outlive processes and move between hosts.
    `read_at` is when the query was sent, so that an age is never too low; `recompute_s` is how long
    the query took.
    """

    version: int
    state: int
    link_expires_at: float
    read_at: float
    recompute_s: float
    fresh_until: float
    url: bytes

    def pack(self) -> bytes:
        """Bytes for the cache; Lua reads `version` at 1 and `fresh_until` at 34."""
        return _HEAD.pack(*self[:-1]) + self.url

    def status(self, now: float) -> int:
        """HTTP status: 302, 404 for an unknown link, 410 for one that has ended.

        The 302 of a limited link also needs a permit from the primary.
        """
        if self.state in (LIVE, LIMITED) and now < self.link_expires_at:
            return 302
        return 404 if self.state == ABSENT else 410


@lru_cache(maxsize=4096)  # readers of the same link get the same bytes
def unpack(packed: bytes) -> CacheEntry | None:
    """The entry, or `None` if the bytes are no entry or the target is unsafe in a header."""
    if len(packed) < _HEAD.size or _CONTROL.search(packed, _HEAD.size):
        return None
    return CacheEntry._make((*_HEAD.unpack_from(packed), packed[_HEAD.size :]))


def absent(read_at: float, recompute_s: float) -> CacheEntry:
    """The entry of a code that never was a link."""
    return CacheEntry(0, ABSENT, math.inf, read_at, recompute_s, math.inf, b"")
