"""Links in the primary database: read, list, update, delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from stack.shortener.api.answers import ShortLink, Stats
from stack.shortener.api.bodies import LinkChange
from stack.shortener.api.link_statistics import STATISTICS, statistics
from stack.shortener.api.validation import Cursor, PageRequest
from stack.shortener.api.writes import Conflict, Writer, Written
from stack.shortener.http.problems import Problem
from stack.shortener.infra.database import Database

_COLUMNS = "code, url, version, disabled, expires_at, max_clicks, uses, created_at, updated_at"
_OWNED = "({owner}::text IS NULL OR owner = {owner})"  # without API keys there are no owners

SELECT = f"""SELECT {_COLUMNS} FROM links
WHERE code = $1 AND NOT deleted AND {_OWNED.format(owner="$2")}"""
UPDATE = f"""UPDATE links SET
  url = coalesce($3, url), disabled = coalesce($4, disabled),
  expires_at = CASE WHEN $5 THEN $6 ELSE expires_at END,
  max_clicks = CASE WHEN $7 THEN $8 ELSE max_clicks END,
  version = version + 1, updated_at = now()
WHERE code = $1 AND NOT deleted AND {_OWNED.format(owner="$2")}
  AND ($9::bigint[] IS NULL OR version = ANY ($9)) RETURNING {_COLUMNS}"""
DELETE = f"""UPDATE links SET deleted = true, version = version + 1, updated_at = now()
WHERE code = $1 AND NOT deleted AND {_OWNED.format(owner="$2")}
  AND ($3::bigint[] IS NULL OR version = ANY ($3)) RETURNING version"""
_PAGE = """SELECT {columns} FROM links WHERE NOT deleted {owned}
AND (created_at, code) < ($1, $2) ORDER BY created_at DESC, code DESC LIMIT $3"""
PAGE = _PAGE.format(columns=_COLUMNS, owned="")
PAGE_OF_OWNER = _PAGE.format(columns=_COLUMNS, owned="AND owner = $4")

# What became of a write. The lock is one that only a server that takes writes gives, and its commit
# waits for the standby as a write's does: so what it finds is as safe as an acknowledged write.
READ_BACK = f"{SELECT} FOR KEY SHARE"
READ_BACK_DELETED = f"""SELECT code, url, version, disabled, deleted FROM links
WHERE code = $1 AND {_OWNED.format(owner="$2")} FOR KEY SHARE"""

STATEMENTS = (
    *(SELECT, UPDATE, DELETE, PAGE, PAGE_OF_OWNER, STATISTICS),
    *(READ_BACK, READ_BACK_DELETED),
)
_NEWEST = Cursor(datetime(9999, 1, 1, tzinfo=UTC), "")


@dataclass(frozen=True)
class LinkPage:
    """A page of links and the cursor of the next page, if there is one."""

    links: Sequence[ShortLink]
    next: Cursor | None


@dataclass(frozen=True)
class LinkStore:
    """Queries for links; every method raises `Problem` or `DatabaseUnavailable`.

    `owner` is the id of the caller's API key and limits a query to the links of this key; it is
    `None` where no key is required.
    """

    primary: Database
    writer: Writer

    async def get(self, code: str, owner: str | None) -> ShortLink:
        """The link, or 404."""
        async with self.primary.connection() as connection:
            return _found(await connection.fetchrow(SELECT, code, owner))

    async def page(self, page: PageRequest, owner: str | None) -> LinkPage:
        """A page of links, newest first; links created meanwhile do not shift later pages."""
        after = page.after or _NEWEST
        place = (after.created_at, after.code, page.limit + 1)
        async with self.primary.connection() as connection:
            if owner is None:
                rows = await connection.fetch(PAGE, *place)
            else:
                rows = await connection.fetch(PAGE_OF_OWNER, *place, owner)
        links = [ShortLink(**row) for row in rows[: page.limit]]
        more = len(rows) > page.limit
        return LinkPage(links, Cursor(links[-1].created_at, links[-1].code) if more else None)

    async def update(
        self, code: str, change: LinkChange, versions: Sequence[int] | None, owner: str | None
    ) -> Written[ShortLink]:
        """Change a link and increment its version.

        404 if there is none; 412 if its version is not one of `versions`.
        """

        async def send(connection: Any) -> ShortLink:
            row = await connection.fetchrow(
                UPDATE,
                code,
                owner,
                change.url,
                change.disabled,
                change.sets_expiry,
                change.expires_at,
                change.sets_limit,
                change.max_clicks,
                versions,
            )
            return _changed(row)

        async def read_back(connection: Any) -> ShortLink | None:
            row = await connection.fetchrow(READ_BACK, code, owner)
            link = ShortLink(**row) if row else None
            return link if link and _has_become(link, change, versions) else None

        try:  # the change of one version can be told from others, and is made once
            has_key = versions is not None and len(versions) == 1
            return await self.writer.write(send, read_back if has_key else None)
        except Conflict:
            raise _stale(await self.get(code, owner), versions) from None

    async def delete(
        self, code: str, versions: Sequence[int] | None, owner: str | None
    ) -> Written[int]:
        """Delete a link for good and return its last version; 404 and 412 as for `update`."""

        async def send(connection: Any) -> int:
            version: int | None = await connection.fetchval(DELETE, code, owner, versions)
            if version is None:
                raise Conflict
            return version

        async def read_back(connection: Any) -> int | None:
            row = await connection.fetchrow(READ_BACK_DELETED, code, owner)
            if row is None or not row["deleted"]:
                return None
            version: int = row["version"]
            return version if versions is None or version - 1 in versions else None

        try:
            return await self.writer.write(send, read_back)
        except Conflict:
            raise _stale(await self.get(code, owner), versions) from None

    async def stats(self, code: str, owner: str | None) -> Stats:
        """Statistics of a link, or 404."""
        async with self.primary.connection() as connection:
            _found(await connection.fetchrow(SELECT, code, owner))
            return Stats(code=code, **await statistics(connection, code))


def _changed(row: Any) -> ShortLink:
    if row is None:
        raise Conflict
    return ShortLink(**row)


def _has_become(link: ShortLink, change: LinkChange, versions: Sequence[int] | None) -> bool:
    """True if the link is one version on, and as the change wanted it."""
    return (
        versions is not None
        and link.version - 1 in versions
        and change.url in (None, link.url)
        and change.disabled in (None, link.disabled)
        and (not change.sets_expiry or change.expires_at == link.expires_at)
        and (not change.sets_limit or change.max_clicks == link.max_clicks)
    )


def _found(row: Any) -> ShortLink:
    if row is None:
        raise Problem(404, "there is no such link")
    return ShortLink(**row)


def _stale(link: ShortLink, versions: Sequence[int] | None) -> Problem:
    if versions:
        detail = f"the link is at version {link.version}, which If-Match does not name"
    else:
        detail = (
            "nothing in If-Match is a version: that is a number in quotes, without W/, "
            f'as "{link.version}", which this link is at'
        )
    return Problem(412, detail, headers={"ETag": f'"{link.version}"'})
