"""Evidence: a run directory read back, or refused by the name of the file that is damaged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import duckdb
import numpy as np

from chaos.model.evidence import (
    Clicks,
    Counters,
    Evidence,
    FaultEvidence,
    Floats,
    Generator,
    Mode,
    Oddities,
    OriginQueries,
    Samples,
    Segment,
)
from chaos.record.columns import bounded, shelve_requests
from chaos.record.files import Files

LARGEST = 2.0**53  # beyond it, no two programs read the same number
OTHERS = ("clicks", "totals")
Event = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class _Plan:
    """What a plan must hold, whatever else it has."""

    experiment: str
    question: str
    runtime: str
    seed: int
    mode: Mode
    arms: dict[str, dict[str, str]]
    traffic: dict[str, Any]
    faults: list[dict[str, Any]]
    command: str
    began: str
    began_s: float
    commit: str | None
    machine: dict[str, Any]
    linkstorm: str


@dataclass(frozen=True)
class _Ended:
    """What the event at the end of a segment tells."""

    segment: int
    arm: str
    round: int
    settings: dict[str, str]
    web_processes: int
    from_s: float
    to_s: float
    started_s: float
    ended_s: float
    generator: Generator
    counted: Counters


class DamagedRecord(Exception):
    """A file of a run directory is missing or cannot be read; the message names it."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of the run directory."""
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
    """All events of a run, in order."""
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
    """Everything the verdict is made from, out of the files alone.

    Raises:
        Damaged: a file is missing, truncated or does not hold what it should.
    """
    if not path.is_dir():
        raise DamagedRecord(path, "is not a run directory")
    plan = _read_plan(path / "plan.json")
    events = read_events(path)
    file = path / "events.jsonl"
    try:
        ended = [_made(_Ended, event) for event in events if event["kind"] == "segment"]
        faults = [_made(FaultEvidence, event) for event in events if event["kind"] == "fault"]
        codes = [code for event in events if event["kind"] == "links" for code in event["codes"]]
        primed = sum(event["follows"] for event in events if event["kind"] == "primed")
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedRecord(file, f"holds an event that is not as it should be: {error}") from error
    read_back = any(event["kind"] == "read-back" for event in events)
    with bounded(path) as db, Files() as files:
        tables = _Tables(path, db, files)
        segments = list(_segments(tables, ended, codes))
        return Evidence(
            plan=plan,
            mode=_made(Mode, plan["mode"]),
            segments=[segment for segment in segments if segment.round >= 0],
            control=[segment for segment in segments if segment.round < 0],
            faults=faults,
            oddities=_oddities(tables, ended, codes),
            clicks=_clicks(tables, primed) if read_back else None,
            trouble=_trouble(events),
        )


def _read_plan(file: Path) -> dict[str, Any]:
    plan = read_json(file)
    try:
        _made(_Plan, plan)
    except (TypeError, ValueError) as error:
        raise DamagedRecord(file, f"is not as it should be: {error}") from error
    return plan


