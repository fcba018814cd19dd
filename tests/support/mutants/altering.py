"""Alterations of a run's record: its events, its plan, the rows or the bytes of a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

import duckdb

from chaos.record.sums import Sum, sum_of_file, sum_sql
from chaos.record.writer import SCHEMAS

Event = dict[str, Any]
Alter = Callable[[Path], None]

_DB = duckdb.connect()  # one for all: to connect takes longer than most alterations


def rows(name: str, sql: str) -> Alter:
    """Replace a Parquet file by the result of a query; `{0}` is the original file."""

    def alter(run: Path) -> None:
        file, fresh = run / f"{name}.parquet", run / "fresh.parquet"
        query = sql.format(f"'{file}'")
        _DB.execute(f"COPY ({query}) TO '{fresh}' (FORMAT parquet)")
        fresh.replace(file)

    return alter


def changed(name: str, which: str, /, **columns: str) -> Alter:
    """Change values in some rows; both are SQL expressions."""
    values = ", ".join(
        f"CASE WHEN {which} THEN {value} ELSE {column} END AS {column}"
        for column, value in columns.items()
    )
    return rows(name, f"SELECT * REPLACE ({values}) FROM {{0}}")


def dropped(name: str, which: str) -> Alter:
    return rows(name, f"FROM {{0}} WHERE NOT ({which})")


def doubled(name: str, which: str) -> Alter:
    return rows(name, f"FROM {{0}} UNION ALL FROM {{0}} WHERE {which}")


def events(change: Callable[[list[Event]], object]) -> Alter:
    """Change the events in place."""

    def alter(run: Path) -> None:
        file = run / "events.jsonl"
        seen = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        change(seen)
        file.write_text("".join(json.dumps(event) + "\n" for event in seen), encoding="utf-8")

    return alter


def first(kind: str, change: Callable[[Event], object], number: int = 0) -> Alter:
    """Change one event of a kind in place."""
    return events(lambda seen: change([event for event in seen if event["kind"] == kind][number]))


def each(kind: str, change: Callable[[Event], object]) -> Alter:
    """Change all events of a kind in place."""
    return events(lambda seen: [change(event) for event in seen if event["kind"] == kind])


def without(kind: str, number: int = 0) -> Alter:
    """Remove one event of a kind."""
    return events(lambda seen: seen.remove([e for e in seen if e["kind"] == kind][number]))


def twice(kind: str, number: int = 0) -> Alter:
    """Duplicate one event of a kind."""
    return events(lambda seen: seen.append([e for e in seen if e["kind"] == kind][number]))


def plan(change: Callable[[dict[str, Any]], object]) -> Alter:
    """Change the plan in place."""

    def alter(run: Path) -> None:
        file = run / "plan.json"
        planned = json.loads(file.read_text(encoding="utf-8"))
        change(planned)
        file.write_text(json.dumps(planned), encoding="utf-8")

    return alter


def content(name: str, change: Callable[[bytes], bytes]) -> Alter:
    """Change the bytes of a file."""

    def alter(run: Path) -> None:
        file = run / name
        file.write_bytes(change(file.read_bytes()))

    return alter


def sealed(run: Path) -> None:
    """Sum and count the tables again, as if they had been written, and the primary had been, so.

    Not what cannot be read.
    """

    def sums(event: Event) -> None:
        for name in event.get("sums", {}):
            with suppress(duckdb.Error, OSError):
                event["sums"][name] = asdict(_sum_of(run / f"{name}.parquet", name))

    def counts(event: Event) -> None:
        for name in event.get("rows", {}):
            with suppress(duckdb.Error, OSError):
                event["rows"][name] = _sum_of(run / f"{name}.parquet", name).rows

    for kind, change in (("written", sums), ("held", counts)):
        with suppress(ValueError, OSError, KeyError, TypeError, AttributeError):
            each(kind, change)(run)


_SUMS: dict[tuple[str, bytes], Sum] = {}  # by table and digest: most mutants alter one table


def _sum_of(file: Path, name: str) -> Sum:
    if name == "requests":
        return sum_of_file(file, _DB)
    key = name, blake2b(file.read_bytes()).digest()
    if key not in _SUMS:
        sql = sum_sql(SCHEMAS[name]).format(f"'{file}'")
        _SUMS[key] = Sum(*map(int, _DB.execute(sql).fetchall()[0]))
    return _SUMS[key]


def gone(name: str) -> Alter:
    """Remove a file."""
    return lambda run: (run / name).unlink()


def both(*alters: Alter) -> Alter:
    """Apply several alterations in turn."""

    def alter(run: Path) -> None:
        for each_of_them in alters:
            each_of_them(run)

    return alter
