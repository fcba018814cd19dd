"""Creation of links in the primary database, idempotent under an Idempotency-Key."""

from __future__ import annotations

import hashlib
import json
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from stack.shortener.api import aliases
from stack.shortener.api.answers import ShortLink
from stack.shortener.api.bodies import NewLink
from stack.shortener.http.problems import Problem
from stack.shortener.infra.database import Database

_ALPHABET = string.ascii_letters + string.digits
_ATTEMPTS = 8

INSERT = """INSERT INTO links (code, url, expires_at, max_clicks, owner)
VALUES ($1, $2, $3, $4, $5) ON CONFLICT (code) DO NOTHING RETURNING created_at"""
INSERT_ALL = """INSERT INTO links (code, url, expires_at, max_clicks, owner)
SELECT code, url, expires_at, max_clicks, $1::text
FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::bigint[])
  AS wanted (code, url, expires_at, max_clicks)
RETURNING created_at"""
# The insert of a key waits for a concurrent one with the same key to commit or roll back. A code
# that is taken fails the whole statement, which also rolls the key back.
INSERT_ONCE = """WITH claim AS (
  INSERT INTO idempotency_keys (owner, key, fingerprint, code, answer)
  VALUES (coalesce($1::text, ''), $6, $7, $8, $9)
  ON CONFLICT (owner, key) DO NOTHING RETURNING key
)
INSERT INTO links (code, url, expires_at, max_clicks, owner)
SELECT code, url, expires_at, max_clicks, $1::text
FROM claim, unnest($2::text[], $3::text[], $4::timestamptz[], $5::bigint[])
  AS wanted (code, url, expires_at, max_clicks)
RETURNING created_at"""
EARLIER = """SELECT fingerprint, answer, created_at FROM idempotency_keys
WHERE owner = coalesce($1::text, '') AND key = $2"""
TAKEN = "SELECT code FROM links WHERE code = ANY ($1::text[])"
STATEMENTS = (INSERT, INSERT_ALL, INSERT_ONCE, EARLIER, TAKEN)


@dataclass(frozen=True)
class LinkCreation:
    """Creates links for an owner; every method raises `Problem` or `DatabaseUnavailable`."""

    primary: Database
    code_length: int

    async def create(self, wanted: NewLink, owner: str | None) -> ShortLink:
        """Create a link in one statement; 409 if the alias is taken."""
        async with self.primary.connection() as connection:
            for _ in range(_ATTEMPTS):
                code = wanted.alias or new_code(self.code_length)
                created_at = await connection.fetchval(
                    INSERT, code, wanted.url, wanted.expires_at, wanted.max_clicks, owner
                )
                if created_at is not None:
                    return _new_link(code, vars(wanted), created_at)
                if wanted.alias is not None:
                    raise Problem(409, f"the alias {code} is taken", field="alias")
        raise _no_free_code()

    async def create_all(self, wanted: Sequence[NewLink], owner: str | None) -> list[ShortLink]:
        """Create all these links or none, in one statement; 409 if an alias is taken."""
        return (await self._insert(wanted, owner, None))[0]

    async def create_once(
        self,
        key: str,
        wanted: Sequence[NewLink],
        owner: str | None,
        *,
        bulk: bool,
        rejected: Problem | None = None,
    ) -> tuple[list[ShortLink], bool]:
        """Create these links once per key; return them and whether they were created now.

        A repeated request, even a concurrent one, gets the links of the first; another request
        with the same key is a 422. The table's primary key decides which is first. With
        `rejected`, links of an earlier request are returned, but none are created.
        """
        fingerprint = _fingerprint(wanted, bulk)
        if rejected is None:
            return await self._insert(wanted, owner, (key, fingerprint), bulk=bulk)
        async with self.primary.connection() as connection:
            earlier = await connection.fetchrow(EARLIER, owner, key)
        if earlier is None:
            raise rejected
        return _replayed(earlier, fingerprint), False

    async def _insert(
        self,
        wanted: Sequence[NewLink],
        owner: str | None,
        claim: tuple[str, bytes] | None,
        *,
        bulk: bool = True,
    ) -> tuple[list[ShortLink], bool]:
        async with self.primary.connection() as connection:
            for _ in range(_ATTEMPTS):
                codes = [each.alias or new_code(self.code_length) for each in wanted]
                try:
                    created_at = await _insert(connection, codes, wanted, owner, claim)
                except asyncpg.UniqueViolationError:
                    taken = await connection.fetch(TAKEN, codes)
                    _reject_taken({row["code"] for row in taken}, wanted, bulk)
                    continue
                if created_at is not None:
                    pairs = zip(codes, map(vars, wanted), strict=True)
                    return [_new_link(*pair, created_at) for pair in pairs], True
                if claim is not None:
                    earlier = await connection.fetchrow(EARLIER, owner, claim[0])
                    return _replayed(earlier, claim[1]), False
        raise _no_free_code()


