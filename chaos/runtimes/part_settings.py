"""Settings of Postgres and Redis that an arm changes: `postgres:NAME` and `redis:NAME`.

They are applied to running servers and waited for: a reload of Postgres is asynchronous, and writes
right after it would still be acknowledged under the old setting (measured: 2 of 21).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import psycopg
import redis
from psycopg import sql

from chaos.model.stack import Endpoints, Settings, StackError

POSTGRES, REDIS = "postgres:", "redis:"
PATIENCE_S = 5.0
POLL_S = 0.01
CONNECT_TIMEOUT_S = 2
SYNCHRONOUS = "synchronous_standby_names"
IN_SYNC = "SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"


def of_the_shortener(settings: Settings) -> Settings:
    """The settings that are the shortener's own."""
    return {n: v for n, v in settings.items() if not n.startswith((POSTGRES, REDIS))}


def in_force(endpoints: Endpoints, settings: Settings) -> Mapping[str, Mapping[str, str]]:
    """The values that Postgres and Redis themselves have for the settings that are named here."""
    found: dict[str, dict[str, str]] = {}
    if names := _named(POSTGRES, settings):
        with psycopg.connect(
            endpoints.primary, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S
        ) as primary:
            found["postgres"] = {POSTGRES + name: _shown(primary, name) for name in names}
    if names := _named(REDIS, settings):
        with redis.Redis.from_url(endpoints.redis, decode_responses=True) as client:
            found["redis"] = {REDIS + name: str(client.config_get(name)[name]) for name in names}
    return found


def of_parts(settings: Settings) -> Settings:
    """The settings of Postgres and Redis."""
    return {n: v for n, v in settings.items() if n.startswith((POSTGRES, REDIS))}


class PartSettings:
    """The settings of running servers that differ from their configuration."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._redis_before: dict[str, str] = {}
        self._in_force: Settings = {}

    def apply(self, settings: Settings) -> None:
        """Apply these, and put back all others that were applied before.

        Raises:
            StackError: a server refuses one, or it is not in force after 5 s.
        """
        wanted, before = of_parts(settings), self._in_force
        if wanted == before:
            return
        try:
            self._apply_to_postgres(_named(POSTGRES, wanted), _named(POSTGRES, before))
            self._apply_to_redis(_named(REDIS, wanted))
        except (psycopg.Error, redis.RedisError) as error:
            raise StackError(f"a setting was refused: {error}") from error
        self._in_force = wanted

    def _apply_to_postgres(self, wanted: Settings, before: Settings) -> None:
        if wanted == before:
            return
        with psycopg.connect(
            self._endpoints.primary, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S
        ) as primary:
            for name in before.keys() - wanted.keys():
                primary.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))
            for name, value in wanted.items():
                change = sql.SQL("ALTER SYSTEM SET {} = {}")
                primary.execute(change.format(sql.Identifier(name), sql.Literal(value)))
                self._in_force = {**self._in_force, f"{POSTGRES}{name}": value}
            primary.execute("SELECT pg_reload_conf()")
            _wait(lambda: all(_shown(primary, n) == v for n, v in wanted.items()), str(wanted))
            if wanted.get(SYNCHRONOUS):
                _wait(lambda: _is(primary, IN_SYNC), "a synchronous standby")

    def _apply_to_redis(self, wanted: Settings) -> None:
        if wanted.keys() | self._redis_before.keys():
            with redis.Redis.from_url(self._endpoints.redis, decode_responses=True) as client:
                for name in wanted.keys() - self._redis_before.keys():
                    self._redis_before[name] = client.config_get(name)[name]
                for name, value in {**self._redis_before, **wanted}.items():
                    client.config_set(name, value)


def _named(prefix: str, settings: Settings) -> Mapping[str, str]:
    return {n.removeprefix(prefix): v for n, v in settings.items() if n.startswith(prefix)}


def _shown(primary: psycopg.Connection, name: str) -> str:
    row = primary.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])


def _is(primary: psycopg.Connection, query: str) -> bool:
    row = primary.execute(query.encode()).fetchone()
    return row is not None and bool(row[0])


def _wait(reached: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not reached():
        if time.monotonic() > deadline_s:
            raise StackError(f"not in force after {PATIENCE_S:g} s: {what}")
        time.sleep(POLL_S)
