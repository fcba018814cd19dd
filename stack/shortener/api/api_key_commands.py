"""Commands for API keys: `keys add NAME`, `keys list`, `keys revoke ID`."""

from __future__ import annotations

import asyncio
import secrets
import sys
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from stack.shortener.api.api_keys import hashed, new_key
from stack.shortener.infra.database import OUTAGES
from stack.shortener.settings import KeySettings

USAGE = "usage: python -m stack.shortener keys add NAME | list | revoke ID\n"
_NAME_MAX_LENGTH = 100
_ADD = "INSERT INTO api_keys (id, name, hash) VALUES ($1, $2, $3)"
_LIST = "SELECT id, name, created_at, revoked_at FROM api_keys ORDER BY created_at, id"
_REVOKE = "UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING id"


def run(arguments: list[str], settings: KeySettings) -> int:
    """Run a command; exit code 1 if the database fails, 2 for wrong usage."""
    try:
        match arguments:
            case ["add", name] if name.isprintable() and 0 < len(name.strip()) <= _NAME_MAX_LENGTH:
                return asyncio.run(_with_database(settings, _add, name.strip()))
            case ["list"]:
                return asyncio.run(_with_database(settings, _list))
            case ["revoke", key_id]:
                return asyncio.run(_with_database(settings, _revoke, key_id))
    except (*OUTAGES, asyncpg.PostgresError) as error:
        sys.stderr.write(f"the database failed: {error or type(error).__name__}\n")
        return 1
    sys.stderr.write(USAGE)
    return 2


async def _with_database(settings: KeySettings, command: Any, *arguments: str) -> int:
    timeout_s = settings.primary_timeout_s
    connection = await asyncpg.connect(
        settings.primary_url, timeout=timeout_s, command_timeout=timeout_s
    )
    try:
        code: int = await command(connection, *arguments)
        return code
    finally:
        await connection.close()


async def _add(connection: Any, name: str) -> int:
    key, key_id = new_key(), secrets.token_hex(6)
    await connection.execute(_ADD, key_id, name, hashed(key))
    sys.stderr.write(f"key {key_id} for {name}; it is shown only now:\n")
    sys.stdout.write(f"{key}\n")
    return 0


async def _list(connection: Any) -> int:
    for key_id, name, created_at, revoked_at in await connection.fetch(_LIST):
        state = f"revoked {revoked_at:%Y-%m-%d %H:%M}" if revoked_at else "in use"
        sys.stdout.write(f"{key_id}  made {created_at:%Y-%m-%d %H:%M}  {state}  {name}\n")
    return 0


async def _revoke(connection: Any, key_id: str) -> int:
    if await connection.fetchval(_REVOKE, key_id) is None:
        sys.stderr.write(f"there is no key {key_id} in use\n")
        return 1
    sys.stderr.write(f"key {key_id} is revoked\n")
    return 0
