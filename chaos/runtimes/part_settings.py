"""Settings of Postgres and Redis that an arm changes: `postgres:NAME` and `redis:NAME`.

They are applied to running servers and waited for: a reload of Postgres is asynchronous, and writes
right after it would still be acknowledged under the old setting (measured: 2 of 21).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Protocol, get_args

import psycopg
import redis
from psycopg import sql

from chaos.model.stack import (
    SERVER_COUNT,
    Endpoints,
    Role,
    ServerName,
    Settings,
    StackError,
)
from chaos.runtimes.topology import having

POSTGRES, REDIS, TOPOLOGY = "postgres:", "redis:", "topology:"
PATIENCE_S = 5.0
POLL_S = 0.01
CONNECT_TIMEOUT_S = 2
BEFORE = "linkstorm:settings-before"  # a hash in Redis
SYNCHRONOUS = "synchronous_standby_names"
ROLE = re.compile(rf"\b({'|'.join(get_args(Role))})\b")
LOADED = "SELECT pg_conf_load_time()"
IN_SYNC = "SELECT count(*) FROM pg_stat_replication WHERE sync_state <> 'async'"
FOLLOWED = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"


class RolesAndAddresses(Protocol):
    """The parts of a stack that these settings need."""

    @property
    def endpoints(self) -> Endpoints:
        """Addresses of its parts now."""

    @property
    def roles(self) -> Mapping[Role, ServerName]:
        """The server that has each role now."""


def of_the_shortener(settings: Settings) -> Settings:
    """The settings that are the shortener's own."""
    return {n: v for n, v in settings.items() if not n.startswith((POSTGRES, REDIS, TOPOLOGY))}


def in_force(stack: RolesAndAddresses, settings: Settings) -> Mapping[str, Mapping[str, str]]:
    """The values that the primary and Redis themselves have for the settings that are named here.

    A value that names the server of a role is told as it was given, by the role. The number of
    servers is that of those which the primary sends its log to, and itself.
    """
    found: dict[str, dict[str, str]] = {}
    if named := _named(POSTGRES, settings):
        with _connected(stack.endpoints.primary) as primary:
            shown = {name: _shown(primary, name) for name in named}
        meant = _by_server(named, stack.roles)
        found["postgres"] = {
            POSTGRES + name: named[name] if value == meant[name] else value
            for name, value in shown.items()
        }
    if SERVER_COUNT in settings:
        with _connected(stack.endpoints.primary) as primary:
            own = {SERVER_COUNT: str(1 + _count(primary, FOLLOWED))}
        found["postgres"] = found.get("postgres", {}) | own
    if names := _named(REDIS, settings):
        with redis.Redis.from_url(stack.endpoints.redis, decode_responses=True) as client:
            found["redis"] = {REDIS + name: str(client.config_get(name)[name]) for name in names}
    return found


def of_parts(settings: Settings) -> Settings:
    """The settings of Postgres and Redis."""
    return {n: v for n, v in settings.items() if n.startswith((POSTGRES, REDIS))}


