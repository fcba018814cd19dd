"""Store clicks in Postgres so that each counts once, however often it is delivered."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asyncpg  # type: ignore[import-untyped]

from stack.shortener.clicks.buffer import FIELD
from stack.shortener.clicks.partitions import Partitions
from stack.shortener.clicks.unique_visitors import is_observation
from stack.shortener.infra.codes import CODE
from stack.shortener.infra.database import Database

OTHERS = "(others)"  # no valid host name
_REFERRERS = 1_000  # counted by name for a link, since a client can send any

# One statement is one transaction. Rows are written in the order of their key, so that workers
# seldom deadlock; Postgres aborts one that does, and it retries.
_STORE = f"""WITH given AS (
  SELECT * FROM unnest(
    $1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::boolean[], $6::integer[]
  ) AS click (click_id, code, clicked_at, referrer, bot, visitor)
), fresh AS (
  INSERT INTO clicks (click_id, code, clicked_at, referrer, bot)
  SELECT click_id, code, clicked_at, referrer, bot FROM given ORDER BY click_id
  ON CONFLICT (click_id, clicked_at) DO NOTHING
  RETURNING code, clicked_at, referrer, bot
), named AS (
  SELECT code, count(*) AS total, count(*) FILTER (WHERE bot) AS bots,
    NOT known AND NOT full_up AS is_new,
    CASE WHEN known OR NOT full_up THEN referrer ELSE '{OTHERS}' END AS referrer
  FROM {{counted}} AS click
  CROSS JOIN LATERAL (SELECT
    EXISTS (SELECT FROM referrer_clicks AS counted
      WHERE counted.code = click.code AND counted.referrer = click.referrer) AS known,
    EXISTS (SELECT FROM link_clicks AS counted
      WHERE counted.code = click.code AND counted.referrers >= {_REFERRERS}) AS full_up
  ) AS seen
  GROUP BY 1, 4, 5
), by_referrer AS (
  INSERT INTO referrer_clicks AS counted (code, referrer, total)
  SELECT code, referrer, total FROM named ORDER BY 1, 2
  ON CONFLICT (code, referrer) DO UPDATE SET total = counted.total + excluded.total
), by_link AS (
  INSERT INTO link_clicks AS counted (code, total, bots, referrers)
  SELECT code, sum(total), sum(bots), count(*) FILTER (WHERE is_new)
  FROM named GROUP BY 1 ORDER BY 1
  ON CONFLICT (code) DO UPDATE
  SET total = counted.total + excluded.total, bots = counted.bots + excluded.bots,
    referrers = counted.referrers + excluded.referrers
), by_day AS (
  INSERT INTO day_clicks AS counted (code, day, total, bots)
  SELECT code, (clicked_at AT TIME ZONE 'UTC')::date, count(*), count(*) FILTER (WHERE bot)
  FROM {{counted}} GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (code, day) DO UPDATE
  SET total = counted.total + excluded.total, bots = counted.bots + excluded.bots
), seen AS (
  SELECT code, (visitor >> 6)::smallint AS register, max(visitor & 63)::smallint AS rank
  FROM given WHERE visitor > 0 AND NOT bot GROUP BY 1, 2
), by_visitor AS (
  INSERT INTO link_visitors AS known (code, register, rank)
  SELECT code, register, rank FROM seen
  WHERE NOT EXISTS (SELECT FROM link_visitors AS higher
    WHERE higher.code = seen.code AND higher.register = seen.register AND higher.rank >= seen.rank)
  ORDER BY 1, 2
  ON CONFLICT (code, register) DO UPDATE SET rank = excluded.rank WHERE known.rank < excluded.rank
)
SELECT count(*) FROM {{counted}}"""
STORE = _STORE.format(counted="fresh")
STORE_NAIVELY = _STORE.format(counted="given")  # also what is stored already

_CLICK_ID = re.compile(r"[\x21-\x7e]{1,64}")
_REFERRER = re.compile(r"[\x21-\x7e]{0,253}")


class UnstorableClicks(Exception):
    """Clicks that no retry can store."""


class Click(NamedTuple):
    """A click as the database stores it; the visitor only changes a count."""

    click_id: str
    code: str
    clicked_at: datetime
    referrer: str
    bot: bool
    visitor: int


@dataclass(slots=True)
class WorkerCounts:
    """Counters of a worker."""

    counted: int = 0
    duplicate: int = 0
    dead_lettered: int = 0


def unpack(fields: dict[bytes, bytes]) -> list[Click]:
    """Parse the clicks in a stream entry; raises `UnstorableClicks` if it is malformed."""
    try:
        return [_click(*members) for members in json.loads(fields[FIELD])]
    except (KeyError, TypeError, ValueError, OverflowError, OSError, RecursionError) as error:
        raise UnstorableClicks(f"not a batch of clicks: {error!r}") from error


def _click(
    click_id: str, code: str, at_ms: int, referrer: str, bot: bool, visitor: int = 0
) -> Click:
    """Validate a click; entries of earlier releases have no visitor."""
    if not (_CLICK_ID.fullmatch(click_id) and CODE.fullmatch(code)):
        raise ValueError("invalid click id or code")
    if not _REFERRER.fullmatch(referrer) or not isinstance(bot, bool):
        raise ValueError("invalid referrer or bot flag")
    if not is_observation(visitor) or isinstance(at_ms, bool):
        raise ValueError("invalid visitor or time")
    return Click(click_id, code, moment(at_ms), referrer, bot, visitor)


def moment(at_ms: int) -> datetime:
    """Convert the time of a click for the database."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


class ClickStore:
    """Clicks and counts in the primary."""

    def __init__(self, primary: Database, partitions: Partitions, statement: str = STORE) -> None:
        self._primary = primary
        self._partitions = partitions
        self._statement = statement

    async def add(self, clicks: Sequence[Click]) -> int:
        """Store and count the clicks not seen before; return the number of those counted.

        Raises `DatabaseUnavailable`, after which it is unknown if they were stored: add them again.
        Raises `UnstorableClicks` if the database rejects them.
        """
        async with self._primary.connection() as connection:
            try:
                return await self._add(connection, clicks)
            except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
                raise UnstorableClicks(repr(error)) from error

    async def _add(self, connection: Any, clicks: Sequence[Click]) -> int:
        try:
            return await self.store(connection, clicks)
        except asyncpg.CheckViolationError:  # a known partition is gone, as after a failover
            self.invalidate_partitions()
            return await self.store(connection, clicks)

    def invalidate_partitions(self) -> None:
        """Query the existing partitions anew next time."""
        self._partitions.invalidate()

    async def store(self, connection: Any, clicks: Sequence[Click]) -> int:
        """Do what `add` does on a given connection, in its transaction if it has one."""
        if not clicks:
            return 0
        days = {click.clicked_at.date() for click in clicks}
        rejected = sorted(day for day in days if not self._partitions.accepts(day))
        if rejected:
            raise UnstorableClicks(f"clicks of {rejected[0]}: outside the days that are stored")
        await self._partitions.create(connection, days)
        columns: list[Any] = [list(column) for column in zip(*clicks, strict=True)]
        fresh: int = await connection.fetchval(self._statement, *columns)
        return fresh
