"""One Redis read for all look-ups of one turn of the event loop.

Under load a turn serves many requests, and a command costs the client more than a key in it, so one
MGET replaces many GETs. Results go to callbacks, since a future and a task for each read would cost
more than the read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from stack.shortener.redirect.cache_entry import CacheEntry
from stack.shortener.redirect.read_tokens import ReadToken
from stack.shortener.redirect.redis_reader import CacheUnavailable, OnValues, Values


class CacheRead(NamedTuple):
    """The cache's entry for a code, read at `read_s` (monotonic seconds).

    `entry` may be served; `expired` only if no database answers. A look-up in the databases must
    see the write `after`, if its reader has made one.
    """

    entry: CacheEntry | None
    read_s: float
    expired: CacheEntry | None = None
    after: ReadToken | None = None


OnRead = Callable[[CacheRead | CacheUnavailable], None]
Fetch = Callable[[Sequence[str], OnValues], None]
Decode = Callable[[bytes | None, float], CacheRead]


class BatchedReads:
    """Gathers the reads of one turn, fetches them together and decodes each value once."""

    def __init__(self, fetch: Fetch, decode: Decode) -> None:
        self._fetch = fetch
        self._decode = decode
        self._waiting: dict[str, list[OnRead]] = {}

    def read(self, code: str, callback: OnRead) -> None:
        """Call `callback` in a later turn with the read or the error."""
        waiting = self._waiting
        if not waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        if code in waiting:
            waiting[code].append(callback)
        else:
            waiting[code] = [callback]

    async def get(self, code: str) -> CacheRead:
        """Read a code; raises `CacheUnavailable`."""
        future = asyncio.get_running_loop().create_future()

        def callback(result: CacheRead | CacheUnavailable) -> None:
            if not future.done():  # the reader may have been cancelled
                future.set_result(result)

        self.read(code, callback)
        result: CacheRead | CacheUnavailable = await future
        if isinstance(result, CacheUnavailable):
            raise result
        return result

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        self._fetch(list(waiting), partial(self._deliver, waiting, time.monotonic()))

    def _deliver(
        self, waiting: dict[str, list[OnRead]], read_s: float, values: Values | CacheUnavailable
    ) -> None:
        decode = self._decode
        if isinstance(values, CacheUnavailable):
            for callbacks in waiting.values():
                for callback in callbacks:
                    callback(values)
        else:
            for callbacks, value in zip(waiting.values(), values, strict=True):
                read = decode(value, read_s)
                for callback in callbacks:
                    callback(read)
