"""What happened in a run over time, read from its Parquet files and ready to be drawn.

Each arm has a time of its own: its rounds laid end to end, with a short gap between them. Only the
columns that are drawn are read, and DuckDB does the counting, so a million requests take seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from chaos.evidence import Damaged, Event, read_events
from chaos.model import HOT_RANK
from reports.arm_time import Span, fault_spans, on_arm_time, pitch_s, round_span

RATE_BIN_S = 0.1
ORIGIN_BIN_S = 0.05
PERCENTILE_BIN_S = 0.25
POINTS_MAX = 80_000

Columns = dict[str, Any]


@dataclass(frozen=True)
class ArmHistory:
    """What one arm did: columns of points and bins against its time, by name of column."""

    rounds: Sequence[Span]
    faults: Sequence[Span]
    expiries_s: Sequence[float]
    points: Columns  # x, latency, age, outcome, status, served
    offered: Columns  # x, rate
    achieved: Columns  # x, rate
    percentiles: Columns  # x, p50, p99
    origin: Columns  # x, queries


@dataclass(frozen=True)
class Thinning:
    """How many of the hot key's requests are drawn, and which."""

    requests: int
    drawn: int
    slow: int = 0  # of those drawn, how many because they failed or were the slowest
    every: int = 1  # of the others, one in so many


@dataclass(frozen=True)
class History:
    """What all arms did; `missing` names what the record lacks."""

    arms: Mapping[str, ArmHistory]
    thinning: Thinning
    missing: Sequence[str] = field(default_factory=list)


def read_history(
    run_dir: Path, arms: Mapping[str, Sequence[float]], points_max: int = POINTS_MAX
) -> History:
    """Everything that the timelines draw, for arms with the moments of their expiries.

    What is missing leaves its lines empty and is named.
    """
    try:
        events = read_events(run_dir)
        return _history(run_dir, arms, events, points_max)
    except (Damaged, KeyError, TypeError, duckdb.Error) as error:
        return History({}, Thinning(0, 0), [f"what the timelines need: {error}"])


def _history(
    run_dir: Path, arms: Mapping[str, Sequence[float]], events: Sequence[Event], points_max: int
) -> History:
    segments = [e for e in events if e["kind"] == "segment" and e["arm"] in arms]
    names = ("requests", "origin_queries")
    missing = [f"{name}.parquet" for name in names if not _whole(run_dir, name)]
    with duckdb.connect() as db:
        _create_segments(db, segments)
        _create_views(db, run_dir, missing, events)
        thinning = _create_points(db, points_max)
        seen = [arm for arm in arms if any(segment["arm"] == arm for segment in segments)]
        histories = {arm: _arm_history(db, arm, arms[arm], segments, events) for arm in seen}
    return History(histories, thinning, missing)


def _whole(run_dir: Path, name: str) -> bool:
    """Whether a Parquet file is there and can be read."""
    try:
        with duckdb.connect() as db:
            db.execute(f"SELECT 1 FROM read_parquet({_quoted(run_dir, name)}) LIMIT 1")
    except duckdb.Error:
        return False
    return True


def _quoted(run_dir: Path, name: str) -> str:
    path = str(run_dir / f"{name}.parquet").replace("'", "''")
    return f"'{path}'"


# --- tables in an arm's own time ----------------------------------------------------------------


def _create_segments(db: duckdb.DuckDBPyConnection, segments: Sequence[Event]) -> None:
    """A table of all segments; `origin_s + x` is the host's clock at an arm's own time x."""
    db.execute(
        "CREATE TABLE segments (segment INT, arm VARCHAR, started_s DOUBLE, ended_s DOUBLE,"
        " from_s DOUBLE, to_s DOUBLE, origin_s DOUBLE)"
    )
    apart_s = pitch_s(segments)
    for event in segments:
        origin_s = event["started_s"] - event["round"] * apart_s
        times = [event[name] for name in ("started_s", "ended_s", "from_s", "to_s")]
        db.execute(
            "INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?)",
            [event["segment"], event["arm"], *times, origin_s],
        )


def _create_views(
    db: duckdb.DuckDBPyConnection, run_dir: Path, missing: Sequence[str], events: Sequence[Event]
) -> None:
    """`requests` and `origin` with their arm and its time; empty where the file is missing."""
    codes = [code for e in events if e["kind"] == "links" for code in e["codes"]]
    hot = codes[HOT_RANK] if codes else ""
    db.execute("CREATE TABLE hot AS SELECT ?::VARCHAR AS key", [hot])
    for name, sql in (("requests", REQUESTS), ("origin_queries", ORIGIN)):
        empty = f"{name}.parquet" in missing
        source = EMPTY[name] if empty else f"read_parquet({_quoted(run_dir, name)})"
        db.execute(sql.format(source=source))


EMPTY = {
    "requests": "(SELECT 0 AS segment, 0 AS rank, 0.0 AS intended_s, 0.0 AS done_s, 0.0 AS age_ms,"
    " '' AS outcome, 0 AS status, '' AS served_from WHERE false)",
    "origin_queries": "(SELECT '' AS key, 0.0 AS read_s, 0.0 AS asked_s WHERE false)",
}
REQUESTS = """
    CREATE VIEW requests AS SELECT arm, rank, outcome, status, served_from, age_ms,
        intended_s - origin_s AS x, done_s - origin_s AS done_x,
        (done_s - intended_s) * 1000 AS latency
    FROM {source} JOIN segments USING (segment)
"""
ORIGIN = """
    CREATE TABLE origin AS SELECT arm, asked_s - origin_s AS x
    FROM {source} AS queries JOIN segments ON read_s BETWEEN from_s AND ended_s
    WHERE key = (SELECT key FROM hot)
"""


