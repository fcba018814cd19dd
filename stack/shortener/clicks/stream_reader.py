"""The click stream as its consumers see it."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from stack.shortener.clicks.buffer import GROUP, STREAM

_DEAD = "clicks:dead"
_DEAD_LONGEST = 1_000  # at most about 50 MB: somebody must look at a few of them


class Delivery(NamedTuple):
    """One entry, given to this consumer until it is done."""

    entry_id: bytes
    fields: dict[bytes, bytes]


class Backlog(NamedTuple):
    """Entries that are not acknowledged, given to somebody or not, and the age of the oldest."""

    entries: int
    seconds: float


class StreamReader:
    """Takes entries for one consumer of the group; raises what redis-py raises."""

    def __init__(self, client: Redis, consumer: str, batch: int) -> None:
        self._client: Any = client
        self._consumer = consumer
        self._batch = batch
        self._claim_from = b"0-0"

    async def join(self) -> None:
        """Make the group if it is not there; it starts with the oldest click there is."""
        try:
            await self._client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def unfinished(self) -> list[Delivery]:
        """Entries this consumer, or an earlier one of its name, was given and did not finish."""
        return await self._read("0", block_ms=None)

    async def new(self, block_s: float) -> list[Delivery]:
        """Entries given to nobody yet; waits for some, but not longer than `block_s`."""
        return await self._read(">", block_ms=max(1, round(block_s * 1000)))

    async def _read(self, after: str, block_ms: int | None) -> list[Delivery]:
        found = await self._client.xreadgroup(
            GROUP, self._consumer, {STREAM: after}, count=self._batch, block=block_ms
        )
        return [_delivery(*entry) for _, entries in found or [] for entry in entries]

    async def abandoned(self, idle_s: float) -> list[Delivery]:
        """Entries taken over from consumers that have not finished them for `idle_s`."""
        idle_ms = round(idle_s * 1000)
        self._claim_from, entries, *_ = await self._client.xautoclaim(
            STREAM, GROUP, self._consumer, idle_ms, self._claim_from, count=self._batch
        )
        return [_delivery(*entry) for entry in entries]

    async def finish(self, deliveries: list[Delivery]) -> None:
        """Acknowledge and delete: a finished entry is of no more use."""
        ids = [delivery.entry_id for delivery in deliveries]
        pipeline = self._client.pipeline(transaction=True)
        pipeline.xack(STREAM, GROUP, *ids)
        pipeline.xdel(STREAM, *ids)
        await pipeline.execute()

    async def set_aside(self, delivery: Delivery, reason: str) -> None:
        """Move an entry that cannot be handled to where somebody can look at it."""
        pipeline = self._client.pipeline(transaction=True)
        fields = {**delivery.fields, b"entry_id": delivery.entry_id, b"reason": reason[:500]}
        pipeline.xadd(_DEAD, fields, maxlen=_DEAD_LONGEST, approximate=True)
        pipeline.xack(STREAM, GROUP, delivery.entry_id)
        pipeline.xdel(STREAM, delivery.entry_id)
        await pipeline.execute()

    async def backlog(self) -> Backlog:
        """What is in the stream: finished entries are not. Ids hold the queue's time of adding."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.xlen(STREAM)
        pipeline.xrange(STREAM, count=1)
        entries, oldest = await pipeline.execute()
        if not oldest:
            return Backlog(entries, 0.0)
        entry_id, _ = oldest[0]
        added_s = int(entry_id.partition(b"-")[0]) / 1000
        return Backlog(entries, max(0.0, time.time() - added_s))


def _delivery(entry_id: bytes, fields: dict[bytes, bytes] | None) -> Delivery:
    return Delivery(entry_id, fields or {})  # no fields: deleted while it was pending
