"""Lag of the replica behind the primary, by comparing their positions in the log."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque

import asyncpg  # type: ignore[import-untyped]

from stack.shortener.infra.database import Database, DatabaseUnavailable
from stack.shortener.redirect.read_tokens import WalPosition, written

# Asked before the link and not with it: a statement's rows are as of its start. There is no row
# while the replica is disconnected, and none on a server that is no replica.
REPLAYED = """SELECT received_tli, (pg_last_wal_replay_lsn() - '0/0')::bigint
FROM pg_stat_wal_receiver WHERE received_tli IS NOT NULL"""
_LOOKS = 4  # at the positions, while the longest lag passes


async def replayed(replica: Database) -> WalPosition | None:
    """The replica's position in the log, if it follows a primary."""
    replica.check()
    async with replica.connection() as connection:
        row = await connection.fetchrow(REPLAYED)
    return WalPosition(*row) if row else None


class LagWatch:
    """Checks that the replica shows all that the primary had `max_s` ago.

    A replica that has replayed a position shows all that was committed when the primary was there,
    by this process's clock alone. Postgres' own `pg_last_xact_replay_timestamp` grows while nobody
    writes, and compares the clocks of two machines.
    """

    def __init__(self, replica: Database, primary: Database, max_s: float) -> None:
        self._replica = replica
        self._primary = primary
        self._max_s = max_s
        self._shown_s = -math.inf
        self._seen: deque[tuple[float, WalPosition]] = deque(maxlen=2 * _LOOKS)

    @property
    def is_within(self) -> bool:
        """True while the replica is known to lag no more than that."""
        return time.monotonic() - self._shown_s <= self._max_s

    async def run(self) -> None:
        """Look at both until cancelled; while one is down, nothing is known of the lag."""
        while True:
            with contextlib.suppress(DatabaseUnavailable, asyncpg.PostgresError):
                await self.look()
            await asyncio.sleep(self._max_s / _LOOKS)

    async def look(self) -> None:
        """Compare where the replica is with where the primary is, and was."""
        self._primary.check()
        at_s = time.monotonic()
        self._seen.append((at_s, await written(self._primary)))
        if position := await replayed(self._replica):
            shown = [at_s for at_s, then in self._seen if _has(position, then)]
            self._shown_s = max(shown, default=self._shown_s)


def _has(replica: WalPosition, primary: WalPosition) -> bool:
    """True if the replica is that far, on the same timeline."""
    return replica.timeline == primary.timeline and replica.lsn >= primary.lsn
