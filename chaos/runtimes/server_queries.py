"""Queries of the servers for their roles, and the statements that change these."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, TypeVar

import psycopg

from chaos.model.stack import ServerName, StackError
from chaos.runtimes.topology import slot

Answer = TypeVar("Answer")

CONNECT_TIMEOUT_S = 2  # the minimum of libpq
ANSWER_TIMEOUT_S = 1.0
CHOSEN_S, PROMOTED_S, FOLLOWS_S, DROPPED_S = 3.0, 10.0, 20.0, 5.0
RELOADED_S = 10.0
PROMOTION_POLL_S = 0.002
POLL_S = 0.01

# 0 in recovery: that function is an error there. The control file may still name the timeline
# before the promotion.
TIMELINE = """
    SELECT CASE WHEN pg_is_in_recovery() THEN 0 ELSE
        ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END
"""
# Of a standby, the timeline that it receives, or the one of what it has: the control file names it.
STANDING = """
    SELECT NOT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN
        coalesce((SELECT received_tli FROM pg_stat_wal_receiver WHERE status = 'streaming'),
            nullif(min_recovery_end_timeline, 0), timeline_id)
        ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END,
        (CASE WHEN pg_is_in_recovery()
            THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
            ELSE pg_current_wal_flush_lsn() END - '0/0')::float8
    FROM pg_control_recovery(), pg_control_checkpoint()
"""
FOLLOWS = """
    SELECT coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false) AND EXISTS (
        SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming' AND received_tli = %s)
"""
LOST_SLOT = """
    SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
    WHERE slot_name = %s AND NOT active AND wal_status = 'lost'
"""
NEW_SLOT = """
    SELECT pg_create_physical_replication_slot(%s, true)
    WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s)
"""
FLUSH = "SELECT pg_logical_emit_message(false, 'linkstorm', '', true)"  # no commit, no waiting
READ_ONLY = "SELECT current_setting('default_transaction_read_only') = 'on'"
WRITABLE = "ALTER SYSTEM RESET default_transaction_read_only"
HAS_SLOT = "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s)"
LEFT_SLOT = """
    SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
    WHERE slot_name = %s AND NOT active
"""
UNUSED_SLOTS = """
    SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active
"""


def timelines(servers: Mapping[ServerName, str]) -> Mapping[ServerName, int]:
    """The timeline that each server writes, 0 of a standby; without those that do not answer."""
    return _of_each(timeline, servers)


def furthest_standby(servers: Mapping[ServerName, str]) -> ServerName:
    """The standby that has received most of the log, of those that answer; of several the first.

    Raises:
        StackError: none answers.
    """
    received: dict[ServerName, float] = {}

    def one_answers() -> bool:
        standings = _of_each(standing, servers)
        own = [server for server in servers if server in standings]
        received.update((s, standings[s].lsn_bytes) for s in own if not standings[s].leads)
        return bool(received)

    nobody = f"nothing can be promoted: no standby answers of {', '.join(servers)}"
    _wait(one_answers, nobody, CHOSEN_S, POLL_S)
    return max(received, key=lambda server: received[server])


def _of_each(
    query: Callable[[str], Answer], servers: Mapping[ServerName, str]
) -> Mapping[ServerName, Answer]:
    """The answers of the servers, queried at once. A late query is left to end by itself."""
    threads = ThreadPoolExecutor(len(servers))
    asked = {threads.submit(query, url): server for server, url in servers.items()}
    answered, _ = wait(asked, ANSWER_TIMEOUT_S)
    threads.shutdown(wait=False)
    return {asked[one]: one.result() for one in answered if one.exception() is None}


def timeline(url: str) -> int:
    """The timeline that a server writes; 0 of a standby."""
    with _connected(url) as server:
        return int(_one(server, TIMELINE))


@dataclass(frozen=True)
class Standing:
    """A server's own account; `lsn_bytes` is the length of its log, since the very first."""

    leads: bool
    timeline: int
    lsn_bytes: float


def standing(url: str) -> Standing:
    """The role, timeline and log position of a server.

    Raises:
        StackError: it does not answer.
    """
    with explained("a server does not say how it stands"), _connected(url) as server:
        row = server.execute(STANDING).fetchone()
        assert row is not None
        return Standing(bool(row[0]), int(row[1]), float(row[2]))


