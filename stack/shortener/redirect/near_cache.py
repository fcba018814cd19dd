"""The near cache: links that this process has just served, in its own memory.

It spares Redis the hottest keys, and costs freshness: a change made through another process is seen
only when an entry's short life here is over. So only links that redirect are kept: a link just made
must never be hidden by the memory that there was none.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from stack.shortener.redirect.cache_entry import LIVE, CacheEntry


class _Kept(NamedTuple):
    """An entry, and until when it may be served."""

    entry: CacheEntry
    until: float


class NearCache:
    """At most `size` entries, each for `ttl_s`, and never longer than it is fresh; 0: none."""

    def __init__(self, ttl_s: float, size: int) -> None:
        self._ttl_s = ttl_s
        self._size = size
        # A dict walks over all that was deleted to find its first; this one does not.
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def get(self, code: str, now: float) -> CacheEntry | None:
        """The entry of a code, if there is one that may be served now."""
        kept = self._kept.get(code)
        return kept.entry if kept is not None and now < kept.until else None

    def keep(self, code: str, entry: CacheEntry, now: float) -> None:
        """Keep an entry just served; when there is no room, the one that came first goes."""
        if not self._ttl_s or entry.state != LIVE:
            return
        self._kept.pop(code, None)
        if len(self._kept) >= self._size:
            self._kept.popitem(last=False)
        until = min(now + self._ttl_s, entry.fresh_until, entry.link_expires_at)
        self._kept[code] = _Kept(entry, until)

    def forget(self, code: str) -> None:
        """Drop a link that was changed through this process."""
        self._kept.pop(code, None)
