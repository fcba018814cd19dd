"""Evidence: a run directory read back, or refused by the name of the file that is damaged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from chaos.model import (
    Clicks,
    Counters,
    Evidence,
    FaultEvidence,
    Floats,
    Generator,
    Mode,
    OriginQueries,
    Reading,
    Samples,
    Segment,
)
from chaos.shelf import bounded, shelve_requests

Event = dict[str, Any]


class Damaged(Exception):
    """A file of a run directory is missing or cannot be read; the message names it."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of the run directory."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Damaged(path, "is missing") from None
    except (OSError, ValueError) as error:
        raise Damaged(path, f"cannot be read as JSON: {error}") from error
    if not isinstance(data, dict):
        raise Damaged(path, "should hold a JSON object")
    return data


def read_events(path: Path) -> list[Event]:
    """All events of a run, in order."""
    file = path / "events.jsonl"
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Damaged(file, f"cannot be read: {error}") from error
    events = []
    for number, line in enumerate(lines, start=1):
        try:
            event = json.loads(line)
            events.append(event | {"t_s": float(event["t_s"]), "kind": str(event["kind"])})
        except (ValueError, KeyError, TypeError):
            raise Damaged(file, f"line {number} is not an event: {line[:60]!r}") from None
    return events


def read_evidence(path: Path) -> Evidence:
    """Everything the verdict is made from, out of the files alone.

    Raises:
        Damaged: a file is missing, truncated or does not hold what it should.
    """
    if not path.is_dir():
        raise Damaged(path, "is not a run directory")
    plan = read_json(path / "plan.json")
    events = read_events(path)
    try:
        with bounded(path) as db:
            segments = list(_segments(db, path, events))
            clicks = _clicks(db, path, events)
        return Evidence(
            plan=plan,
            mode=Mode(**plan["mode"]),
            segments=[segment for segment in segments if segment.round >= 0],
            control=[segment for segment in segments if segment.round < 0],
            faults=list(_faults(events)),
            clicks=clicks,
            trouble=_trouble(events),
        )
    except KeyError as error:
        raise Damaged(path, f"its plan or events lack {error}") from error
    except TypeError as error:
        raise Damaged(path, f"was written by another version of linkstorm: {error}") from error


def _trouble(events: Sequence[Event]) -> str | None:
    for event in events:
        if event["kind"] == "trouble":
            return str(event["why"])
    finished = any(event["kind"] == "finished" for event in events)
    return None if finished else "the run did not finish"


def _query(db: duckdb.DuckDBPyConnection, path: Path, sql: str, **values: object) -> dict[str, Any]:
    """Columns of a Parquet file by name, as numpy arrays with NaN for what is missing."""
    if not path.exists():
        raise Damaged(path, _why_missing(path))
    try:
        columns = db.execute(sql.format(f"'{path}'"), values).fetchnumpy()
    except duckdb.Error as error:
        raise Damaged(path, f"cannot be read: {str(error).splitlines()[0]}") from error
    return {name: _filled(column) for name, column in columns.items()}


def _why_missing(path: Path) -> str:
    if list(path.parent.glob(f"{path.stem}*.csv")):
        return "was never completed: the run was killed"
    return "is missing"


def _filled(column: Any) -> Any:
    if isinstance(column, np.ma.MaskedArray):
        return column.filled(np.nan) if column.dtype.kind == "f" else column.data
    return column


def _segments(
    db: duckdb.DuckDBPyConnection, path: Path, events: Sequence[Event]
) -> Iterator[Segment]:
    ended = [event for event in events if event["kind"] == "segment"]
    if not ended:
        return
    requests_of = shelve_requests(partial(_query, db, path / "requests.parquet"), path)
    origin = _origin_queries(db, path, events)
    samples = _samples(db, path)
    for event in ended:
        yield Segment(
            arm=event["arm"],
            round=event["round"],
            settings=event["settings"],
            started_s=event["started_s"],
            ended_s=event["ended_s"],
            web_processes=event["web_processes"],
            requests=requests_of(event["segment"]),
            origin=_slice_origin(origin, event["from_s"], event["to_s"]),
            samples=_slice_samples(samples, event["from_s"], event["to_s"]),
            generator=Generator(**event["generator"]),
            counted=Counters(**event["counted"]),
        )


