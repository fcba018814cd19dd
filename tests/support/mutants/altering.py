"""How the record of a run is altered: its events, its plan, the rows or the bytes of a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

Event = dict[str, Any]
Alter = Callable[[Path], None]


def rows(name: str, sql: str) -> Alter:
    """A Parquet file becomes what a query makes of it; `{0}` is the file as it was."""

    def alter(run: Path) -> None:
        file, fresh = run / f"{name}.parquet", run / "fresh.parquet"
        with duckdb.connect() as db:
            query = sql.format(f"'{file}'")
            db.execute(f"COPY ({query}) TO '{fresh}' (FORMAT parquet)")
        fresh.replace(file)

    return alter


def changed(name: str, which: str, /, **columns: str) -> Alter:
    """Some rows get other values, SQL expressions both."""
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
    """The events are changed in place."""

    def alter(run: Path) -> None:
        file = run / "events.jsonl"
        seen = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        change(seen)
        file.write_text("".join(json.dumps(event) + "\n" for event in seen), encoding="utf-8")

    return alter


def first(kind: str, change: Callable[[Event], object], number: int = 0) -> Alter:
    """One event of a kind is changed in place."""
    return events(lambda seen: change([event for event in seen if event["kind"] == kind][number]))


def each(kind: str, change: Callable[[Event], object]) -> Alter:
    """All events of a kind are changed in place."""
    return events(lambda seen: [change(event) for event in seen if event["kind"] == kind])


def without(kind: str, number: int = 0) -> Alter:
    """One event of a kind is gone."""
    return events(lambda seen: seen.remove([e for e in seen if e["kind"] == kind][number]))


def twice(kind: str, number: int = 0) -> Alter:
    """One event of a kind is there twice."""
    return events(lambda seen: seen.append([e for e in seen if e["kind"] == kind][number]))


def plan(change: Callable[[dict[str, Any]], object]) -> Alter:
    """The plan is changed in place."""

    def alter(run: Path) -> None:
        file = run / "plan.json"
        planned = json.loads(file.read_text(encoding="utf-8"))
        change(planned)
        file.write_text(json.dumps(planned), encoding="utf-8")

    return alter


def content(name: str, change: Callable[[bytes], bytes]) -> Alter:
    """The bytes of a file are others."""

    def alter(run: Path) -> None:
        file = run / name
        file.write_bytes(change(file.read_bytes()))

    return alter


def gone(name: str) -> Alter:
    """A file is not there."""
    return lambda run: (run / name).unlink()


def both(*alters: Alter) -> Alter:
    """One alteration after the other."""

    def alter(run: Path) -> None:
        for each_of_them in alters:
            each_of_them(run)

    return alter
