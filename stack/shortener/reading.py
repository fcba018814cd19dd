"""Connections for reading many keys with the least work: MGET, and nothing around it.

What redis-py does around a command (retries, pool, events) costs twice the command itself, and the
merged read of the hot path needs none of it. So this holds connections of redis-py by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Connection, ConnectionPool
from redis.exceptions import ConnectionError

_MOST = 32  # more reads than this under way at once means that Redis does not keep up


class Reader:
    """Reads keys; raises `RedisError` or `OSError`, and does not retry."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool: Any = pool  # partly without types
        self._idle: list[Connection] = []
        self._busy = 0

    async def mget(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """The values of these keys, in one command on a connection that nobody else uses."""
        if self._busy >= _MOST:
            raise ConnectionError(f"{_MOST} reads are under way already")
        self._busy += 1
        connection = self._idle.pop() if self._idle else self._pool.make_connection()
        try:
            command = connection.pack_command("MGET", *keys)
            await connection.send_packed_command(command, check_health=False)
            values: Sequence[bytes | None] = await connection.read_response()
        except BaseException:
            await connection.disconnect(nowait=True)  # its answer may still come
            await self.close()  # the others have likely lost the server too
            raise
        else:
            self._idle.append(connection)
            return values
        finally:
            self._busy -= 1

    async def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)
