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
from stack.shortener.api.links import READ_BACK
from stack.shortener.api.writes import Conflict, OutcomeUnknown, Writer, Written
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
# Locked as in links.READ_BACK, so that a repeated request is acknowledged no sooner than the first.
EARLIER = """SELECT fingerprint, answer, created_at FROM idempotency_keys
WHERE owner = coalesce($1::text, '') AND key = $2 FOR KEY SHARE"""
TAKEN = "SELECT code FROM links WHERE code = ANY ($1::text[])"
STATEMENTS = (INSERT, INSERT_ALL, INSERT_ONCE, EARLIER, TAKEN)


@dataclass(frozen=True)
class LinkCreation:
    """Creates links for an owner; every method raises `Problem` or `DatabaseUnavailable`."""

    primary: Database
    writer: Writer
    code_length: int

    async def create(self, wanted: NewLink, owner: str | None) -> Written[ShortLink]:
        """Create a link in one statement; 409 if the alias is taken."""
        for _ in range(_ATTEMPTS):
            new = _NewLinks.drawn([wanted], owner, self.code_length)
            try:
                return await self.writer.write(new.insert_one, new.read_back_one)
            except Conflict:
                if wanted.alias is not None:
                    detail = f"the alias {wanted.alias} is taken"
                    raise Problem(409, detail, field="alias") from None
        raise _no_free_code()

    async def create_all(
        self, wanted: Sequence[NewLink], owner: str | None
    ) -> Written[Sequence[ShortLink]]:
        """Create all these links or none, in one statement; 409 if an alias is taken."""
        return await self._insert(wanted, owner, bulk=True)

    async def create_once(
        self,
        key: str,
        wanted: Sequence[NewLink],
        owner: str | None,
        *,
        bulk: bool,
        rejected: Problem | None = None,
    ) -> Written[Sequence[ShortLink]]:
        """Create these links once per key.

        A repeated request, even a concurrent one, gets the links of the first; another request
        with the same key is a 422. The table's primary key decides which is first. With
        `rejected`, links of an earlier request are returned, but none are created.
        """
        fingerprint = _fingerprint(wanted, bulk)
        if rejected is None:
            return await self._insert(wanted, owner, _Claim(key, fingerprint), bulk=bulk)
        refusal = rejected

        async def earlier(connection: Any) -> Sequence[ShortLink]:
            row = await connection.fetchrow(EARLIER, owner, key)
            if row is None:
                raise refusal
            return _replayed(row, fingerprint)

        return await self.writer.write(earlier, earlier)

    async def _insert(
        self,
        wanted: Sequence[NewLink],
        owner: str | None,
        claim: _Claim | None = None,
        *,
        bulk: bool,
    ) -> Written[Sequence[ShortLink]]:
        for _ in range(_ATTEMPTS):
            new = _NewLinks.drawn(wanted, owner, self.code_length, claim)
            try:
                return await self.writer.write(new.insert, new.read_back)
            except Conflict:
                async with self.primary.connection() as connection:
                    taken = await connection.fetch(TAKEN, new.codes)
                _reject_taken({row["code"] for row in taken}, wanted, bulk)
        raise _no_free_code()


@dataclass(frozen=True)
class _Claim:
    """An Idempotency-Key, and what tells its request from others."""

    key: str
    fingerprint: bytes


@dataclass(frozen=True)
class _NewLinks:
    """Links with the codes that they keep in every attempt to insert them."""

    codes: Sequence[str]
    wanted: Sequence[NewLink]
    owner: str | None
    claim: _Claim | None

    @classmethod
    def drawn(
        cls,
        wanted: Sequence[NewLink],
        owner: str | None,
        length: int,
        claim: _Claim | None = None,
    ) -> _NewLinks:
        """The links with their aliases, or with random codes."""
        codes = [each.alias or new_code(length) for each in wanted]
        return cls(codes, wanted, owner, claim)

    async def insert_one(self, connection: Any) -> ShortLink:
        """Insert the only link."""
        (code,), (wanted,) = self.codes, self.wanted
        created_at = await connection.fetchval(
            INSERT, code, wanted.url, wanted.expires_at, wanted.max_clicks, self.owner
        )
        if created_at is None:
            raise Conflict
        return _new_link(code, vars(wanted), created_at)

    async def read_back_one(self, connection: Any) -> ShortLink | None:
        """The only link, if it is there and ours."""
        links = await self.read_back(connection)
        return links[0] if links else None

    async def insert(self, connection: Any) -> Sequence[ShortLink]:
        """Insert all links, or find those of an earlier request with the same key."""
        try:
            created_at = await self._insert(connection)
        except asyncpg.UniqueViolationError:
            raise Conflict from None
        if created_at is not None:
            return self._made(created_at)
        assert self.claim is not None
        earlier = await connection.fetchrow(EARLIER, self.owner, self.claim.key)
        return _replayed(earlier, self.claim.fingerprint)

    async def read_back(self, connection: Any) -> Sequence[ShortLink] | None:
        """The links, if they are there and ours.

        All were inserted by one statement, so one random code speaks for all. An alias does not: a
        link that is just as wanted may be another's.
        """
        if self.claim is not None:
            earlier = await connection.fetchrow(EARLIER, self.owner, self.claim.key)
            return _replayed(earlier, self.claim.fingerprint) if earlier else None
        code, wanted = min(
            zip(self.codes, self.wanted, strict=True), key=lambda pair: pair[1].alias is not None
        )
        row = await connection.fetchrow(READ_BACK, code, self.owner)
        if row is None or not _is_as_wanted(row, wanted):
            return None
        if wanted.alias is not None:
            detail = f"the alias {code} is there, and nothing tells whose it is"
            raise OutcomeUnknown(detail, may_be_done=True)
        return self._made(row["created_at"])

    async def _insert(self, connection: Any) -> datetime | None:
        """Insert the links; `None` if another request with the same key has created them."""
        rows = sorted(zip(self.codes, self.wanted, strict=True), key=itemgetter(0))  # no deadlocks
        columns = (
            self.owner,
            [code for code, _ in rows],
            [each.url for _, each in rows],
            [each.expires_at for _, each in rows],
            [each.max_clicks for _, each in rows],
        )
        created_at: datetime | None
        if self.claim is None:
            created_at = await connection.fetchval(INSERT_ALL, *columns)
            return created_at
        pairs = zip(self.codes, self.wanted, strict=True)
        answer = json.dumps(
            [[code, each.model_dump()] for code, each in pairs], default=datetime.isoformat
        )
        claim = self.claim.key, self.claim.fingerprint, self.codes[0], answer
        created_at = await connection.fetchval(INSERT_ONCE, *columns, *claim)
        return created_at

    def _made(self, created_at: datetime) -> Sequence[ShortLink]:
        pairs = zip(self.codes, self.wanted, strict=True)
        return [_new_link(code, vars(each), created_at) for code, each in pairs]


def new_code(length: int) -> str:
    """A random code, not guessable from other codes; it may be taken already."""
    number = secrets.randbelow(len(_ALPHABET) ** length)
    letters = []
    for _ in range(length):
        number, letter = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[letter])
    code = "".join(letters)
    return new_code(length) if aliases.is_reserved(code) else code


def _is_as_wanted(row: Any, wanted: NewLink) -> bool:
    members = ("url", "expires_at", "max_clicks")
    return row["version"] == 1 and all(row[name] == getattr(wanted, name) for name in members)


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
