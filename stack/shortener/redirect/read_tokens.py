"""Read tokens: a client that has written sends one back, so that its reads include its write.

The answer to a write has the token as `X-Read-Token`, and a session's later requests carry the last
one they got. Clients need not understand it: `<timeline>/<LSN>/<milliseconds since the epoch>`.
"""

from __future__ import annotations

import re
import time
from typing import NamedTuple

import asyncpg  # type: ignore[import-untyped]

from stack.shortener.http import asgi
from stack.shortener.infra.database import Database, DatabaseUnavailable
from stack.shortener.infra.log import log

HEADER = b"x-read-token"
# Asked after the commit: a position from within the transaction precedes its commit record. The
# flushed position, since the inserted one may lie beyond any record that is ever replayed.
WRITTEN = """SELECT left(pg_walfile_name(lsn), 8), (lsn - '0/0')::bigint
FROM pg_current_wal_flush_lsn() AS lsn"""
_TOKEN = re.compile(rb"([0-9]{1,10})/([0-9A-F]{1,8})/([0-9A-F]{1,8})/([0-9]{1,16})")
_NO_TIMELINE = 0  # no replica follows it


class WalPosition(NamedTuple):
    """A position in the write-ahead log; positions compare only within a timeline."""

    timeline: int
    lsn: int


NOWHERE = WalPosition(_NO_TIMELINE, 0)


class ReadToken(NamedTuple):
    """A write that a reader must see: its position, and its time in ms since the epoch."""

    position: WalPosition
    at_ms: int

    def pack(self) -> bytes:
        """The value of the header, with the LSN as Postgres writes it."""
        timeline, lsn = self.position
        return b"%d/%X/%X/%d" % (timeline, lsn >> 32, lsn & 0xFFFFFFFF, self.at_ms)


def unpack(value: bytes) -> ReadToken | None:
    """The token, or `None` for anything else."""
    found = _TOKEN.fullmatch(value)
    if found is None:
        return None
    timeline, high, low, at_ms = found.groups()
    lsn = int(high, 16) << 32 | int(low, 16)
    return ReadToken(WalPosition(int(timeline), lsn), int(at_ms))


def sent(headers: asgi.Headers) -> ReadToken | None:
    """The token in a request, if there is a valid one."""
    return unpack(dict(headers).get(HEADER, b""))


class ReadTokens:
    """Issues tokens for writes that have committed."""

    def __init__(self, primary: Database, *, with_position: bool) -> None:
        self._primary = primary
        self._with_position = with_position

    async def issue(self) -> bytes:
        """A token for every write that was committed before."""
        position = await self._position() if self._with_position else NOWHERE
        return ReadToken(position, time.time_ns() // 1_000_000).pack()

    async def _position(self) -> WalPosition:
        """The primary's position; nowhere if it fails, as the write has succeeded by then.

        No replica has replayed that, so the session goes to the primary.
        """
        try:
            return await written(self._primary)
        except (DatabaseUnavailable, asyncpg.PostgresError) as error:
            log("write_position_unknown", level="warning", error=repr(error))
            return NOWHERE


async def written(primary: Database) -> WalPosition:
    """The primary's position in the log."""
    async with primary.connection() as connection:
        timeline, lsn = await connection.fetchrow(WRITTEN)
    return WalPosition(int(timeline, 16), lsn)
