"""Databases of their own for tests, on the primary of the session's stack."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from chaos.model.stack import Stack
from stack.shortener.infra.migrate import migrate

OWNER = "linkstorm"


@contextmanager
def empty_database(stack: Stack) -> Iterator[str]:
    """Create an empty database; yield its URL for the owner."""
    name = f"test_{secrets.token_hex(4)}"
    with psycopg.connect(stack.endpoints.primary, autocommit=True) as connection:
        made = sql.SQL("CREATE DATABASE {} OWNER {}")
        connection.execute(made.format(sql.Identifier(name), sql.Identifier(OWNER)))
        try:
            at = urlsplit(stack.endpoints.primary)
            yield urlunsplit(
                at._replace(netloc=f"{OWNER}@{at.hostname}:{at.port}", path=f"/{name}")
            )
        finally:
            ended = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            connection.execute(ended.format(sql.Identifier(name)))


@contextmanager
def laid_out_database(stack: Stack) -> Iterator[str]:
    """Create a database with the shortener's schema; yield its URL."""
    with empty_database(stack) as url:
        asyncio.run(migrate(url, 5))
        yield url
