"""One embedded lab, which fails over for each line of stdin: `failover_lab LOGS`.

Each kills the primary while its replica lacks a write of it, so that the way back takes a rewind.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from chaos.acts.failover import TO_PRIMARY
from chaos.model.stack import PartDied, ServerName, Stack, StackError
from chaos.runtimes.embedded.runtime import EmbeddedRuntime
from chaos.runtimes.server_queries import wait_until_it_follows
from chaos.runtimes.topology import slot

TROUBLE = 3
# Each promotion adds files of the log for the same place in it; they are removed by place, and a
# rewind copies them all. Traffic moves the place on. Here nobody writes: a hundred failovers would
# leave 3 GB in each server.
SETTINGS = {"postgres:wal_keep_size": "32MB"}
NEW_LOG_FILE = "SELECT pg_switch_wal()"
COPIED = "pg_rewind failed:"  # in the log of a server that was copied anew instead
TABLE = "CREATE TABLE failovers (failover int, kept bool)"
WRITE = "INSERT INTO failovers VALUES (%s, %s)"
KEPT = "SELECT failover FROM failovers WHERE kept"
FORKED = "SELECT failover FROM failovers WHERE NOT kept"
SLOTS = "SELECT slot_name FROM pg_replication_slots"


class FailoverLab:
    """A stack whose servers take turns, and the writes that only one of them had."""

    def __init__(self, stack: Stack, logs: Path) -> None:
        self._stack = stack
        self._logs = logs
        self._fork: set[object] = set()
        stack.on_fork = lambda url: self._fork.update(_values(url, FORKED))
        self._execute_on_both(TABLE)

    def fail_over(self, number: int) -> dict[str, object]:
        """Kill, promote, lead, rejoin and restore; return times in seconds, and what is wrong."""
        stack, copied = self._stack, self._copied()
        old, new = stack.roles["primary"], stack.roles["replica"]
        stack.cut("replication")
        _execute(stack.endpoints.primary, WRITE, number, False)
        killed_s = time.monotonic()
        stack.kill("primary")
        stack.promote(new)
        for link in TO_PRIMARY:
            stack.lead(link, new)
        _execute(stack.endpoints.primary, WRITE, number, True)
        writes_s = time.monotonic()
        stack.restore()
        restored_s = time.monotonic()
        stack.check()
        self._execute_on_both(NEW_LOG_FILE)
        return {
            "number": number,
            "primary": new,
            "outage_s": writes_s - killed_s,
            "restore_s": restored_s - writes_s,
            "copied": self._copied() > copied,
            "wrong": [*self._wrong(number, old, new)],
        }

    def _wrong(self, number: int, old: ServerName, new: ServerName) -> Iterator[str]:
        stack = self._stack
        if stack.roles != {"primary": new, "replica": old}:
            yield f"the roles are {dict(stack.roles)}"
        if {name for name, part in stack.state().parts.items() if part != "up"}:
            yield f"not every part is up: {dict(stack.state().parts)}"
        for server, planned in ((new, {slot(old)}), (old, set())):
            url = stack.endpoints.servers[server]
            if (slots := _values(url, SLOTS)) != planned:
                yield f"{server} has the slots {slots}, planned are {planned}"
            if kept := set(range(1, number + 1)) ^ _values(url, KEPT):
                yield f"{server} lacks or invented the writes {kept}"
            if forked := _values(url, FORKED):
                yield f"{server} still has the fork's writes {forked}"
        if number not in self._fork:
            yield "the fork was not read"

    def _execute_on_both(self, statement: str) -> None:
        ends = self._stack.endpoints
        _execute(ends.primary, statement)
        wait_until_it_follows(self._stack.roles["replica"], ends.replica, ends.primary)

    def _copied(self) -> int:
        logs = self._logs.glob("postgres-*.log")
        return sum(log.read_text(errors="replace").count(COPIED) for log in logs)


def main(logs: Path) -> None:
    """Fail over until stdin ends; print JSON, one line a failover."""
    try:
        with EmbeddedRuntime().up(SETTINGS, logs) as stack:
            lab = FailoverLab(stack, logs)
            _say({"ready": True})
            for number, _ in enumerate(sys.stdin, 1):
                _say(lab.fail_over(number))
    except (StackError, PartDied, psycopg.Error) as error:
        _say({"trouble": f"{type(error).__name__}: {error}"})
        sys.exit(TROUBLE)


def _say(said: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def _values(url: str, query: str) -> set[object]:
    with _connected(url) as server:
        return {value for (value,) in server.execute(query.encode())}


def _execute(url: str, statement: str, *values: object) -> None:
    with _connected(url) as server:
        server.execute(statement.encode(), values or None)


def _connected(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url, autocommit=True, connect_timeout=2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
