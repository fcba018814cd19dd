"""A watchdog beside the primary, which acts once no standby follows it any more.

A primary that nobody follows cannot know if another one was promoted. To refuse writes in time is
the fence that needs no contact. Where nobody promotes, commits that wait for the standby can be
let go instead: writes go on, and may be lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
from psycopg import sql

from chaos.failover.orders import ALONE, DEGRADED, DEMOTED, WATCHING, Watch
from chaos.model.stack import StackError

Report = Callable[..., None]
PERIOD_S = 0.05
REACTS_S = 10.0
STREAMING = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
READ_ONLY = "ALTER SYSTEM SET default_transaction_read_only = on"
IN_FORCE = "SELECT current_setting('default_transaction_read_only') = 'on'"
STANDBYS = "SELECT current_setting('synchronous_standby_names')"
WAIT_FOR = "ALTER SYSTEM SET synchronous_standby_names = {}"
SESSIONS = "SELECT pid FROM pg_stat_activity WHERE usename = %s"
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid"
REMAIN = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)"


def watch(order: Watch, report: Report) -> None:
    """Return once the primary is demoted, or degraded.

    Raises:
        psycopg.Error: it does not answer.
        StackError: it does not do as it is set.
    """
    with psycopg.connect(order.primary, autocommit=True, sslmode="disable") as primary:
        followed_s = time.monotonic()
        report(WATCHING, lost_s=order.lost_s)
        while time.monotonic() - followed_s < order.lost_s:
            if _one(primary, STREAMING):
                followed_s = time.monotonic()
            time.sleep(PERIOD_S)
        report(ALONE, followed_s=followed_s)
        if order.then == "demote":
            demote(primary, order.role)
            report(DEMOTED)
        else:
            report(DEGRADED, before=degrade(primary))


def demote(primary: psycopg.Connection, role: str) -> None:
    """Refuse writes from now on, and end the sessions that may still be writing.

    The setting alone would leave a session that has set its own, or is within a transaction. None
    of them is left on return: one amid a commit would acknowledge it. New ones only read.

    Raises:
        StackError: it still takes writes, or has such a session, after `REACTS_S`.
    """
    primary.execute(READ_ONLY)
    primary.execute("SELECT pg_reload_conf()")
    _until(lambda: bool(_one(primary, IN_FORCE)), "takes writes")
    sessions = [pid for (pid,) in primary.execute(SESSIONS, [role])]
    primary.execute(END_SESSIONS, [sessions])
    _until(
        lambda: primary.execute(REMAIN, [sessions]).fetchone() == (0,),
        f"has sessions of {role} from before",
    )


def degrade(primary: psycopg.Connection) -> str:
    """Let commits wait for no standby, pending ones included; return the setting before."""
    before = str(_one(primary, STANDBYS))
    wait_for(primary, "")
    return before


def wait_for(primary: psycopg.Connection, standbys: str) -> None:
    """Have commits wait for these standbys; return when that is in force.

    Raises:
        StackError: it is not after `REACTS_S`.
    """
    primary.execute(sql.SQL(WAIT_FOR).format(sql.Literal(standbys)))
    primary.execute("SELECT pg_reload_conf()")
    otherwise = f"does not wait for {standbys}" if standbys else "waits for standbys"
    _until(lambda: _one(primary, STANDBYS) == standbys, otherwise)


def _until(done: Callable[[], bool], otherwise: str) -> None:
    """Wait for the effect of a reload, which a setting of a session or a command line outranks.

    Raises:
        StackError: the primary does `otherwise` after `REACTS_S`.
    """
    end_s = time.monotonic() + REACTS_S
    while not done():
        if time.monotonic() > end_s:
            raise StackError(f"the primary still {otherwise}, {REACTS_S:g} s after it was set so")
        time.sleep(PERIOD_S / 5)


def _one(primary: psycopg.Connection, query: str) -> object:
    row = primary.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]