def _origin_queries(
    db: duckdb.DuckDBPyConnection, path: Path, events: Sequence[Event]
) -> dict[str, Any]:
    codes = [code for event in events if event["kind"] == "links" for code in event["codes"]]
    return _query(
        db,
        path / "origin_queries.parquet",
        "SELECT coalesce(list_position($codes, key), 0)::BIGINT - 1 AS rank, read_s, asked_s,"
        " answered_s, stored_s FROM {} ORDER BY read_s",
        codes=codes,
    )


def _slice_origin(columns: Mapping[str, Any], from_s: float, to_s: float) -> OriginQueries:
    first, last = np.searchsorted(columns["read_s"], [from_s, to_s])
    return OriginQueries(**{f.name: columns[f.name][first:last] for f in fields(OriginQueries)})


def _samples(db: duckdb.DuckDBPyConnection, path: Path) -> Samples:
    """All samples of the run; a number stands for each name until they are apart."""
    file = path / "samples.parquet"
    names = [
        str(name) for name in _query(db, file, "SELECT DISTINCT name FROM {} ORDER BY 1")["name"]
    ]
    columns = _query(
        db,
        file,
        "SELECT t_s, list_position($names, name) AS place, value FROM {} ORDER BY place, t_s",
        names=names,
    )
    edges = np.searchsorted(columns["place"], np.arange(len(names) + 1) + 1)
    parts = {name: slice(*edges[place : place + 2]) for place, name in enumerate(names)}
    return Samples(*({n: columns[c][part] for n, part in parts.items()} for c in ("t_s", "value")))


def _slice_samples(samples: Samples, from_s: float, to_s: float) -> Samples:
    times: dict[str, Floats] = {}
    series: dict[str, Floats] = {}
    for name, t_s in samples.t_s.items():
        inside = slice(np.searchsorted(t_s, from_s), np.searchsorted(t_s, to_s, side="right"))
        times[name], series[name] = t_s[inside], samples.series[name][inside]
    return Samples(times, series)


def _faults(events: Sequence[Event]) -> Iterator[FaultEvidence]:
    for event in events:
        if event["kind"] == "fault":
            data = {f.name: event[f.name] for f in fields(FaultEvidence)}
            for name in ("before", "during", "after"):
                data[name] = Reading(**data[name]) if data[name] else None
            yield FaultEvidence(**data)


CLICKS = """
    WITH ids AS (
        SELECT click_id, bool_or(ours) AS ours, count(*) FILTER (NOT ours) AS rows
        FROM (SELECT click_id, true AS ours FROM {requests}
              WHERE outcome = 'ok' AND click_id <> ''
              UNION ALL SELECT click_id, false FROM {clicks})
        GROUP BY click_id)
    SELECT count(*) FILTER (ours) AS acknowledged,
        count(*) FILTER (rows > 0) AS counted,
        count(*) FILTER (ours AND rows = 0) AS lost,
        coalesce(sum(rows - 1) FILTER (rows > 0), 0) AS duplicated,
        abs((SELECT coalesce(sum(total), 0) FROM {totals}) - coalesce(sum(rows), 0)) AS miscounted,
        count(*) FILTER (NOT ours) AS strangers
    FROM ids
"""


def _clicks(db: duckdb.DuckDBPyConnection, path: Path, events: Sequence[Event]) -> Clicks | None:
    """Clicks acknowledged to clients against those in the primary, by id.

    A click of a request whose answer never came, and those of the unrecorded requests that warm
    the cache, have ids that no client knows: so many strangers are expected, and no more.
    """
    if not any(event["kind"] == "read-back" for event in events):
        return None
    files = {name: path / f"{name}.parquet" for name in ("requests", "clicks", "totals")}
    for file in files.values():
        if not file.exists():
            raise Damaged(file, "is missing")
    sql = CLICKS.format(**{name: f"'{file}'" for name, file in files.items()})
    row = {name: int(column[0]) for name, column in _query(db, files["clicks"], sql).items()}
    primed = sum(event["follows"] for event in events if event["kind"] == "primed")
    count = "SELECT count(*) FILTER (outcome = 'unknown') AS n FROM {}"
    unknown = int(_query(db, files["requests"], count)["n"][0])
    strangers = row.pop("strangers")
    return Clicks(**row, unexpected=max(0, strangers - primed - unknown))
