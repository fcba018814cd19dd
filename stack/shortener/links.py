"""Links in the primary database: made, changed, ended, and made only once however often asked."""

from __future__ import annotations

import hashlib
import json
import secrets
import string
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stack.shortener.db import Database
from stack.shortener.inputs import Change, NewLink
from stack.shortener.problems import Problem

_ALPHABET = string.ascii_letters + string.digits
_CODE_LENGTH = 10  # 62^10: a guess at a billion codes a second takes decades to find one in use
_ATTEMPTS = 8
_COLUMNS = "code, url, version, disabled, expires_at, created_at, updated_at"

INSERT = f"""INSERT INTO links (code, url, expires_at) VALUES ($1, $2, $3)
ON CONFLICT (code) DO NOTHING RETURNING {_COLUMNS}"""
SELECT = f"SELECT {_COLUMNS} FROM links WHERE code = $1 AND NOT deleted"
UPDATE = f"""UPDATE links SET
  url = coalesce($2, url), disabled = coalesce($3, disabled),
  expires_at = CASE WHEN $4 THEN $5 ELSE expires_at END,
  version = version + 1, updated_at = now()
WHERE code = $1 AND NOT deleted RETURNING {_COLUMNS}"""
DELETE = """UPDATE links SET deleted = true, version = version + 1, updated_at = now()
WHERE code = $1 AND NOT deleted RETURNING version"""
_CLAIM = """INSERT INTO idempotency_keys (key, fingerprint) VALUES ($1, $2)
ON CONFLICT (key) DO NOTHING RETURNING key"""
_EARLIER = "SELECT fingerprint, answer FROM idempotency_keys WHERE key = $1"
_REMEMBER = "UPDATE idempotency_keys SET code = $2, answer = $3 WHERE key = $1"
_TOTAL = "SELECT total, bots FROM link_clicks WHERE code = $1"
_DAYS = "SELECT day, total, bots FROM day_clicks WHERE code = $1 ORDER BY day DESC LIMIT 366"
_REFERRERS = """SELECT referrer, total FROM referrer_clicks WHERE code = $1
ORDER BY total DESC, referrer LIMIT 50"""

STATEMENTS = (INSERT, SELECT, UPDATE, DELETE)


@dataclass(frozen=True)
class Link:
    """A link as its owner sees it."""

    code: str
    url: str
    version: int
    disabled: bool
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Links:
    """The links of the primary; every method raises `Problem` or `DatabaseUnavailable`."""

    primary: Database

    async def create(self, wanted: NewLink) -> Link:
        """Make a link; 409 if the alias is taken."""
        async with self.primary.connection() as connection:
            return await _insert(connection, wanted)

    async def create_once(self, key: str, wanted: NewLink) -> tuple[Link, bool]:
        """Make a link once for this key, and say whether it was made now.

        The same request again, even at the same time, gets the link of the first one; another
        request with the same key is a 422. The primary key of the table decides who is first: the
        second insert waits until the first transaction ends.
        """
        fingerprint = _fingerprint(wanted)
        async with self.primary.connection() as connection, connection.transaction():
            if await connection.fetchval(_CLAIM, key, fingerprint) is None:
                earlier = await connection.fetchrow(_EARLIER, key)
                return _same(earlier, fingerprint), False
            link = await _insert(connection, wanted)
            await connection.execute(_REMEMBER, key, link.code, _dump(link))
            return link, True

    async def get(self, code: str) -> Link:
        """The link, or 404."""
        async with self.primary.connection() as connection:
            return _found(await connection.fetchrow(SELECT, code))

    async def update(self, code: str, change: Change) -> Link:
        """Change a link, which makes it one version newer; 404 if there is none."""
        async with self.primary.connection() as connection:
            row = await connection.fetchrow(
                UPDATE, code, change.url, change.disabled, change.sets_expiry, change.expires_at
            )
        return _found(row)

    async def delete(self, code: str) -> int:
        """End a link for good, and return the version that its end is; 404 if there is none."""
        async with self.primary.connection() as connection:
            version: int | None = await connection.fetchval(DELETE, code)
        if version is None:
            raise _no_such_link()
        return version

    async def stats(self, code: str) -> dict[str, Any]:
        """Clicks counted so far: all, those by bots, by day and by referring site."""
        async with self.primary.connection() as connection:
            _found(await connection.fetchrow(SELECT, code))
            total = await connection.fetchrow(_TOTAL, code)
            days = await connection.fetch(_DAYS, code)
            referrers = await connection.fetch(_REFERRERS, code)
        return {
            "code": code,
            "total": total["total"] if total else 0,
            "bots": total["bots"] if total else 0,
            "days": [
                {"day": row["day"].isoformat(), "total": row["total"], "bots": row["bots"]}
                for row in days
            ],
            "referrers": [dict(row) for row in referrers],
        }


async def _insert(connection: Any, wanted: NewLink) -> Link:
    if wanted.alias is not None:
        row = await connection.fetchrow(INSERT, wanted.alias, wanted.url, wanted.expires_at)
        if row is None:
            raise Problem(409, f"the alias {wanted.alias} is taken", field="alias")
        return Link(**dict(row))
    for _ in range(_ATTEMPTS):
        code = new_code()
        row = await connection.fetchrow(INSERT, code, wanted.url, wanted.expires_at)
        if row is not None:
            return Link(**dict(row))
    raise Problem(503, "no free code was found; try again", headers={"Retry-After": "1"})


def new_code() -> str:
    """A code that nobody can guess from others; whether it is free, the database decides."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_LENGTH))


def _found(row: Any) -> Link:
    if row is None:
        raise _no_such_link()
    return Link(**dict(row))


def _no_such_link() -> Problem:
    return Problem(404, "there is no such link")


def _fingerprint(wanted: NewLink) -> bytes:
    return hashlib.sha256(json.dumps(vars(wanted), default=str, sort_keys=True).encode()).digest()


def _same(earlier: Any, fingerprint: bytes) -> Link:
    if earlier is None:
        raise Problem(503, "this Idempotency-Key just ran out; try again")
    if earlier["fingerprint"] != fingerprint:
        raise Problem(422, "this Idempotency-Key was used for another request")
    members = json.loads(earlier["answer"])
    for name in ("expires_at", "created_at", "updated_at"):
        members[name] = datetime.fromisoformat(members[name]) if members[name] else None
    return Link(**members)


def _dump(link: Link) -> str:
    return json.dumps(vars(link), default=datetime.isoformat)