def promote(server: ServerName, url: str) -> None:
    """Promote a standby, and return when it takes writes.

    `pg_promote` itself would look only each 100 ms.
    """
    with explained(f"{server} cannot be promoted"), _connected(url) as standby:
        if not _one(standby, "SELECT pg_is_in_recovery()"):
            raise StackError(f"{server} cannot be promoted: it is no standby")
        _one(standby, "SELECT pg_promote(wait => false)")
        _wait(
            lambda: not _one(standby, "SELECT pg_is_in_recovery()"),
            f"{server} was not promoted within {PROMOTED_S:g} s",
            PROMOTED_S,
            PROMOTION_POLL_S,
        )


def let_write(url: str) -> None:
    """Let a primary that was demoted take writes again; return when it does.

    Raises:
        StackError: it does not.
    """
    with explained("the primary cannot be let write"), _connected(url) as primary:
        if not _one(primary, READ_ONLY):
            return
        primary.execute(WRITABLE)
        primary.execute("SELECT pg_reload_conf()")
        _wait(
            lambda: not _one(primary, READ_ONLY),
            f"the primary still takes no writes, {RELOADED_S:g} s after it was let",
            RELOADED_S,
            POLL_S,
        )


def flush(primary_url: str) -> None:
    """Have the primary flush its log to the end, so that it is sent.

    A rewound server is ready once it has all that was inserted by then. An idle primary would flush
    the last of it after 15 s.
    """
    with explained("the primary did not flush its log"), _connected(primary_url) as primary:
        primary.execute(FLUSH)


def checkpoint(url: str) -> None:
    """Have a server begin a checkpoint and end it: a later rewind goes back no further."""
    with explained("there is no checkpoint"), _connected(url) as server:
        server.execute("CHECKPOINT")


def prepare_slot(primary_url: str, server: ServerName) -> None:
    """Have the primary keep what the server will need as its standby."""
    with explained("the primary did not make a slot"), _connected(primary_url) as primary:
        primary.execute(LOST_SLOT, [slot(server)])
        primary.execute(NEW_SLOT, [slot(server), slot(server)])


def drop_slot(primary_url: str, server: ServerName) -> None:
    """Have the primary keep nothing more for a server that has left.

    It may take the primary a moment to notice.
    """
    with explained("the primary did not drop a slot"), _connected(primary_url) as primary:

        def is_gone() -> bool:
            primary.execute(LEFT_SLOT, [slot(server)])
            return not _one(primary, HAS_SLOT, slot(server))

        in_use = f"the slot of {server} was in use for {DROPPED_S:g} s after it left"
        _wait(is_gone, in_use, DROPPED_S, POLL_S)


def drop_unused_slots(url: str) -> None:
    """Drop the slots of a server that was a primary: each would keep log for nobody."""
    with _connected(url) as server:
        server.execute(UNUSED_SLOTS)


def wait_until_it_follows(
    server: ServerName, url: str, primary_url: str, within_s: float = FOLLOWS_S
) -> None:
    """Return when the server streams the primary's timeline, and has all that it had just now.

    Raises:
        StackError: it does not follow in time, or at all.
    """
    with explained(f"{server} does not follow"), _connected(primary_url) as primary:
        own = _one(primary, TIMELINE)
        end = _one(primary, "SELECT pg_current_wal_flush_lsn()::text")
    with explained(f"{server} does not follow"), _connected(url) as standby:
        if not _one(standby, "SELECT pg_is_in_recovery()"):
            raise StackError(f"{server} does not follow: it is no standby")
        _wait(
            lambda: bool(_one(standby, FOLLOWS, end, own)),
            f"{server} did not follow within {within_s:g} s",
            within_s,
            POLL_S,
        )


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Raise what Postgres or the connection to it raises as a `StackError`, after these words."""
    try:
        yield
    except psycopg.Error as error:
        raise StackError(f"{what}: {str(error).strip()}") from error


def _wait(reached: Callable[[], bool], otherwise: str, within_s: float, poll_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    while not reached():
        if time.monotonic() > deadline_s:
            raise StackError(otherwise)
        time.sleep(poll_s)


def _connected(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, sslmode="disable"
    )


def _one(server: psycopg.Connection[Any], query: LiteralString, *values: object) -> Any:
    row = server.execute(query, values or None).fetchone()
    assert row is not None
    return row[0]
