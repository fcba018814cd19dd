"""The run directory: what a run writes while it goes, and how it is read back as evidence.

Requests, origin queries, samples and the read-back are Parquet files, so anyone can open a run
with DuckDB or pandas; `plan.json`, `events.jsonl` and `verdict.json` are text.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from chaos.model import (
    Clicks,
    Clock,
    Counters,
    Evidence,
    FaultEvidence,
    Floats,
    Generator,
    Mode,
    OriginQueries,
    ReadBack,
    Reading,
    Requests,
    Samples,
    Segment,
)

OUTCOMES = np.array(["", "ok", "fail", "unknown"])
SERVED_FROM = np.array(["", "hit", "stale", "early", "wait", "miss"])
ORIGIN_COLUMNS = ("key", "db", "read_s", "asked_s", "answered_s", "stored_s", "part")
Event = dict[str, Any]


class Damaged(Exception):
    """A file of a run directory is missing or cannot be read; the message names it."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


class Writer:
    """An open run directory: events and samples go to disk as they happen."""

    def __init__(self, path: Path, plan: Mapping[str, Any], clock: Clock) -> None:
        path.mkdir(parents=True)
        self.path = path
        self._clock = clock
        self.logs = path / "logs"
        self.logs.mkdir()
        _write_json(path / "plan.json", plan)
        self._events = (path / "events.jsonl").open("w", buffering=1, encoding="utf-8")
        self._samples_file = (path / "samples.csv").open("w", newline="", encoding="utf-8")
        self._samples = csv.writer(self._samples_file)
        self._samples.writerow(("t_s", "name", "value"))

    def event(self, kind: str, **data: object) -> None:
        """Append one event, stamped with the clock of the run."""
        self._events.write(json.dumps({"t_s": self._clock.now_s(), "kind": kind, **data}) + "\n")

    def sample(self, t_s: float, values: Mapping[str, float]) -> None:
        """Append one reading of several counters taken at the same moment."""
        self._samples.writerows((f"{t_s:.6f}", name, value) for name, value in values.items())

    def read_back(self, state: ReadBack) -> None:
        """Keep the final state of the primary."""
        _write_rows(self.path / "clicks.csv", ("click_id", "key"), state.clicks)
        _write_rows(self.path / "totals.csv", ("key", "total"), list(state.totals.items()))
        self.event("read-back")

    def close(self) -> None:
        """Turn what was written row by row into Parquet."""
        self._events.close()
        self._samples_file.close()
        _write_rows(self.path / "origin_queries.csv", ORIGIN_COLUMNS, list(_logged(self.logs)))
        _to_parquet(self.path)


