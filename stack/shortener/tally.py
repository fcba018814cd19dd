"""Storing clicks in Postgres so that each counts once, however often it is delivered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asyncpg  # type: ignore[import-untyped]

from stack.shortener.clicks import FIELD
from stack.shortener.db import Database

# One statement is one transaction. Rows come in order of their key, so that two workers seldom
# wait for each other crosswise; should they, Postgres stops one and it tries again.
STORE = """WITH fresh AS (
  INSERT INTO clicks (click_id, code, clicked_at, referrer, bot)
  SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::boolean[])
  ON CONFLICT (click_id) DO NOTHING
  RETURNING code, clicked_at, referrer, bot
), by_link AS (
  INSERT INTO link_clicks AS counted (code, total, bots)
  SELECT code, count(*), count(*) FILTER (WHERE bot) FROM fresh GROUP BY 1 ORDER BY 1
  ON CONFLICT (code) DO UPDATE
  SET total = counted.total + excluded.total, bots = counted.bots + excluded.bots
), by_day AS (
  INSERT INTO day_clicks AS counted (code, day, total, bots)
  SELECT code, (clicked_at AT TIME ZONE 'UTC')::date, count(*), count(*) FILTER (WHERE bot)
  FROM fresh GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (code, day) DO UPDATE
  SET total = counted.total + excluded.total, bots = counted.bots + excluded.bots
), by_referrer AS (
  INSERT INTO referrer_clicks AS counted (code, referrer, total)
  SELECT code, referrer, count(*) FROM fresh GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (code, referrer) DO UPDATE SET total = counted.total + excluded.total
)
SELECT count(*) FROM fresh"""
_PRUNE = "DELETE FROM idempotency_keys WHERE created_at < now() - make_interval(secs => $1)"


class Refused(Exception):
    """Clicks that can never be stored, whoever tries and however often."""


class Click(NamedTuple):
    """A click as the database stores it."""

    click_id: str
    code: str
    clicked_at: datetime
    referrer: str
    bot: bool


def unpack(fields: dict[bytes, bytes]) -> list[Click]:
    """The clicks in a stream entry; raises `Refused` if they are no clicks."""
    try:
        return [_click(*members) for members in json.loads(fields[FIELD])]
    except (KeyError, TypeError, ValueError, OverflowError, OSError, RecursionError) as error:
        raise Refused(f"not a batch of clicks: {error!r}") from error


def _click(click_id: str, code: str, at_ms: int, referrer: str, bot: bool) -> Click:
    if not all(isinstance(text, str) and "\0" not in text for text in (click_id, code, referrer)):
        raise ValueError("a text is none, or holds a zero byte")
    if not click_id or len(click_id) > 64 or not isinstance(bot, bool):
        raise ValueError("no click id, or no flag for bots")
    return Click(click_id, code, datetime.fromtimestamp(at_ms / 1000, UTC), referrer, bot)


class Tally:
    """The counts in the primary."""

    def __init__(self, primary: Database) -> None:
        self._primary = primary

    async def add(self, clicks: Sequence[Click]) -> int:
        """Store and count the clicks not seen before, and return how many these are.

        Raises `DatabaseUnavailable`, after which nobody knows whether they were stored, so the
        same clicks are to be added again; and `Refused` if the database never will.
        """
        if not clicks:
            return 0
        columns: list[Any] = [list(column) for column in zip(*clicks, strict=True)]
        async with self._primary.connection() as connection:
            try:
                fresh: int = await connection.fetchval(STORE, *columns)
            except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
                raise Refused(repr(error)) from error
        return fresh

    async def forget_keys(self, older_than_s: float) -> None:
        """Drop idempotency keys that nobody will retry any more."""
        async with self._primary.connection() as connection:
            await connection.execute(_PRUNE, older_than_s)
