"""The history of a run over time, read from its Parquet files and ready to be drawn.

Each arm has its own time axis: its rounds laid end to end, with a short gap between them. DuckDB
aggregates in bounded memory, and the result is bounded, too: bins get wider and points fewer, so
ten million requests make a page no larger than a hundred thousand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from chaos.model.evidence import HOT_RANK
from chaos.record.files import Files
from chaos.record.reader import DamagedRecord, Event, read_events
from chaos.record.stored_columns import bounded_duckdb
from reports.arm_time import ArmSpan, fault_spans, on_arm_time, pitch_s, round_span

POINTS_MAX = 80_000
BINS_MAX = 3_000  # an arm
OPENING_S = 10.0
BATCH_REQUESTS = 1_000_000
STEPS_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)

Columns = dict[str, Any]


@dataclass(frozen=True)
class Bins:
    """Bin lengths of each line, in seconds: as short as the length of the run allows."""

    rate_s: float = 0.1
    percentile_s: float = 0.25
    origin_s: float = 0.05


@dataclass(frozen=True)
class ArmHistory:
    """The history of one arm: columns of points and bins over its time, by column name."""

    rounds: Sequence[ArmSpan]
    faults: Sequence[ArmSpan]
    expiries_s: Sequence[float]
    points: Columns  # x, latency, age, outcome, status, served
    offered: Columns  # x, end, rate
    achieved: Columns  # x, end, rate
    percentiles: Columns  # x, end, p50, p99
    origin: Columns  # x, until, queries


@dataclass(frozen=True)
class Thinning:
    """The sample of the hot key's requests that is drawn.

    All of an arm's first `opening_s` seconds; then one in `every`, one in `every_failed` of those
    that did not succeed, and the slowest and the oldest of each `extremes_s` seconds.
    """

    requests: int
    drawn: int
    every: int = 1
    failed: int = 0
    every_failed: int = 1
    extremes_s: float = 0.0
    opening_s: float = 0.0


@dataclass(frozen=True)
class RunHistory:
    """The history of all arms; `missing` names the absent parts of the record."""

    arms: Mapping[str, ArmHistory]
    thinning: Thinning
    bins: Bins = Bins()
    missing: Sequence[str] = field(default_factory=list)


def read_history(
    run_dir: Path, arms: Mapping[str, Sequence[float]], points_max: int = POINTS_MAX
) -> RunHistory:
    """Read the history of some arms; `arms` holds the moments of their expiries.

    Lines whose data is missing stay empty.
    """
    try:
        events = read_events(run_dir)
        return _history(run_dir, arms, events, points_max)
    except (DamagedRecord, KeyError, TypeError, duckdb.Error) as error:
        return RunHistory({}, Thinning(0, 0), missing=[f"what the timelines need: {error}"])


def _history(
    run_dir: Path, arms: Mapping[str, Sequence[float]], events: Sequence[Event], points_max: int
) -> RunHistory:
    segments = [e for e in events if e["kind"] == "segment" and e["arm"] in arms]
    bins = _bins(segments)
    with bounded_duckdb(run_dir) as db, Files() as files:
        sources = {name: _source(db, files, run_dir / f"{name}.parquet") for name in EMPTY}
        _create_segments(db, segments)
        _create_views(db, sources, events)
        thinning = _create_points(db, segments, points_max, bins.percentile_s)
        _create_bins(db, segments, bins)
        seen = [arm for arm in arms if any(segment["arm"] == arm for segment in segments)]
        histories = {arm: _arm_history(db, arm, arms[arm], segments, events, bins) for arm in seen}
    missing = [f"{name}.parquet" for name, source in sources.items() if source is None]
    return RunHistory(histories, thinning, bins, missing)


def _bins(segments: Sequence[Event]) -> Bins:
    """The shortest round lengths with at most `BINS_MAX` bins an arm, or one bin a round."""
    rounds = 1 + max((segment["round"] for segment in segments), default=0)
    round_s = _round_s(segments)
    needed_s = rounds * round_s / BINS_MAX
    step_s = min(next((step for step in STEPS_S if step >= needed_s), round_s), round_s)
    return Bins(*(max(least, round(step_s, 3)) for least in astuple(Bins())))


def _round_s(segments: Sequence[Event]) -> float:
    """Seconds of arrivals in the longest round."""
    return max((segment["ended_s"] - segment["started_s"] for segment in segments), default=0.0)


def _source(db: duckdb.DuckDBPyConnection, files: Files, file: Path) -> str | None:
    """A SQL expression for a Parquet file; None if the file is missing or unreadable."""
    try:
        rows = f"read_parquet('{files.named(file)}', file_row_number = true)"
        db.execute(f"SELECT 1 FROM {rows} LIMIT 1")
    except (OSError, duckdb.Error):
        return None
    return rows


# --- tables in an arm's own time ----------------------------------------------------------------


def _create_segments(db: duckdb.DuckDBPyConnection, segments: Sequence[Event]) -> None:
    """Create a table of segments; `started_s - began` is the host's clock at arm time 0."""
    db.execute(
        "CREATE TABLE segments (segment INT, arm VARCHAR, started_s DOUBLE, ended_s DOUBLE,"
        " from_s DOUBLE, to_s DOUBLE, began DOUBLE)"
    )
    apart_s = pitch_s(segments)
    names = ("segment", "arm", "started_s", "ended_s", "from_s", "to_s")
    columns = [[event[name] for event in segments] for name in names]
    began = [event["round"] * apart_s for event in segments]
    db.execute(f"INSERT INTO segments SELECT {', '.join(['unnest(?)'] * 7)}", [*columns, began])


