"""What the cache holds for a code: the link as a database told it, packed into bytes."""

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
    """A link, or the fact that there is none (then `version` is 0, or that of its deletion).

    Times are seconds since the epoch, since entries outlive processes and travel between hosts.
    `read_at` is when the database was asked, so that an age never flatters; `recompute_s` is how
    long the answer took.
    """

    version: int
    state: int
    link_expires_at: float
    read_at: float
    recompute_s: float
    fresh_until: float
    url: bytes

    def pack(self) -> bytes:
        """The bytes that the cache stores; Lua reads `version` at 1 and `fresh_until` at 34."""
        return _HEAD.pack(*self[:-1]) + self.url

    def status(self, now: float) -> int:
        """The HTTP status of a redirect: 302, 404 for no such link, 410 for one that has ended.

        A limited link has its 302 only if the primary gives a permit for it.
        """
        if self.state in (LIVE, LIMITED) and now < self.link_expires_at:
            return 302
        return 404 if self.state == ABSENT else 410


@lru_cache(maxsize=4096)  # those who read the same link meet the same bytes
def unpack(packed: bytes) -> CacheEntry | None:
    """The entry in the bytes, or `None` if they are none of ours.

    Nor is a target that could not stand in a header: it must not get as far as one.
    """
    if len(packed) < _HEAD.size or _CONTROL.search(packed, _HEAD.size):
        return None
    return CacheEntry._make((*_HEAD.unpack_from(packed), packed[_HEAD.size :]))


def absent(read_at: float, recompute_s: float) -> CacheEntry:
    """The entry that says: there is no such link, and there never was."""
    return CacheEntry(0, ABSENT, math.inf, read_at, recompute_s, math.inf, b"")
