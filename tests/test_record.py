"""A record is written to its end, whoever breaks in meanwhile."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from chaos.record import Writer
from chaos.run import HostClock


class Struck:
    """A connection in whose first query a signal breaks in: DuckDB makes such an error of it."""

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
