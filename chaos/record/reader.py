"""Reader of a run directory; refuses damage with the name of the file."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
from pydantic import BaseModel, ValidationError

from chaos.model.evidence import (
    CLICKS_WAIT,
    Answers,
    Evidence,
    Floats,
    Gateway,
    Ledger,
    Look,
    LookUps,
    Oddities,
    Samples,
    Segment,
)
from chaos.model.request_record import OPERATIONS, OUTCOMES, SERVED_FROM
from chaos.record import answers, ledgers
from chaos.record.files import Files
from chaos.record.schema import Events, Plan, SegmentEnd, first_error
from chaos.record.stored_columns import bounded_duckdb, store_requests
from chaos.record.sums import Sum, sum_of_file, sum_sql
from chaos.record.writer import SCHEMAS

READ_BACK = ("clicks", "totals", "links")
TABLES = ("requests", "look_ups", "samples", "clicks", "totals", "links", "forks", "gateway")
Event = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)


class DamagedRecord(Exception):
    """A file of a run directory is missing or cannot be read; the message names it."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of the run directory."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DamagedRecord(path, "is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedRecord(path, f"cannot be read as JSON: {error}") from error
    if not isinstance(data, dict):
        raise DamagedRecord(path, "should hold a JSON object")
    return data


def read_events(path: Path) -> list[Event]:
    """Read all events of a run, in order."""
    file = path / "events.jsonl"
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedRecord(file, f"cannot be read: {error}") from error
    events = []
    for number, line in enumerate(lines, start=1):
        try:
            event = json.loads(line)
            events.append(event | {"t_s": float(event["t_s"]), "kind": str(event["kind"])})
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise DamagedRecord(file, f"line {number} is not an event: {line[:60]!r}") from None
    return events


def read_evidence(path: Path) -> Evidence:
    """Read everything that the verdict is made from.

    Raises:
        DamagedRecord: a file is missing, truncated or does not hold what it should.
    """
    if not path.is_dir():
        raise DamagedRecord(path, "is not a run directory")
    plan = read_json(path / "plan.json")
    mode = _validated(Plan, plan, path / "plan.json").mode
    by_kind: dict[str, list[Event]] = {}
    for event in read_events(path):
        by_kind.setdefault(event["kind"], []).append(event)
    judged = {kind: by_kind[kind] for kind in Events.model_fields if kind in by_kind}
    events = _validated(Events, judged, path / "events.jsonl")
    not_finished = None if "finished" in by_kind else "the run did not finish"
    with bounded_duckdb(path) as db, Files() as files:
        tables = _Tables(path, db, files)
        if events.segment or "read-back" in by_kind:
            _make_keys(tables, events)
        books = _ledgers(tables, events) if "read-back" in by_kind else {}
        segments = list(_segments(tables, events, books))
        return Evidence(
            plan=plan,
            mode=mode,
            segments=[segment for segment in segments if segment.round >= 0],
            control=[segment for segment in segments if segment.round < 0],
            oddities=_oddities(tables, events),
            read_back="read-back" in by_kind,
            trouble=next((event.why for event in events.trouble), not_finished),
            looks=[Look(event.rounds, event.arms) for event in events.look],
            damage=[*_damage(tables, events)] if "finished" in by_kind else [],
            answers=_answers(tables, events, read_back="read-back" in by_kind),
        )


def _validated(model: type[Model], data: dict[str, Any], file: Path) -> Model:
    try:
        return model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise DamagedRecord(file, f"is not as it should be: {first_error(error)}") from error


@dataclass(frozen=True)
class _Tables:
    """The Parquet files of a run, by name."""

    path: Path
    db: duckdb.DuckDBPyConnection
    files: Files

    def query(self, name: str, sql: str, **values: object) -> dict[str, Any]:
        """Columns by name, as numpy arrays with NaN for a float that is missing.

        `{}` in the SQL is the named file, `{clicks}` the one of that name.
        """
        named = {n: self._named(n) for n in TABLES if n == name or f"{{{n}}}" in sql}
        rows = {n: f"read_parquet('{file}')" for n, file in named.items()}
        try:
            columns = self.db.execute(sql.format(rows[name], **rows), values).fetchnumpy()
        except (duckdb.Error, UnicodeDecodeError) as error:  # damage in the names of columns
            why = str(error).splitlines()[0].replace(named[name], f"{name}.parquet")
            raise DamagedRecord(self._file(name), f"cannot be read: {why}") from error
        return {name: _filled(column) for name, column in columns.items()}

    def count(self, name: str, sql: str, **values: object) -> dict[str, int]:
        """The only row of a query, all integers."""
        columns = self.query(name, sql, **values)
        return {name: int(column[0]) for name, column in columns.items()}

    def need(self, name: str, columns: Sequence[str], numbers: Sequence[str]) -> None:
        """Require a value in these columns of each row, and a finite number in those.

        Raises:
            DamagedRecord: some rows lack one.
        """
        lacks = [f"{column} IS NULL" for column in columns]
        lacks += [f"NOT coalesce(isfinite({number}::DOUBLE), false)" for number in numbers]
        sql = f"SELECT count(*) FILTER ({' OR '.join(lacks)}) AS rows FROM {{}}"
        if rows := self.count(name, sql)["rows"]:
            raise DamagedRecord(
                self._file(name), f"lacks a value that it needs in {rows} of its rows"
            )

    def _named(self, name: str) -> str:
        file = self._file(name)
        if not file.is_file():
            raise DamagedRecord(file, _why_missing(file))
        try:
            return self.files.named(file)
        except OSError as error:
            raise DamagedRecord(file, f"cannot be read: {error.strerror}") from error

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.parquet"


def _why_missing(path: Path) -> str:
    if list(path.parent.glob(f"{path.stem}*.csv")):
        return "was never completed: the run was killed"
    return "is missing"


def _filled(column: Any) -> Any:
    if isinstance(column, np.ma.MaskedArray):
        return column.filled(np.nan) if column.dtype.kind == "f" else column.data
    return column


def _damage(tables: _Tables, events: Events) -> Iterator[str]:
    """What the files hold otherwise than it was written."""
    written = {name: own for event in events.written for name, own in event.sums.items()}
    held = {name: rows for event in events.held for name, rows in event.rows.items()}
    yield from (f"{name}: not counted by the primary" for name in READ_BACK if name not in held)
    for name in TABLES:
        if name not in written:
            yield f"{name}: no sum of what was written"
            continue
        seen = _sum_of(tables, name)
        if lacking := written[name].rows - seen.rows:
            some = f"{abs(lacking)} rows {'lost' if lacking > 0 else 'too many'}"
            yield f"{name}: {some} of {written[name].rows}"
        elif seen != written[name]:
            yield f"{name}: rows are not as they were written"
        elif (unread := held.get(name, 0) - seen.rows) > 0:
            yield f"{name}: {unread} of {held[name]} rows that the primary counted were not read"


def _sum_of(tables: _Tables, name: str) -> Sum:
    if name != "requests":
        return Sum(**tables.count(name, sum_sql(SCHEMAS[name])))
    file = tables.path / f"{name}.parquet"
    try:
        return sum_of_file(file, tables.db)
    except (OSError, duckdb.Error) as error:
        raise DamagedRecord(file, f"cannot be read: {error}") from error


REQUEST_NEEDS = [
    f"list_position({[*OUTCOMES]}, outcome)",
    f"list_position({[*OPERATIONS]}, operation)",
    "last",
]
REQUEST_NUMBERS = [
    *("segment", "attempt", "rank", "status", "version", "intended_s", "sent_s", "done_s"),
]
KEYS = """
    CREATE TEMP TABLE keys AS
    SELECT unnest($segments::INTEGER[]) AS segment, unnest($ranks::INTEGER[]) AS rank,
        unnest($codes::VARCHAR[]) AS key
"""
OWN_KEYS = """
    INSERT INTO keys SELECT DISTINCT segment, rank, key FROM {} AS own
    WHERE key <> '' AND NOT EXISTS (FROM keys WHERE keys.key = own.key)
        AND list_contains($segments::INTEGER[], segment)
"""
ODDITIES = """
    SELECT count(*) FILTER (r.segment NOT IN (SELECT unnest($numbers::INTEGER[]))) AS stray,
        count(*) - count(DISTINCT hash(op_id, attempt)) AS doubled,
        count(*) FILTER (NOT coalesce(named, false)
            AND (operation <> 'create' OR outcome = 'ok' OR r.key <> '')) AS misnamed,
        count(*) FILTER (CASE outcome WHEN 'ok' THEN status NOT BETWEEN 200 AND 399
            WHEN 'absent' THEN status NOT IN (404, 410)
            WHEN 'fail' THEN (status < 400 AND status <> 0) OR status IN (404, 410)
            ELSE status <> 0 END) AS contradictory,
        (SELECT count(*) FROM (SELECT count(*) AS tries, max(attempt) AS highest,
                max(attempt) FILTER (last) AS final, count(*) FILTER (last) AS lasts
            FROM {requests} AS r GROUP BY hash(op_id))
            WHERE tries <> highest OR lasts <> 1 OR final <> highest) AS disordered,
        count(*) FILTER (operation = 'follow' AND outcome = 'ok' AND (version < 1 OR age_ms IS NULL
            OR NOT isfinite(age_ms) OR age_ms < 0 OR
            NOT coalesce(list_contains($served_from::VARCHAR[], served_from), false))) AS incomplete
    FROM {requests} AS r LEFT JOIN (
        SELECT segment, rank, any_value(key) AS key, count(*) = 1 AS named FROM keys
        GROUP BY segment, rank) AS k
        ON r.segment = k.segment AND r.rank = k.rank AND r.key = k.key
"""


def _oddities(tables: _Tables, events: Events) -> Oddities:
    if not events.segment:
        return Oddities(0, 0, 0, 0, 0, 0)
    numbers = [segment.segment for segment in events.segment]
    values = {"numbers": numbers, "served_from": SERVED_FROM}
    return Oddities(**tables.count("requests", ODDITIES, **values))


def _answers(tables: _Tables, events: Events, *, read_back: bool) -> Answers:
    if not events.segment:
        return Answers()
    return answers.answers(tables.query, read_back=read_back)


def _make_keys(tables: _Tables, events: Events) -> None:
    """Make the tables of all links of the run, the segment and rank of each key, and of the shared
    ones with their first targets."""
    shared = [(e.segment, rank, code) for e in events.links for rank, code in enumerate(e.codes)]
    segments, ranks, codes = zip(*shared, strict=True) if shared else ((), (), ())
    tables.db.execute(KEYS, {"segments": [*segments], "ranks": [*ranks], "codes": [*codes]})
    tables.query("requests", OWN_KEYS, segments=[event.segment for event in events.segment])
    targets = [target for event in events.links for target in event.targets]
    tables.db.execute(answers.PREPARED, {"codes": [*codes], "targets": targets})


def _ledgers(tables: _Tables, events: Events) -> Mapping[int, Mapping[str, Ledger]]:
    """The ledgers of each segment, by kind."""
    tables.need("clicks", ["click_id", "key"], [])
    tables.need("totals", ["key"], ["total"])
    tables.need("links", ["key", "deleted"], ["version"])
    tables.need("forks", ["kind", "id"], ["segment", "version"])
    follows = {event.segment: event.follows for event in events.links}
    clicks_wait = [e.segment for e in events.segment if e.settings.get("CLICK_MODE") in CLICKS_WAIT]
    values = {"first": min(follows, default=0), "waiting": clicks_wait}
    books: dict[int, dict[str, Ledger]] = {number: {} for number in follows}
    for kind, (sql, ledger) in ledgers.KINDS.items():
        counted = f"SELECT segment, coalesce(COLUMNS(* EXCLUDE segment), 0)::BIGINT FROM ({sql})"
        asked = {name: value for name, value in values.items() if f"${name}" in sql}
        rows = tables.query("requests", counted, **asked)
        counted_in = {
            number: Counter({name: int(column[place]) for name, column in rows.items()})
            for place, number in enumerate(rows.pop("segment").tolist())
        }
        for number, own in books.items():
            own[kind] = ledger(counted_in.get(number, Counter()), follows[number])
    return books


def _segments(
    tables: _Tables, events: Events, books: Mapping[int, Mapping[str, Ledger]]
) -> Iterator[Segment]:
    if not events.segment:
        return
    tables.need("requests", REQUEST_NEEDS, REQUEST_NUMBERS)
    tables.need("look_ups", [], ["read_s", "asked_s", "answered_s"])
    tables.need("gateway", ["key", "method"], ["wall_s", "took_s", "status", "line"])
    tables.need("samples", ["name"], ["t_s", "value"])
    requests_of = store_requests(partial(tables.query, "requests"), tables.path)
    look_ups = tables.query("look_ups", LOOK_UP_COLUMNS)
    samples = _samples(tables)
    gateway = tables.query("gateway", GATEWAY_COLUMNS)
    shared = {event.segment: len(event.codes) for event in events.links}
    for segment in events.segment:
        yield Segment(
            number=segment.segment,
            arm=segment.arm,
            round=segment.round,
            settings=segment.settings,
            started_s=segment.started_s,
            ended_s=segment.ended_s,
            settled_s=math.nan if segment.settled_s is None else segment.settled_s,
            web_processes=segment.web_processes,
            shared_links=shared.get(segment.segment, 0),
            requests=requests_of(segment.segment),
            look_ups=_look_ups_of(look_ups, segment),
            samples=_slice_samples(samples, segment.from_s, segment.to_s),
            generator=segment.generator,
            counted={n: math.nan if v is None else v for n, v in segment.counted.items()},
            acts=segment.acts,
            ledgers=books.get(segment.segment, {}),
            in_force=segment.in_force,
            made_ready=_made_ready(look_ups, segment),
            gateway=_gateway_of(gateway, segment.segment),
            states=segment.states,
        )


DATABASES = np.array(["", "primary", "replica"])  # as they are numbered below
LOOK_UP_COLUMNS = """
    SELECT coalesce(k.segment, -1)::BIGINT AS segment, coalesce(k.rank, -1)::BIGINT AS rank,
        read_s::DOUBLE AS read_s, asked_s::DOUBLE AS asked_s, answered_s::DOUBLE AS answered_s,
        stored_s::DOUBLE AS stored_s, coalesce(error, '') <> '' AS failed,
        coalesce(list_position(['primary', 'replica'], db), 0)::TINYINT AS db
    FROM {} LEFT JOIN keys AS k USING (key) ORDER BY read_s
"""


def _look_ups_of(columns: Mapping[str, Any], segment: SegmentEnd) -> LookUps:
    first, last = np.searchsorted(columns["read_s"], [segment.from_s, segment.to_s])
    own = {f.name: columns[f.name][first:last] for f in fields(LookUps)}
    ours = columns["segment"][first:last] == segment.segment
    named = DATABASES[own["db"]]
    return LookUps(**own | {"rank": np.where(ours, own["rank"], -1), "db": named})


def _made_ready(columns: Mapping[str, Any], segment: SegmentEnd) -> LookUps:
    """Look-ups of the segment's own links before it."""
    before = np.searchsorted(columns["read_s"], segment.from_s)
    ours = np.flatnonzero(columns["segment"][:before] == segment.segment)
    own = {f.name: columns[f.name][ours] for f in fields(LookUps)}
    return LookUps(**own | {"db": DATABASES[own["db"]]})


# A shared link is followed once to make it ready, as often as it takes until that succeeds.
GATEWAY_COLUMNS = """
    SELECT segment, status::BIGINT AS status, took_s::DOUBLE * 1000 AS took_ms
    FROM {gateway} AS g JOIN (SELECT key, any_value(segment) AS segment FROM keys GROUP BY key) AS k
        USING (key)
    LEFT JOIN (SELECT DISTINCT key, true AS shared FROM prepared) AS p USING (key)
    LEFT JOIN (SELECT key, min(ROW(wall_s, line)) AS made_ready FROM {gateway}
        WHERE method = 'GET' AND status BETWEEN 200 AND 399 GROUP BY key) AS r USING (key)
    WHERE method = 'GET' AND (shared IS NULL OR ROW(wall_s, line) > made_ready)
    ORDER BY segment, line
"""


def _gateway_of(columns: Mapping[str, Any], segment: int) -> Gateway:
    first, last = np.searchsorted(columns["segment"], [segment, segment + 1])
    return Gateway(**{f.name: columns[f.name][first:last] for f in fields(Gateway)})


def _samples(tables: _Tables) -> Samples:
    """All samples of the run, by name."""
    sql = "SELECT DISTINCT name FROM {} ORDER BY 1"
    names = [str(name) for name in tables.query("samples", sql)["name"]]
    columns = tables.query(
        "samples",
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
