"""Sums of rows are the same however they were taken, and another for other rows."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.record.sums import Sum, Summing, sum_of_file, sum_sql

COLUMNS = {"a": "VARCHAR", "b": "DOUBLE", "c": "BIGINT", "d": "BOOLEAN"}
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=9)
MICROS = st.integers(-(10**15), 10**15).map(lambda n: n / 10**6)
ROW = st.tuples(TEXT, MICROS, st.integers(-(2**60), 2**60), st.booleans())


def summed(rows: list[Any]) -> Sum:
    summing = Summing(COLUMNS)
    assert [*summing.each(rows)] == rows
    return summing.total


def by_sql(rows: list[Any]) -> Sum:
    with duckdb.connect() as db:
        db.execute(f"CREATE TABLE t ({', '.join(f'{n} {k}' for n, k in COLUMNS.items())})")
        for row in rows:
            db.execute("INSERT INTO t VALUES (?, ?, ?, ?)", row)
        return Sum(*map(int, db.execute(sum_sql(COLUMNS).format("t")).fetchall()[0]))


@settings(deadline=None)
@given(st.lists(ROW, max_size=5))
def test_duckdb_sums_as_we_do(rows: list[Any]) -> None:
    assert by_sql(rows) == summed(rows)


@given(st.lists(ROW, min_size=2, max_size=5, unique=True), st.randoms())
def test_order_does_not_matter_and_every_row_does(rows: list[Any], draw: Any) -> None:
    mixed = [*rows]
    draw.shuffle(mixed)
    assert summed(mixed) == summed(rows)
    assert summed(rows[1:]) != summed(rows)
    assert summed([rows[0], *rows[:-1]]) != summed(rows)


def test_what_is_missing_is_as_empty_and_what_is_no_number_is_told() -> None:
    rows: list[Any] = [(None, None, None, None), ("", float("nan"), 1, True)]
    assert by_sql(rows) == summed([("", "", "", ""), ("", "nan", "1", "True")])


def test_a_file_has_the_sum_of_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    with duckdb.connect() as db:
        db.execute(f"COPY (SELECT * FROM range(7)) TO '{file}' (FORMAT parquet)")
        first = sum_of_file(file, db)
        assert first.rows == 7
        file.write_bytes(file.read_bytes().replace(b"DuckDB", b"DuckDC"))
        assert sum_of_file(file, db) != first
        (tmp_path / "no.parquet").write_bytes(b"nothing")
        with pytest.raises(duckdb.Error):
            sum_of_file(tmp_path / "no.parquet", db)


def test_a_time_of_a_csv_file_is_summed_to_the_microsecond(tmp_path: Path) -> None:
    rows = [("x", f"{n / 7:.6f}", n, True) for n in range(50)]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    with duckdb.connect() as db:
        read = f"read_csv('{tmp_path / 't.csv'}', header=false, columns={COLUMNS!r})"
        found = db.execute(sum_sql(COLUMNS).format(read)).fetchall()[0]
    assert Sum(*map(int, found)) == summed(rows)