def _create_views(
    db: duckdb.DuckDBPyConnection, sources: Mapping[str, str | None], events: Sequence[Event]
) -> None:
    """Create `requests` and `origin` with times in their round; empty if the file is missing."""
    codes = [code for e in events if e["kind"] == "links" for code in e["codes"]]
    hot = codes[HOT_RANK] if codes else ""
    db.execute("CREATE TABLE hot AS SELECT ?::VARCHAR AS key", [hot])
    for name, sql in (("requests", REQUESTS), ("origin_queries", ORIGIN)):
        db.execute(sql.format(source=sources[name] or EMPTY[name]))


EMPTY = {
    "requests": "(SELECT 0 AS segment, 0 AS rank, 0.0 AS intended_s, 0.0 AS done_s, 0.0 AS age_ms,"
    " '' AS outcome, 0 AS status, '' AS served_from, 0 AS file_row_number WHERE false)",
    "origin_queries": "(SELECT '' AS key, 0.0 AS read_s, 0.0 AS asked_s WHERE false)",
}
REQUESTS = """
    CREATE VIEW requests AS SELECT segment, arm, rank, outcome, status, served_from, age_ms,
        began, intended_s - started_s AS due, done_s - started_s AS done,
        ended_s - started_s AS length,
        (done_s - intended_s) * 1000 AS latency, file_row_number AS row
    FROM {source} JOIN segments USING (segment)
"""
ORIGIN = """
    CREATE TABLE origin AS
    SELECT arm, began, asked_s - started_s AS asked, ended_s - started_s AS length
    FROM {source} AS queries JOIN segments ON read_s >= from_s AND read_s <= ended_s
    WHERE key = (SELECT key FROM hot)
"""


# --- points ------------------------------------------------------------------------------------

COUNT = "SELECT count(*), count(*) FILTER (outcome <> 'ok') FROM requests WHERE rank = $hot"
POINTS = """
    CREATE TABLE points AS
    SELECT arm, began + due AS x, latency, age_ms, outcome, status, served_from
    FROM requests
    WHERE rank = $hot AND (
        row % $every = 0 OR (began = 0 AND due < $opening)
        OR (outcome <> 'ok' AND row % $every_failed = 0)
        OR row IN (SELECT unnest([arg_max(row, latency), arg_max(row, age_ms)]) FROM requests
                   WHERE rank = $hot AND $every > 1 GROUP BY segment, floor(due / $bin)))
"""


