"""A record is written to its end, whatever signal comes meanwhile."""

from __future__ import annotations

import signal
from pathlib import Path

import duckdb
import pytest

from chaos.engine.run import HostClock
from chaos.record.writer import RecordWriter


def test_a_record_is_written_to_its_end_before_an_interruption_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RecordWriter(tmp_path / "run", {}, HostClock())
    writer.sample(1.0, {"redis.commands": 2.0})
    connect = duckdb.connect

    def struck() -> duckdb.DuckDBPyConnection:
        signal.raise_signal(signal.SIGINT)
        return connect()

    monkeypatch.setattr(duckdb, "connect", struck)
    with pytest.raises(KeyboardInterrupt):
        writer.close()
    monkeypatch.undo()
    with duckdb.connect() as db:
        rows = db.execute(f"FROM '{tmp_path / 'run' / 'samples.parquet'}'").fetchall()
    assert rows == [(1.0, "redis.commands", 2.0)]
    assert not list((tmp_path / "run").glob("*.csv"))