def _write_json(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def _write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def _logged(logs: Path) -> Iterator[list[object]]:
    """Origin queries as the web processes logged them; their other lines are not for us."""
    for log in sorted(logs.glob("web-*.log")):
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if '"origin_query"' in line:
                query = json.loads(line) | {"part": log.stem}
                yield [query[name] for name in ORIGIN_COLUMNS]


SCHEMAS = {
    "requests": {
        "segment": "INTEGER",
        "op_id": "VARCHAR",
        "session": "VARCHAR",
        "operation": "VARCHAR",
        "rank": "INTEGER",
        "key": "VARCHAR",
        "version": "BIGINT",
        "intended_s": "DOUBLE",
        "sent_s": "DOUBLE",
        "done_s": "DOUBLE",
        "outcome": "VARCHAR",
        "status": "INTEGER",
        "served_from": "VARCHAR",
        "age_ms": "DOUBLE",
        "click_id": "VARCHAR",
        "error": "VARCHAR",
    },
    "samples": {"t_s": "DOUBLE", "name": "VARCHAR", "value": "DOUBLE"},
    "origin_queries": {
        "key": "VARCHAR",
        "db": "VARCHAR",
        "read_s": "DOUBLE",
        "asked_s": "DOUBLE",
        "answered_s": "DOUBLE",
        "stored_s": "DOUBLE",
        "part": "VARCHAR",
    },
    "clicks": {"click_id": "VARCHAR", "key": "VARCHAR"},
    "totals": {"key": "VARCHAR", "total": "BIGINT"},
}


def _to_parquet(path: Path) -> None:
    """Each kind of CSV becomes one Parquet file; the shards of a history become one history."""
    with duckdb.connect() as db:
        for name, columns in SCHEMAS.items():
            shards = sorted(path.glob(f"{name}.csv")) + sorted(path.glob(f"{name}-*.csv"))
            if not shards:
                continue
            db.execute(
                f"COPY (SELECT * FROM read_csv({[str(shard) for shard in shards]!r},"
                f" header=true, columns={columns!r}))"
                f" TO '{path / name}.parquet' (FORMAT parquet)"
            )
            for shard in shards:
                shard.unlink()


# --- reading -----------------------------------------------------------------------------------


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
        segments = list(_segments(path, events))
        return Evidence(
            plan=plan,
            mode=Mode(**plan["mode"]),
            segments=[segment for segment in segments if segment.round >= 0],
            control=[segment for segment in segments if segment.round < 0],
            faults=list(_faults(events)),
            clicks=_clicks(path, events),
            trouble=_trouble(events),
        )
    except (KeyError, TypeError) as error:
        raise Damaged(path, f"its plan or events lack {error}") from error


def _trouble(events: Sequence[Event]) -> str | None:
    for event in events:
        if event["kind"] == "trouble":
            return str(event["why"])
    finished = any(event["kind"] == "finished" for event in events)
    return None if finished else "the run did not finish"


def _query(path: Path, sql: str, *parameters: object) -> dict[str, Any]:
    """Columns of a Parquet file by name, as numpy arrays with NaN for what is missing."""
    if not path.exists():
        raise Damaged(path, "is missing")
    try:
        with duckdb.connect() as db:
            columns = db.execute(sql.format(f"'{path}'"), parameters).fetchnumpy()
    except duckdb.Error as error:
        raise Damaged(path, f"cannot be read: {str(error).splitlines()[0]}") from error
    return {name: _filled(column) for name, column in columns.items()}


def _filled(column: Any) -> Any:
    if isinstance(column, np.ma.MaskedArray):
        return column.filled(np.nan) if column.dtype.kind == "f" else column.data
    return column


REQUEST_COLUMNS = """
    SELECT segment, intended_s, sent_s, done_s, rank::BIGINT AS rank, status::BIGINT AS status,
        version::BIGINT AS version, age_ms,
        list_position(['ok', 'fail', 'unknown'], outcome)::BIGINT AS outcome,
        coalesce(list_position(['hit', 'stale', 'early', 'wait', 'miss'], served_from), 0)::BIGINT
            AS served_from
    FROM {} ORDER BY segment, intended_s
"""


def _segments(path: Path, events: Sequence[Event]) -> Iterator[Segment]:
    ended = [event for event in events if event["kind"] == "segment"]
    if not ended:
        return
    requests = _query(path / "requests.parquet", REQUEST_COLUMNS)
    origin = _origin_queries(path, events)
    samples = _query(path / "samples.parquet", "SELECT t_s, name, value FROM {} ORDER BY name, t_s")
    for event in ended:
        yield Segment(
            arm=event["arm"],
            round=event["round"],
            settings=event["settings"],
            started_s=event["started_s"],
            ended_s=event["ended_s"],
            web_processes=event["web_processes"],
            requests=_requests_of(requests, event["segment"]),
            origin=_slice_origin(origin, event["from_s"], event["to_s"]),
            samples=_slice_samples(samples, event["from_s"], event["to_s"]),
            generator=Generator(**event["generator"]),
            counted=Counters(**event["counted"]),
        )


def _requests_of(columns: Mapping[str, Any], segment: int) -> Requests:
    first, last = np.searchsorted(columns["segment"], [segment, segment + 1])
    part = {name: columns[name][first:last] for name in (f.name for f in fields(Requests))}
    part["outcome"] = OUTCOMES[part["outcome"]]
    part["served_from"] = SERVED_FROM[part["served_from"]]
    return Requests(**part)


def _origin_queries(path: Path, events: Sequence[Event]) -> dict[str, Any]:
    codes = [code for event in events if event["kind"] == "links" for code in event["codes"]]
    return _query(
        path / "origin_queries.parquet",
        "SELECT coalesce(list_position($1, key), 0)::BIGINT - 1 AS rank, read_s, asked_s,"
        " answered_s, stored_s FROM {} ORDER BY read_s",
        codes,
    )


def _slice_origin(columns: Mapping[str, Any], from_s: float, to_s: float) -> OriginQueries:
    first, last = np.searchsorted(columns["read_s"], [from_s, to_s])
    return OriginQueries(**{f.name: columns[f.name][first:last] for f in fields(OriginQueries)})


def _slice_samples(columns: Mapping[str, Any], from_s: float, to_s: float) -> Samples:
    times: dict[str, Floats] = {}
    series: dict[str, Floats] = {}
    inside = (columns["t_s"] >= from_s) & (columns["t_s"] <= to_s)
    names = columns["name"]
    for name in dict.fromkeys(names):
        chosen = inside & (names == name)
        times[name], series[name] = columns["t_s"][chosen], columns["value"][chosen]
    return Samples(times, series)


def _faults(events: Sequence[Event]) -> Iterator[FaultEvidence]:
    for event in events:
        if event["kind"] == "fault":
            data = {f.name: event[f.name] for f in fields(FaultEvidence)}
            for name in ("before", "during", "after"):
                data[name] = Reading(**data[name]) if data[name] else None
            yield FaultEvidence(**data)


CLICKS = """
    WITH acknowledged AS (SELECT DISTINCT click_id FROM {requests} WHERE outcome = 'ok'
                          AND click_id IS NOT NULL AND click_id <> ''),
         counted AS (SELECT click_id, count(*) AS rows FROM {clicks} GROUP BY click_id),
         claimed AS (SELECT coalesce(sum(total), 0) AS total FROM {totals})
    SELECT (SELECT count(*) FROM acknowledged) AS acknowledged,
        (SELECT count(*) FROM counted) AS counted,
        (SELECT count(*) FROM acknowledged ANTI JOIN counted USING (click_id)) AS lost,
        (SELECT coalesce(sum(rows - 1), 0) FROM counted) AS duplicated,
        (SELECT abs(total - (SELECT coalesce(sum(rows), 0) FROM counted)) FROM claimed)
            AS miscounted,
        (SELECT count(*) FROM counted ANTI JOIN acknowledged USING (click_id)) AS strangers
"""


def _clicks(path: Path, events: Sequence[Event]) -> Clicks | None:
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
    row = {name: int(column[0]) for name, column in _query(files["clicks"], sql).items()}
    primed = sum(event["follows"] for event in events if event["kind"] == "primed")
    unknown = int(
        _query(files["requests"], "SELECT count(*) FILTER (outcome = 'unknown') AS n FROM {}")["n"][
            0
        ]
    )
    strangers = row.pop("strangers")
    return Clicks(**row, unexpected=max(0, strangers - primed - unknown))


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write verdict.json."""
    _write_json(path / "verdict.json", result)
