"""One Redis read for all look-ups of one turn of the event loop.

Under load a turn serves many requests; a command costs the client more than a key in it does, so
one MGET in place of many GETs is the difference between a slow and a fast redirect. Whoever asks is
told by a call, since a future and a task for each read would cost more than the read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from stack.shortener.redirect.cache_entry import CacheEntry
from stack.shortener.redirect.redis_reader import CacheUnavailable, Values
from stack.shortener.redirect.redis_reader import Told as ToldValues


class CacheRead(NamedTuple):
    """What the cache had for a code, and the monotonic second at which it was asked.

    `entry` may be served; `old` may not, unless there is nothing else.
    """

    entry: CacheEntry | None
    read_s: float
    old: CacheEntry | None = None


Told = Callable[[CacheRead | CacheUnavailable], None]
Fetch = Callable[[Sequence[str], ToldValues], None]
Judge = Callable[[bytes | None, float], CacheRead]


class BatchedReads:
    """Gathers the codes asked for in one turn, and fetches them together.

    `judge` makes of a value, and of when it was asked for, what those who asked are told.
    """

    def __init__(self, fetch: Fetch, judge: Judge) -> None:
        self._fetch = fetch
        self._judge = judge
        self._waiting: dict[str, list[Told]] = {}

    def ask(self, code: str, told: Told) -> None:
        """Have `told` called, in a later turn, with what the cache holds or why it cannot say."""
        waiting = self._waiting
        if not waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        if code in waiting:
            waiting[code].append(told)
        else:
            waiting[code] = [told]

    async def get(self, code: str) -> CacheRead:
        """What the cache holds; raises `CacheUnavailable`."""
        future = asyncio.get_running_loop().create_future()

        def told(said: CacheRead | CacheUnavailable) -> None:
            if not future.done():  # whoever asked may be gone
                future.set_result(said)

        self.ask(code, told)
        said: CacheRead | CacheUnavailable = await future
        if isinstance(said, CacheUnavailable):
            raise said
        return said

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        self._fetch(list(waiting), partial(self._answer, waiting, time.monotonic()))

    def _answer(
        self, waiting: dict[str, list[Told]], read_s: float, values: Values | CacheUnavailable
    ) -> None:
        judge = self._judge
        if isinstance(values, CacheUnavailable):
            for everybody in waiting.values():
                for told in everybody:
                    told(values)
        else:
            for everybody, value in zip(waiting.values(), values, strict=True):
                read = judge(value, read_s)
                for told in everybody:
                    told(read)
