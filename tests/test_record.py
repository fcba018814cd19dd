"""A record is written to its end, whoever breaks in meanwhile."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import duckdb
import pytest

from chaos.record import Writer
from chaos.run import HostClock


def interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


@contextmanager
def signalled(after_s: float) -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, interrupt)
    timer = threading.Timer(after_s, signal.raise_signal, [signal.SIGTERM])
    timer.start()
    try:
        yield
    finally:
        timer.join()
        signal.signal(signal.SIGTERM, before)


def test_duckdb_makes_another_error_of_an_interruption() -> None:
    """What `record` relies on; the query would take hours."""
    with duckdb.connect() as db, signalled(0.2), pytest.raises(RuntimeError, match="interrupted"):
        db.execute("SELECT sum(random()) FROM range(1_000_000_000_000)")


class Struck:
    """A connection in whose first query a signal breaks in."""

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self._db = db
        self._queries = 0

    def __enter__(self) -> Struck:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def execute(self, query: str) -> object:
        self._queries += 1
        if self._queries == 1:
            raise RuntimeError("Query interrupted")
        return self._db.execute(query)


def test_a_record_is_written_to_its_end_before_an_interruption_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(tmp_path / "run", {}, HostClock())
    writer.sample(1.0, {"redis_commands": 2.0})
    connect = duckdb.connect
    monkeypatch.setattr(duckdb, "connect", lambda: Struck(connect()))
    with pytest.raises(KeyboardInterrupt):
        writer.close()
    monkeypatch.undo()
    with duckdb.connect() as db:
        rows = db.execute(f"FROM '{tmp_path / 'run' / 'samples.parquet'}'").fetchall()
    assert rows == [(1.0, "redis_commands", 2.0)]
    assert not list((tmp_path / "run").glob("*.csv"))
