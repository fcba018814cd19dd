"""Writes of unknown outcome against a table that loses, delays and refuses at random."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st

from stack.shortener.api import writes
from stack.shortener.api.writes import Conflict, OutcomeUnknown, RetriesByKey, Written
from stack.shortener.infra.database import DatabaseUnavailable
from stack.shortener.infra.metrics import Metrics
from stack.shortener.infra.retry_budget import RetryBudget
from stack.shortener.infra.servers import Server

Fate = Literal["done", "not connected", "refused", "lost", "answer lost", "late"]
SERVER = Server("postgres-1", 1, takes_writes=True)
KEY = "key"


@dataclass
class Table:
    """Holds a value for a key; each use of it has a fate, and what is late lands at the next."""

    fates: list[Fate]
    value: str | None = None
    times_written: int = 0
    late: list[str] = field(default_factory=list)
    server: Server = SERVER

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Table]:
        """A use of the table."""
        fate = self.fates[0] if self.fates else "done"
        if fate == "not connected":
            self.fates.pop(0)
            raise DatabaseUnavailable(fate)
        yield self

    def insert(self, value: str) -> None:
        """Write, unless the key is there."""
        fate = self.fates.pop(0) if self.fates else "done"
        if fate == "refused":
            raise DatabaseUnavailable(fate)
        if fate == "late":
            self.late.append(value)
        elif fate != "lost":
            self._apply(value)
        if fate != "done":
            raise DatabaseUnavailable(fate, may_be_done=True)

    def land(self) -> None:
        """Do what was late."""
        for value in self.late:
            if self.value is None:
                self._apply(value)
        self.late.clear()

    def _apply(self, value: str) -> None:
        if self.value is not None:
            raise Conflict
        self.value = value
        self.times_written += 1


def written(table: Table, mine: str, *, lands_between: bool) -> Written[str]:
    async def send(connection: Any) -> str:
        if lands_between:
            table.land()
        connection.insert(mine)
        return mine

    async def read_back(connection: Any) -> str | None:
        return mine if connection.value == mine else None

    async def main() -> Written[str]:
        primary: Any = table
        retries = RetriesByKey(primary, Metrics(), RetryBudget(1), within_s=1.0)
        try:
            return await retries.write(send, read_back)
        finally:
            table.land()

    return asyncio.run(main())


FATES = st.lists(
    st.sampled_from(["done", "not connected", "refused", "lost", "answer lost", "late"]), max_size=5
)


@given(fates=FATES, taken=st.booleans(), lands_between=st.booleans())
def test_a_write_is_never_done_twice_nor_acknowledged_without_being_there(
    fates: list[Fate], taken: bool, lands_between: bool
) -> None:
    table = Table(list(fates), value="another's" if taken else None)
    pause_s, writes._PAUSE_S = writes._PAUSE_S, (0.0, 0.0)
    try:
        answer = written(table, "mine", lands_between=lands_between)
    except OutcomeUnknown:
        raise AssertionError("it was not settled, though the table came back") from None
    except DatabaseUnavailable:
        assert (table.value, fates[0] in ("not connected", "refused")) == (
            "another's" if taken else None,
            True,
        )
    except Conflict:
        assert taken
        assert table.value == "another's"
    else:
        assert (answer.value, table.value, answer.server) == ("mine", "mine", SERVER)
    finally:
        writes._PAUSE_S = pause_s
    assert table.times_written <= 1
