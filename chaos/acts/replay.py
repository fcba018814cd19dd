"""Pause the replica's replay: it receives all changes, and shows none of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import psycopg

from chaos.acts import witnesses
from chaos.model.evidence import Reading, Segment
from chaos.model.stack import Stack, StackError, Undo
from chaos.model.testimony import Span, Witnesses

PATIENCE_S = 0.8
POLL_S = 0.01
CONNECT_TIMEOUT_S = 2
# The transaction's commit flushes the message: what is not flushed is not sent.
MARK = "SELECT pg_logical_emit_message(true, 'linkstorm', '')"
REPLAYED = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"


@dataclass(frozen=True)
class PauseReplay:
    """Stop the replica from replaying; reads from it see no later change. Exact staleness."""

    needs = "sql"
    moments: ClassVar[Mapping[str, float]] = {}
    brings: ClassVar[frozenset[tuple[str, str]]] = frozenset()
    probe_s = PATIENCE_S + 0.2
    lingers_s = 0.0
    hits: ClassVar[frozenset[str]] = frozenset()
    puts: ClassVar[Mapping[str, str]] = {}  # a state of Postgres, not of parts and links

    @property
    def name(self) -> str:
        """`replay paused`."""
        return "replay paused"

    def aimed(self, _stack: Stack) -> PauseReplay:
        """The act itself."""
        return self

    def inject(self, stack: Stack) -> Undo:
        """Pause it, and return when it is paused: the request alone is asynchronous."""
        url = stack.endpoints.replica
        with _connected(url) as replica:
            replica.execute("SELECT pg_wal_replay_pause()")
            deadline_s = time.monotonic() + PATIENCE_S
            while _one(replica, "SELECT pg_get_wal_replay_pause_state()") != "paused":
                if time.monotonic() > deadline_s:
                    raise StackError(f"{self.name}: the replica did not pause")
                time.sleep(POLL_S)

        def undo() -> None:
            with _connected(url) as replica:
                if _one(replica, "SELECT pg_is_in_recovery()"):  # promotion ends the pause
                    replica.execute("SELECT pg_wal_replay_resume()")

        return undo

    def probe(self, stack: Stack) -> Reading:
        """1 if a change made now on the primary is replayed within 0.8 s, else 0."""
        ends = stack.endpoints
        with _connected(ends.primary) as primary, _connected(ends.replica) as replica:
            written = _one(primary, MARK)
            deadline_s = time.monotonic() + PATIENCE_S
            while not (seen := bool(_one(replica, REPLAYED, str(written)))):
                if time.monotonic() > deadline_s:
                    break
                time.sleep(POLL_S)
        return Reading("a change on the primary", float(seen), "of 1 seen by the replica")

    def took_effect(self, before: Reading, during: Reading) -> bool:
        """Changes were seen before, and not during."""
        return before.value == 1 and during.value == 0

    def healed(self, before: Reading, after: Reading) -> bool:
        """Changes are seen again."""
        return before.value == after.value == 1

    def testimony(
        self, segment: Segment, in_force: Span, _control: Sequence[Segment]
    ) -> Sequence[Witnesses]:
        """The replica did not catch up."""
        return witnesses.replay_paused(segment, in_force)


def _connected(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)


def _one(connection: psycopg.Connection[tuple[object, ...]], query: str, *values: object) -> object:
    row = connection.execute(query, values or None).fetchone()
    assert row is not None
    return row[0]