def _create_points(
    db: duckdb.DuckDBPyConnection, segments: Sequence[Event], points_max: int, bin_s: float
) -> Thinning:
    """Create the points: all of the hot key's requests, or the opening and a sample."""
    ((count, failed),) = db.execute(COUNT, {"hot": HOT_RANK}).fetchall()
    every, every_failed, opening_s = 1, 1, 0.0
    if count > points_max:
        every = math.ceil(count / (points_max // 2))
        every_failed = math.ceil(failed / (points_max // 8)) or 1
        opening_s = _opening_s(segments, count, points_max // 4)
    values = {"every": every, "every_failed": every_failed, "opening": opening_s}
    db.execute(POINTS, {"hot": HOT_RANK, "bin": bin_s, **values})
    ((drawn,),) = db.execute("SELECT count(*) FROM points").fetchall()
    return Thinning(int(count), int(drawn), every, int(failed), every_failed, bin_s, opening_s)


def _opening_s(segments: Sequence[Event], count: int, points: int) -> float:
    """Seconds at the beginning of all arms that hold about `points` requests; 10 s at most."""
    length_s = sum(segment["ended_s"] - segment["started_s"] for segment in segments)
    arms = len({segment["arm"] for segment in segments})
    enough_s = min(OPENING_S, points / (arms * count / length_s))
    opening_s = max((step for step in STEPS_S if step <= enough_s), default=0.0)
    return min(opening_s, round(_round_s(segments), 3))


# --- bins --------------------------------------------------------------------------------------

RATES = """
    CREATE TABLE {name} AS
    WITH binned AS (
        SELECT arm, began, length,
            least(floor({when} / $bin), ceil(length / $bin - 1e-6) - 1) AS bin
        FROM requests WHERE {which} AND {when} >= 0 AND {when} < length)
    SELECT arm, began, bin, count(*) / least($bin, min(length) - bin * $bin) AS rate
    FROM binned GROUP BY arm, began, bin
"""
PERCENTILES = """
    INSERT INTO percentiles
    SELECT arm, began, floor(due / $bin), quantile_cont(latency, [0.5, 0.99])
    FROM requests WHERE rank = $hot AND segment BETWEEN $first AND $last GROUP BY ALL
"""
QUERIES = """
    CREATE TABLE queries AS
    SELECT arm, began + floor(asked / $bin) * $bin AS x,
        began + greatest(max(asked), least((floor(asked / $bin) + 1) * $bin, max(length))) AS until,
        count(*)::DOUBLE AS queries
    FROM origin GROUP BY arm, began, floor(asked / $bin)
"""


def _create_bins(db: duckdb.DuckDBPyConnection, segments: Sequence[Event], bins: Bins) -> None:
    """Aggregate all requests by bin and round.

    A percentile needs all its values at once, so percentiles are computed in batches of segments.
    """
    offered = RATES.format(name="offered", when="due", which="true")
    achieved = RATES.format(name="achieved", when="done", which="outcome = 'ok'")
    db.execute(offered, {"bin": bins.rate_s})
    db.execute(achieved, {"bin": bins.rate_s})
    db.execute("CREATE TABLE percentiles (arm VARCHAR, began DOUBLE, bin DOUBLE, p DOUBLE[])")
    for first, last in _batches(segments):
        values = {"bin": bins.percentile_s, "hot": HOT_RANK, "first": first, "last": last}
        db.execute(PERCENTILES, values)
    db.execute(QUERIES, {"bin": bins.origin_s})


def _batches(segments: Sequence[Event]) -> Iterator[tuple[int, int]]:
    """First and last segment number of batches with about `BATCH_REQUESTS` requests each."""
    sent = 0
    first = None
    for event in segments:
        first = event["segment"] if first is None else first
        sent += event["generator"]["sent"]
        if sent >= BATCH_REQUESTS or event is segments[-1]:
            yield first, event["segment"]
            sent, first = 0, None


# --- one arm -----------------------------------------------------------------------------------

OF_ARM = {
    "points": "x, latency, coalesce(age_ms, 'nan') / 1000 AS age, outcome, status,"
    " served_from AS served",
    "offered": "began, bin, rate",
    "achieved": "began, bin, rate",
    "percentiles": "began, bin, p[1] AS p50, p[2] AS p99",
    "queries": "x, until, queries",
}


def _arm_history(
    db: duckdb.DuckDBPyConnection,
    arm: str,
    expiries_s: Sequence[float],
    segments: Sequence[Event],
    events: Sequence[Event],
    bins: Bins,
) -> ArmHistory:
    found = {
        name: db.execute(f"SELECT {columns} FROM {name} WHERE arm = $1 ORDER BY ALL", [arm])
        .fetchnumpy()
        for name, columns in OF_ARM.items()
    }  # fmt: skip
    apart_s = pitch_s(segments)
    own = [segment for segment in segments if segment["arm"] == arm]
    rounds = [round_span(segment, apart_s) for segment in own]
    return ArmHistory(
        rounds=rounds,
        faults=list(fault_spans(own, events, apart_s)),
        expiries_s=list(on_arm_time(expiries_s, own, apart_s)),
        points=_compact(found["points"]),
        offered=_on_grid(found["offered"], rounds, bins.rate_s, 0.0),
        achieved=_on_grid(found["achieved"], rounds, bins.rate_s, 0.0),
        percentiles=_on_grid(found["percentiles"], rounds, bins.percentile_s, math.nan),
        origin=_compact(found["queries"]),
    )


def _compact(columns: Columns) -> Columns:
    """Store numbers in 32 bits, which is finer than a screen; "" for a missing text."""
    return {
        name: np.ma.filled(column.astype(np.float32), np.nan)
        if column.dtype.kind in "fiu"
        else [text or "" for text in np.ma.filled(column, "")]
        for name, column in columns.items()
    }


def _on_grid(columns: Columns, rounds: Sequence[ArmSpan], bin_s: float, empty: float) -> Columns:
    """Every bin of every round, `empty` where it has no data, with a break between rounds."""
    names = [name for name in columns if name not in ("began", "bin")]
    began, places = columns["began"], columns["bin"].astype(int)
    parts: list[Any] = []
    for span in rounds:
        count = math.ceil((span.to_s - span.from_s) / bin_s - 1e-6)
        part = np.full((count + 1, 2 + len(names)), empty, dtype=np.float32)
        edges = np.minimum(span.from_s + np.arange(count + 2) * bin_s, span.to_s)
        part[:, 0], part[:, 1] = edges[:-1], edges[1:]
        part[-1, 2:] = math.nan
        own = slice(*np.searchsorted(began, [span.from_s - 1e-6, span.from_s + 1e-6]))
        inside = places[own] < count
        for column, name in enumerate(names, start=2):
            part[places[own][inside], column] = columns[name][own][inside]
        parts.append(part)
    table = np.concatenate(parts) if parts else np.zeros((0, 2 + len(names)), dtype=np.float32)
    return {name: table[:, place] for place, name in enumerate(("x", "end", *names))}
