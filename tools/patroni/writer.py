"""A writer that notes each acknowledged write, and what becomes of them at a failover."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg

from chaos.model.stack import StackError
from tools.patroni.cluster import Cluster

BETWEEN_S, AGAIN_S, LEAST_S = 0.01, 0.05, 2.0
MOST_WRITES = 500_000
INSERT = "INSERT INTO writes (id) VALUES (%s)"
# An answer that never comes would hide the end of the outage.
SESSION = "SET statement_timeout = '2s'"


@dataclass(frozen=True)
class Failover:
    """One failover: how long nobody wrote, and how many acknowledged writes of before are gone."""

    outage_s: float
    acknowledged: int
    lost: int


@dataclass
class Writer:
    """Writes one number after the other to whichever server takes writes."""

    conninfo: str
    acknowledged: dict[int, float] = field(default_factory=dict)  # by number: when it was sent
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Write until the end, with a new connection whenever one broke."""
        number = 0
        while not self._ended.is_set() and number < MOST_WRITES:
            with suppress(psycopg.Error), psycopg.connect(self.conninfo, autocommit=True) as made:
                made.execute(SESSION)
                while not self._ended.is_set() and number < MOST_WRITES:
                    number += 1
                    sent_s = time.monotonic()
                    made.execute(INSERT, [number])
                    self.acknowledged[number] = sent_s
                    time.sleep(BETWEEN_S)
            time.sleep(AGAIN_S)

    def end(self) -> None:
        """Stop after the write that is under way."""
        self._ended.set()

    def first_since(self, moment_s: float, within_s: float) -> float:
        """When the first acknowledged write since then was sent; wait for it.

        Raises:
            StackError: there is none in time.
        """
        while time.monotonic() < moment_s + within_s:
            if since := [s for s in list(self.acknowledged.values()) if s > moment_s]:
                return min(since)
            time.sleep(AGAIN_S)
        raise StackError(f"no write was acknowledged within {within_s:g} s of the kill")


@contextmanager
def writing(conninfo: str) -> Iterator[Writer]:
    """Write in a thread of its own until the end."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("CREATE TABLE writes (id bigint PRIMARY KEY)")
    writer = Writer(conninfo)
    thread = threading.Thread(target=writer.run, daemon=True)
    thread.start()
    try:
        yield writer
    finally:
        writer.end()
        thread.join()


def fail_over(whole: Cluster, writer: Writer, within_s: float) -> Failover:
    """Kill the leader, wait for the next write, then bring the server back as a replica.

    Raises:
        StackError: nobody took over, or the old leader did not return.
    """
    time.sleep(LEAST_S)
    leader = whole.leader()
    leader.kill()
    killed_s = time.monotonic()
    outage_s = writer.first_since(killed_s, within_s) - killed_s
    earlier = {n for n, sent_s in writer.acknowledged.copy().items() if sent_s < killed_s}
    with psycopg.connect(writer.conninfo) as connection:
        there = {number for (number,) in connection.execute("SELECT id FROM writes")}
    leader.start()
    whole.wait_until_whole()
    for number in earlier - there:
        del writer.acknowledged[number]  # lost once, and not again at the next
    return Failover(outage_s, len(earlier), len(earlier - there))