def _made(kind: type[T], given: Any) -> T:
    """A dataclass out of a JSON object, each field of its own type and each number finite.

    NaN is for what may be unknown: where it is the default.

    Raises:
        ValueError: it is not; the message names the field.
    """
    if not isinstance(given, dict):
        raise ValueError(f"{given!r} is no {kind.__name__.lower()}")
    hints = _hints(kind)  # type: ignore[arg-type]
    values = {}
    for field in fields(kind):  # type: ignore[arg-type]
        if _is_unknown(field.default) and _is_unknown(given.get(field.name)):
            values[field.name] = math.nan
        elif field.name in given:
            values[field.name] = _value(hints[field.name], given[field.name], field.name)
        elif field.default is MISSING:
            raise ValueError(f"{field.name} is missing")
    return kind(**values)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _is_unknown(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _value(hint: Any, given: Any, name: str) -> Any:
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    for kind in kinds:
        if is_dataclass(kind) and given is not None:
            return _made(kind, given)  # type: ignore[arg-type]
        if _is(kind, given):
            return given
    raise ValueError(f"{name} is {given!r}")


def _is(kind: Any, given: Any) -> bool:
    """Whether a JSON value is what a type says; true and false are no numbers here."""
    if get_origin(kind) is Literal:
        return given in get_args(kind)
    if kind in (int, float):
        number = isinstance(given, int if kind is int else int | float)
        return number and not isinstance(given, bool) and abs(given) <= LARGEST
    if get_origin(kind) is dict:
        return isinstance(given, dict) and all(_is(get_args(kind)[1], v) for v in given.values())
    if get_origin(kind) is list:
        return isinstance(given, list) and all(_is(get_args(kind)[0], v) for v in given)
    return kind is Any or isinstance(given, kind)


def _trouble(events: Sequence[Event]) -> str | None:
    for event in events:
        if event["kind"] == "trouble":
            return str(event["why"])
    finished = any(event["kind"] == "finished" for event in events)
    return None if finished else "the run did not finish"


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
        named = {n: self._named(n) for n in (name, *OTHERS) if n == name or f"{{{n}}}" in sql}
        rows = {n: f"read_parquet('{file}')" for n, file in named.items()}
        try:
            columns = self.db.execute(sql.format(rows[name], **rows), values).fetchnumpy()
        except (duckdb.Error, UnicodeDecodeError) as error:  # damage in the names of columns
            why = str(error).splitlines()[0].replace(named[name], f"{name}.parquet")
            raise DamagedRecord(self._file(name), f"cannot be read: {why}") from error
        return {name: _filled(column) for name, column in columns.items()}

    def count(self, name: str, sql: str, **values: object) -> dict[str, int]:
        """The one row of whole numbers that a query yields."""
        columns = self.query(name, sql, **values)
        return {name: int(column[0]) for name, column in columns.items()}

    def need(self, name: str, columns: Sequence[str], numbers: Sequence[str]) -> None:
        """Each row needs a value in these columns, and a finite number in those.

        Raises:
            Damaged: some rows lack one.
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


REQUEST_NEEDS = ["list_position(['ok', 'fail', 'unknown'], outcome)"]
REQUEST_NUMBERS = [
    *("segment", "rank", "status", "version", "intended_s", "sent_s", "done_s"),
]
ODDITIES = """
    SELECT count(*) FILTER (NOT list_contains($numbers::INTEGER[], segment)) AS stray,
        count(*) - count(DISTINCT hash(op_id)) AS doubled,
        count(*) FILTER (key IS DISTINCT FROM ($codes::VARCHAR[])[rank + 1]) AS misnamed,
        count(*) FILTER (CASE outcome WHEN 'ok' THEN status NOT BETWEEN 200 AND 399
            WHEN 'fail' THEN status < 400 AND status <> 0 ELSE status <> 0 END) AS contradictory,
        count(*) FILTER (outcome = 'ok' AND (version < 1 OR age_ms IS NULL OR NOT isfinite(age_ms)
            OR age_ms < 0 OR coalesce(click_id, '') = '' OR coalesce(served_from, '') NOT IN
            ('hit', 'stale', 'early', 'wait', 'miss', 'near'))) AS incomplete
    FROM {}
"""


def _oddities(tables: _Tables, ended: Sequence[_Ended], codes: Sequence[str]) -> Oddities:
    if not ended:
        return Oddities(0, 0, 0, 0, 0)
    numbers = [segment.segment for segment in ended]
    return Oddities(**tables.count("requests", ODDITIES, numbers=numbers, codes=codes))


def _segments(tables: _Tables, ended: Sequence[_Ended], codes: Sequence[str]) -> Iterator[Segment]:
    if not ended:
        return
    tables.need("requests", REQUEST_NEEDS, REQUEST_NUMBERS)
    tables.need("origin_queries", [], ["read_s", "asked_s", "answered_s"])
    tables.need("samples", ["name"], ["t_s", "value"])
    requests_of = shelve_requests(partial(tables.query, "requests"), tables.path)
    origin = tables.query("origin_queries", ORIGIN_COLUMNS, codes=codes)
    samples = _samples(tables)
    for segment in ended:
        yield Segment(
            arm=segment.arm,
            round=segment.round,
            settings=segment.settings,
            started_s=segment.started_s,
            ended_s=segment.ended_s,
            web_processes=segment.web_processes,
            requests=requests_of(segment.segment),
            origin=_slice_origin(origin, segment.from_s, segment.to_s),
            samples=_slice_samples(samples, segment.from_s, segment.to_s),
            generator=segment.generator,
            counted=segment.counted,
        )


ORIGIN_COLUMNS = """
    SELECT coalesce(list_position($codes::VARCHAR[], key), 0)::BIGINT - 1 AS rank,
        read_s::DOUBLE AS read_s, asked_s::DOUBLE AS asked_s, answered_s::DOUBLE AS answered_s,
        stored_s::DOUBLE AS stored_s
    FROM {} ORDER BY read_s
"""


def _slice_origin(columns: Mapping[str, Any], from_s: float, to_s: float) -> OriginQueries:
    first, last = np.searchsorted(columns["read_s"], [from_s, to_s])
    return OriginQueries(**{f.name: columns[f.name][first:last] for f in fields(OriginQueries)})


def _samples(tables: _Tables) -> Samples:
    """All samples of the run; a number stands for each name until they are apart."""
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


CLICKS = """
    WITH ids AS (
        SELECT click_id, key, count(*) FILTER (ours) AS times, count(*) FILTER (NOT ours) AS rows
        FROM (SELECT click_id, key, true AS ours FROM {0} WHERE outcome = 'ok' AND click_id <> ''
              UNION ALL SELECT click_id, key, false FROM {clicks})
        GROUP BY click_id, key),
    of_key AS (SELECT key, sum(rows) AS rows FROM ids GROUP BY key)
    SELECT coalesce(sum(times), 0) AS acknowledged,
        count(*) FILTER (rows > 0) AS counted,
        coalesce(sum(times - least(rows, 1)) FILTER (times > 0), 0) AS lost,
        coalesce(sum(rows - 1) FILTER (rows > 0), 0) AS duplicated,
        (SELECT coalesce(sum(abs(coalesce(total, 0) - coalesce(rows, 0))), 0)
            FROM {totals} FULL JOIN of_key USING (key)) AS miscounted,
        count(*) FILTER (times = 0) AS strangers,
        (SELECT count(*) FROM {0} WHERE outcome = 'unknown' OR status >= 500) AS unsure
    FROM ids
"""


def _clicks(tables: _Tables, primed: int) -> Clicks:
    """Clicks acknowledged to clients against those in the primary, by id and link.

    The requests that warm the cache are answered, but not on record: their clicks have ids that no
    client knows, and so has the click of a request whose answer never came, or was a gateway's, if
    there is one. So many strangers there must be at least, and may be at most.
    """
    tables.need("clicks", ["click_id", "key"], [])
    tables.need("totals", ["key"], ["total"])
    row = tables.count("requests", CLICKS)
    strangers, unsure = row.pop("strangers"), row.pop("unsure")
    row["lost"] += max(0, primed - strangers)
    return Clicks(**row, unexpected=max(0, strangers - primed - unsure))
