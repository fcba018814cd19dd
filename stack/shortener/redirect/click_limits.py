"""Permits for links with a click limit, issued by the primary: exactly as many as the limit.

The count is one row of one database, so a limit of N allows N redirects across all processes. A
permit whose response is lost is spent: an outage can lower a limit but not exceed it.
"""

from __future__ import annotations

from typing import NamedTuple

from stack.shortener.infra.database import Database
from stack.shortener.infra.metrics import Metrics

_OPEN = """code = $1 AND NOT deleted AND NOT disabled
  AND (expires_at IS NULL OR expires_at > now()) AND (max_clicks IS NULL OR uses < max_clicks)"""
TAKE = f"UPDATE links SET uses = uses + 1 WHERE {_OPEN} RETURNING version, url"
LOOK = f"SELECT version, url FROM links WHERE {_OPEN}"
_REMEMBERED = 10_000


class ClickPermit(NamedTuple):
    """The link as of the permit."""

    version: int
    url: bytes


class ClickPermits:
    """Takes permits from the primary, and caches the versions that are used up for good."""

    def __init__(self, primary: Database, metrics: Metrics) -> None:
        self._primary = primary
        self._metrics = metrics
        self._used_up: dict[str, int] = {}

    async def take(self, code: str, version: int) -> ClickPermit | None:
        """A permit for one click, or `None` if there are none left.

        `version` is that of the cached link; a change of the limit makes a new one. Raises
        `DatabaseUnavailable`, without a retry: a lost response may have been a permit.
        """
        permit = None
        if self._used_up.get(code, 0) < version:
            permit = await self._query(TAKE, code)
            if permit is None:
                self._remember(code, version)
        self._metrics.permits["taken" if permit else "used_up"] += 1
        return permit

    async def look(self, code: str, version: int) -> ClickPermit | None:
        """The same as `take`, without using a click up."""
        if self._used_up.get(code, 0) >= version:
            return None
        return await self._query(LOOK, code)

    async def _query(self, statement: str, code: str) -> ClickPermit | None:
        async with self._primary.connection() as connection:
            row = await connection.fetchrow(statement, code)
        return ClickPermit(row["version"], row["url"].encode()) if row else None

    def _remember(self, code: str, version: int) -> None:
        if len(self._used_up) >= _REMEMBERED:
            del self._used_up[next(iter(self._used_up))]
        self._used_up[code] = version