# --- points ------------------------------------------------------------------------------------


def _create_points(db: duckdb.DuckDBPyConnection, points_max: int) -> Thinning:
    """The hot key's requests; where they are too many, the failed and slowest and every n-th."""
    columns = "arm, x, latency, age_ms, outcome, status, served_from"
    hot = f"SELECT {columns} FROM requests WHERE rank = {HOT_RANK}"
    ((count,),) = db.execute(f"SELECT count(*) FROM ({hot})").fetchall()
    slow, every = 0, 1
    if count > points_max:
        slow = points_max // 2
        every = math.ceil((count - slow) / (points_max - slow))
    ranked = (
        "row_number() OVER (ORDER BY outcome = 'ok', latency DESC) AS slowness,"
        " row_number() OVER (ORDER BY arm, x) AS turn"
        if every > 1
        else "0 AS slowness, 0 AS turn"
    )
    db.execute(
        f"CREATE TABLE points AS SELECT {columns} FROM (SELECT *, {ranked} FROM ({hot}))"
        f" WHERE slowness <= {slow} OR turn % {every} = 0"
    )
    ((drawn,),) = db.execute("SELECT count(*) FROM points").fetchall()
    return Thinning(int(count), int(drawn), slow, every)


# --- one arm -----------------------------------------------------------------------------------

POINTS = """
    SELECT x, latency, coalesce(age_ms, 'nan') / 1000 AS age, outcome, status, served_from AS served
    FROM points WHERE arm = $arm ORDER BY x
"""
RATE = """
    SELECT floor({when} / $bin) * $bin AS x, count(*) / $bin AS rate
    FROM requests WHERE arm = $arm AND {which} GROUP BY 1 ORDER BY 1
"""
PERCENTILES = """
    SELECT (floor(x / $bin) + 0.5) * $bin AS x, quantile_cont(latency, 0.5) AS p50,
        quantile_cont(latency, 0.99) AS p99
    FROM requests WHERE arm = $arm AND rank = 0 GROUP BY 1 ORDER BY 1
"""
QUERIES = """
    SELECT floor(x / $bin) * $bin AS x, count(*)::DOUBLE AS queries
    FROM origin WHERE arm = $arm GROUP BY 1 ORDER BY 1
"""


def _arm_history(
    db: duckdb.DuckDBPyConnection,
    arm: str,
    expiries_s: Sequence[float],
    segments: Sequence[Event],
    events: Sequence[Event],
) -> ArmHistory:
    def columns(sql: str, **values: float) -> Columns:
        return db.execute(sql, {"arm": arm, **values}).fetchnumpy()

    offered = RATE.format(when="x", which="true")
    achieved = RATE.format(when="done_x", which="outcome = 'ok'")
    apart_s = pitch_s(segments)
    own = [segment for segment in segments if segment["arm"] == arm]
    rounds = [round_span(segment, apart_s) for segment in own]
    return ArmHistory(
        rounds=rounds,
        faults=list(fault_spans(own, events, apart_s)),
        expiries_s=list(on_arm_time(expiries_s, own, apart_s)),
        points=_compact(columns(POINTS)),
        offered=_on_grid(columns(offered, bin=RATE_BIN_S), rounds, RATE_BIN_S, 0.0),
        achieved=_on_grid(columns(achieved, bin=RATE_BIN_S), rounds, RATE_BIN_S, 0.0),
        percentiles=_on_grid(
            columns(PERCENTILES, bin=PERCENTILE_BIN_S), rounds, PERCENTILE_BIN_S, math.nan
        ),
        origin=_compact(columns(QUERIES, bin=ORIGIN_BIN_S)),
    )


def _compact(columns: Columns) -> Columns:
    """Numbers in 32 bits, which is finer than a screen; "" for a missing text."""
    return {
        name: np.ma.filled(column.astype(np.float32), np.nan)
        if column.dtype.kind in "fiu"
        else [text or "" for text in np.ma.filled(column, "")]
        for name, column in columns.items()
    }


def _on_grid(columns: Columns, rounds: Sequence[Span], bin_s: float, empty: float) -> Columns:
    """Every bin of every round, with `empty` where nothing happened and a break between rounds."""
    names = [name for name in columns if name != "x"]
    index = np.floor(columns["x"] / bin_s + 1e-6).astype(int).tolist()
    at = {number: place for place, number in enumerate(index)}
    rows: list[tuple[float, ...]] = []
    for span in rounds:
        first, last = round(span.from_s / bin_s), math.ceil(span.to_s / bin_s - 1e-6)
        for number in range(first, last):
            values = (columns[name][at[number]] if number in at else empty for name in names)
            rows.append(((number + 0.5) * bin_s, *values))
        rows.append((span.to_s, *(math.nan for _ in names)))
    table = np.array(rows, dtype=np.float32).reshape(len(rows), 1 + len(names))
    return {name: table[:, place] for place, name in enumerate(("x", *names))}