class PartSettings:
    """The settings of running servers that differ from their configuration.

    Every server of Postgres has them, so that they are in force on whichever is the primary.
    """

    def __init__(self, stack: RolesAndAddresses) -> None:
        self._stack = stack
        self._in_force: Settings | None = {}  # None: unknown, as they could not be applied

    def forget(self) -> None:
        """Take them as unknown: another process may have set some, and was killed."""
        self._in_force = None

    def apply(self, settings: Settings) -> None:
        """Apply these, and put back all others that were applied before.

        Raises:
            StackError: a server refuses one, or it is not in force after 5 s.
        """
        wanted, before = of_parts(settings), self._in_force
        if wanted == before:
            return
        self._in_force = None
        try:
            if before is None or _named(POSTGRES, wanted) != _named(POSTGRES, before):
                self._apply_to_postgres(_named(POSTGRES, wanted))
            if before is None or _named(REDIS, wanted) != _named(REDIS, before):
                self._apply_to_redis(_named(REDIS, wanted))
        except (psycopg.Error, redis.RedisError) as error:
            raise StackError(f"a setting was refused: {error}") from error
        self._in_force = wanted

    def follow_roles(self) -> None:
        """Apply them again, now that the servers have other roles; put back unknown ones."""
        wanted = self._in_force
        if wanted is None:
            self.apply({})
        elif _named(POSTGRES, wanted):
            self._in_force = {n: v for n, v in wanted.items() if n.startswith(REDIS)}
            self.apply(wanted)

    def _apply_to_postgres(self, given: Settings) -> None:
        """Apply them to the standbys first: the primary may have to wait for one."""
        roles, servers = self._stack.roles, self._stack.endpoints.servers
        named = set(ROLE.findall(given.get(SYNCHRONOUS, "")))
        all_there = len(roles) == len(servers)
        if all_there and (missing := named - roles.keys()):
            raise StackError(
                f"{SYNCHRONOUS} names the {', the '.join(sorted(missing))}, which there is not "
                f"among {len(servers)} servers: {SERVER_COUNT}=3 asks for three"
            )
        wanted = _by_server(given, roles)
        for role in reversed(get_args(Role)):
            if role in roles:
                with _connected(servers[roles[role]]) as server:
                    _alter(server, wanted)
        if wanted.get(SYNCHRONOUS) and all_there:
            with _connected(servers[roles["primary"]]) as primary:
                least = max(1, len(named))
                _wait(lambda: _count(primary, IN_SYNC) >= least, "a synchronous standby")

    def _apply_to_redis(self, wanted: Settings) -> None:
        """Apply them, and put back others: Redis keeps what they were before in `BEFORE`.

        It knows no other way back, and whoever set them may have been killed since.
        """
        with redis.Redis.from_url(self._stack.endpoints.redis, decode_responses=True) as client:
            before: Mapping[str, str] = client.hgetall(BEFORE)
            for name in wanted.keys() - before.keys():
                client.hset(BEFORE, name, client.config_get(name)[name])
            for name, value in {**before, **wanted}.items():
                client.config_set(name, value)
            if put_back := before.keys() - wanted.keys():
                client.hdel(BEFORE, *put_back)


def _named(prefix: str, settings: Settings) -> Mapping[str, str]:
    return {n.removeprefix(prefix): v for n, v in settings.items() if n.startswith(prefix)}


def _by_server(given: Settings, roles: Mapping[Role, ServerName]) -> dict[str, str]:
    """The settings with the name of the server in place of its role, where standbys are named.

    While nobody has a role that is named, nobody is waited for: a primary that lost its standby
    takes writes.
    """
    wanted = dict(given)
    names = wanted.get(SYNCHRONOUS, "")
    for role in set(ROLE.findall(names)):
        server = having(role, roles)
        names = re.sub(rf"\b{role}\b", f'"{server}"', names) if server else ""
    if SYNCHRONOUS in wanted:
        wanted[SYNCHRONOUS] = names
    return wanted


def _alter(connection: psycopg.Connection, wanted: Settings) -> None:
    """Give a server these settings and no others, and return when they are in force."""
    loaded = connection.execute(LOADED).fetchone()
    connection.execute("ALTER SYSTEM RESET ALL")
    for name, value in wanted.items():
        change = sql.SQL("ALTER SYSTEM SET {} = {}")
        connection.execute(change.format(sql.Identifier(name), sql.Literal(value)))
    connection.execute("SELECT pg_reload_conf()")
    _wait(lambda: connection.execute(LOADED).fetchone() != loaded, "a reload of Postgres")
    _wait(lambda: all(_shown(connection, n) == v for n, v in wanted.items()), str(wanted))


def _connected(url: str) -> psycopg.Connection:
    return psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)


def _shown(primary: psycopg.Connection, name: str) -> str:
    row = primary.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])


def _count(primary: psycopg.Connection, query: str) -> int:
    row = primary.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def _wait(reached: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not reached():
        if time.monotonic() > deadline_s:
            raise StackError(f"not in force after {PATIENCE_S:g} s: {what}")
        time.sleep(POLL_S)
