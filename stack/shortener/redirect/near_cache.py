"""The near cache: links just served by this process, in its own memory.

It takes the hottest keys off Redis, and costs freshness: a change made through another process
shows only after `ttl_s`. Only links that redirect are kept, so that a cached absence never hides a
new link.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from stack.shortener.redirect.cache_entry import LIVE, CacheEntry


class _Kept(NamedTuple):
    """An entry, served until `until`."""

    entry: CacheEntry
    until: float


class NearCache:
    """At most `size` entries, each for `ttl_s` and while it is fresh; `ttl_s` 0: none."""

    def __init__(self, ttl_s: float, size: int) -> None:
        self._ttl_s = ttl_s
        self._size = size
        # A dict scans its deleted slots to find the first key; OrderedDict does not.
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def get(self, code: str, now: float) -> CacheEntry | None:
        """The entry of a code, if it may be served now."""
        kept = self._kept.get(code)
        return kept.entry if kept is not None and now < kept.until else None

    def keep(self, code: str, entry: CacheEntry, now: float) -> None:
        """Keep an entry just served, and evict the oldest if full."""
        if not self._ttl_s or entry.state != LIVE:
            return
        self._kept.pop(code, None)
        if len(self._kept) >= self._size:
            self._kept.popitem(last=False)
        until = min(now + self._ttl_s, entry.fresh_until, entry.link_expires_at)
        self._kept[code] = _Kept(entry, until)

    def invalidate(self, code: str) -> None:
        """Drop a link that was changed through this process."""
        self._kept.pop(code, None)