def new_code(length: int) -> str:
    """A random code, not guessable from other codes; it may be taken already."""
    number = secrets.randbelow(len(_ALPHABET) ** length)
    letters = []
    for _ in range(length):
        number, letter = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[letter])
    code = "".join(letters)
    return new_code(length) if aliases.is_reserved(code) else code


async def _insert(
    connection: Any,
    codes: Sequence[str],
    wanted: Sequence[NewLink],
    owner: str | None,
    claim: tuple[str, bytes] | None,
) -> datetime | None:
    """Insert the links; `None` if another request with the same key has created them."""
    rows = sorted(zip(codes, wanted, strict=True), key=itemgetter(0))  # against deadlocks
    columns = (
        owner,
        [code for code, _ in rows],
        [each.url for _, each in rows],
        [each.expires_at for _, each in rows],
        [each.max_clicks for _, each in rows],
    )
    if claim is None:
        created_at: datetime | None = await connection.fetchval(INSERT_ALL, *columns)
    else:
        created = [[code, each.model_dump()] for code, each in zip(codes, wanted, strict=True)]
        answer = json.dumps(created, default=datetime.isoformat)
        created_at = await connection.fetchval(INSERT_ONCE, *columns, *claim, codes[0], answer)
    return created_at


def _new_link(code: str, wanted: Mapping[str, Any], created_at: datetime) -> ShortLink:
    """The link as stored, without another query, from the members of a `NewLink`."""
    return ShortLink(
        code=code,
        url=wanted["url"],
        version=1,
        disabled=False,
        expires_at=wanted["expires_at"],
        max_clicks=wanted["max_clicks"],
        uses=0,
        created_at=created_at,
        updated_at=created_at,
    )


def _reject_taken(taken: set[str], wanted: Sequence[NewLink], bulk: bool) -> None:
    """Raise a 409 that names every taken alias; a taken random code raises nothing."""
    wrong = [
        (f"#/links/{index}/alias" if bulk else "#/alias", f"the alias {each.alias} is taken")
        for index, each in enumerate(wanted)
        if each.alias in taken
    ]
    if wrong:
        raise Problem(409, wrong[0][1], wrong=wrong)


def _no_free_code() -> Problem:
    return Problem(503, "no free code was found; try again", headers={"Retry-After": "1"})


def _fingerprint(wanted: Sequence[NewLink], bulk: bool) -> bytes:
    request = json.dumps(
        [bulk, *(each.model_dump() for each in wanted)], default=str, sort_keys=True
    )
    return hashlib.sha256(request.encode()).digest()


def _replayed(earlier: Any, fingerprint: bytes) -> list[ShortLink]:
    if earlier is None:
        retry = {"Retry-After": "1"}
        raise Problem(503, "this Idempotency-Key has just expired; try again", headers=retry)
    if earlier["fingerprint"] != fingerprint:
        raise Problem(422, "this Idempotency-Key was used for another request")
    return [
        _new_link(code, members, earlier["created_at"])
        for code, members in json.loads(earlier["answer"])
    ]
