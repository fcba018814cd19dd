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

import duckdb

from chaos.model.experiment import Strip
from chaos.record.files import Files
from chaos.record.ledgers import ACKNOWLEDGED_WRITES
from chaos.record.reader import DamagedRecord, Event, read_events
from chaos.record.stored_columns import bounded_duckdb
from reports.arm_history import ArmHistory, ArmTables, Bins, Rank, ranks
from reports.arm_time import pitch_s
from reports.sampled_series import Readings, readings

POINTS_MAX = 80_000
BINS_MAX = 3_000  # an arm
OPENING_S = 10.0
BATCH_REQUESTS = 1_000_000
STEPS_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)


@dataclass(frozen=True)
class Thinning:
    """The sample of the requests for one link, or of all, that is drawn.

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
    thinning: Mapping[Rank, Thinning] = field(default_factory=dict)
    bins: Bins = field(default_factory=Bins)
    missing: Sequence[str] = field(default_factory=list)


def read_history(
    run_dir: Path,
    arms: Mapping[str, Sequence[float]],
    strips: Sequence[Strip],
    points_max: int = POINTS_MAX,
) -> RunHistory:
    """Read what strips show of some arms; `arms` holds the moments of their events.

    Lines whose data is missing stay empty.
    """
    try:
        events = read_events(run_dir)
        return _history(run_dir, arms, strips, events, points_max)
    except (DamagedRecord, KeyError, TypeError, duckdb.Error) as error:
        return RunHistory({}, missing=[f"what the timelines need: {error}"])


def _history(
    run_dir: Path,
    arms: Mapping[str, Sequence[float]],
    strips: Sequence[Strip],
    events: Sequence[Event],
    points_max: int,
) -> RunHistory:
    segments = [e for e in events if e["kind"] == "segment" and e["arm"] in arms]
    bins = _bins(segments)
    drawn = ranks(strips, "requests")
    with bounded_duckdb(run_dir) as db, Files() as files:
        needed = EMPTY if _draws_writes(strips) else EMPTY.keys() - {"links"}
        sources = {n: _source(db, files, run_dir / f"{n}.parquet") for n in EMPTY if n in needed}
        _create_segments(db, segments)
        _create_views(db, sources, events)
        share = points_max // max(len(drawn), 1)
        thinning = {rank: _create_points(db, segments, rank, share, bins) for rank in drawn}
        _create_bins(db, segments, bins, strips)
        if sources.get("links") and sources["requests"]:
            db.execute(WRITE_BINS.format(**sources), {"bin": bins.rate_s})
        series = _read_series(db, sources["samples"] or EMPTY["samples"], strips)
        seen = [arm for arm in arms if any(segment["arm"] == arm for segment in segments)]
        tables = ArmTables(db, segments, bins)
        histories = {arm: tables.history(arm, arms[arm], strips, series) for arm in seen}
    missing = [f"{name}.parquet" for name, source in sources.items() if source is None]
    return RunHistory(histories, thinning, bins, missing)


def _read_series(
    db: duckdb.DuckDBPyConnection, source: str, strips: Sequence[Strip]
) -> Mapping[str, Sequence[Readings]]:
    names = dict.fromkeys(strip.value for strip in strips if strip.source == "samples")
    return {name: readings(db, source, name) for name in names}


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
    """Create `requests` and `asked` with times in their round; empty if the file is missing."""
    links = [e for e in events if e["kind"] == "links"]
    keys = [(e["segment"], rank, key) for e in links for rank, key in enumerate(e["codes"])]
    columns = [list(column) for column in zip(*keys, strict=True)] or [[], [], []]
    db.execute(TABLES)
    db.execute("INSERT INTO keys SELECT unnest(?), unnest(?), unnest(?)", columns)
    for name, sql in (("requests", REQUESTS), ("look_ups", LOOK_UPS)):
        db.execute(sql.format(source=sources[name] or EMPTY[name]))


TABLES = """
    CREATE TABLE keys (segment INT, rank INT, key VARCHAR);
    CREATE TABLE points (link INT, arm VARCHAR, x DOUBLE, latency DOUBLE, age DOUBLE,
        outcome VARCHAR, status INT, what VARCHAR);
    CREATE TABLE percentiles (link INT, arm VARCHAR, began DOUBLE, bin DOUBLE, p DOUBLE[]);
    CREATE TABLE look_ups (link INT, arm VARCHAR, x DOUBLE, until DOUBLE, look_ups DOUBLE);
    CREATE TABLE writes (arm VARCHAR, x DOUBLE, until DOUBLE, lost DOUBLE, acknowledged DOUBLE);
"""
EMPTY = {
    "requests": "(SELECT 0 AS segment, 0 AS rank, 0.0 AS intended_s, 0.0 AS done_s, 0.0 AS age_ms,"
    " '' AS outcome, 0 AS status, '' AS served_from, '' AS operation, 1 AS attempt,"
    " 0 AS file_row_number WHERE false)",
    "look_ups": "(SELECT '' AS key, 0.0 AS read_s, 0.0 AS asked_s WHERE false)",
    "samples": "(SELECT 0.0 AS t_s, '' AS name, 0.0 AS value WHERE false)",
    "links": "(SELECT '' AS key, 0 AS version, false AS deleted WHERE false)",
}
REQUESTS = """
    CREATE VIEW requests AS SELECT segment, arm, rank, outcome, status, age_ms,
        CASE operation WHEN 'follow' THEN coalesce(served_from, '') ELSE operation END
            || CASE WHEN attempt > 1 THEN ', try ' || attempt ELSE '' END AS what,
        began, intended_s - started_s AS due, done_s - started_s AS done,
        ended_s - started_s AS length,
        (done_s - intended_s) * 1000 AS latency, file_row_number AS row
    FROM {source} JOIN segments USING (segment)
"""
LOOK_UPS = """
    CREATE TABLE asked AS
    SELECT arm, began, rank, asked_s - started_s AS asked, ended_s - started_s AS length
    FROM {source} AS look_ups JOIN segments ON read_s >= from_s AND read_s <= ended_s
        LEFT JOIN keys ON keys.key = look_ups.key AND keys.segment = segments.segment
"""
OF_RANK = "($rank IS NULL OR rank = $rank)"


# --- points ------------------------------------------------------------------------------------

DRAWABLE = f"{OF_RANK} AND due < length"
COUNT = f"""
    SELECT count(*), count(*) FILTER (outcome <> 'ok')
    FROM requests WHERE {DRAWABLE}
"""
POINTS = f"""
    INSERT INTO points
    SELECT $rank, arm, began + due, latency, coalesce(age_ms, 'nan') / 1000, outcome, status, what
    FROM requests
    WHERE {DRAWABLE} AND (
        row % $every = 0 OR (began = 0 AND due < $opening)
        OR (outcome <> 'ok' AND row % $every_failed = 0)
        OR row IN (SELECT unnest([arg_max(row, latency), arg_max(row, age_ms)]) FROM requests
                   WHERE {DRAWABLE} AND $every > 1 GROUP BY segment, floor(due / $bin)))
"""


def _create_points(
    db: duckdb.DuckDBPyConnection,
    segments: Sequence[Event],
    rank: Rank,
    points_max: int,
    bins: Bins,
) -> Thinning:
    """Add the points of a link, or of all: every request, or the opening and a sample."""
    ((count, failed),) = db.execute(COUNT, {"rank": rank}).fetchall()
    every, every_failed, opening_s = 1, 1, 0.0
    if count > points_max:
        every = math.ceil(count / (points_max // 2))
        every_failed = math.ceil(failed / (points_max // 8)) or 1
        opening_s = _opening_s(segments, count, points_max // 4)
    values = {"every": every, "every_failed": every_failed, "opening": opening_s}
    ((drawn,),) = db.execute(POINTS, {"rank": rank, "bin": bins.percentile_s, **values}).fetchall()
    return Thinning(count, drawn, failed=failed, extremes_s=bins.percentile_s, opening_s=opening_s,
                    every=every, every_failed=every_failed)  # fmt: skip


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
PERCENTILES = f"""
    INSERT INTO percentiles
    SELECT $rank, arm, began, floor(due / $bin) AS bin, quantile_cont(latency, [0.5, 0.99])
    FROM requests WHERE {DRAWABLE} AND segment BETWEEN $first AND $last GROUP BY arm, began, bin
"""
LOOK_UP_BINS = f"""
    INSERT INTO look_ups
    SELECT $rank, arm, began + bin * $bin,
        began + greatest(max(asked), least((bin + 1) * $bin, max(length))), count(*)
    FROM (SELECT *, floor(asked / $bin) AS bin FROM asked) WHERE {OF_RANK}
    GROUP BY arm, began, bin
"""

WRITE_BINS = f"""
    INSERT INTO writes
    SELECT arm, any_value(began) + bin * $bin,
        any_value(began) + least((bin + 1) * $bin, max(length)), count(*) FILTER (lost), count(*)
    FROM (SELECT arm, began, ended_s - started_s AS length, lost,
            floor((done_s - started_s) / $bin) AS bin
        FROM ({ACKNOWLEDGED_WRITES}) JOIN segments USING (segment)
        WHERE done_s >= started_s AND done_s < ended_s)
    GROUP BY arm, began, bin
"""


def _draws_writes(strips: Sequence[Strip]) -> bool:
    return any(strip.source == "writes" for strip in strips)


def _create_bins(
    db: duckdb.DuckDBPyConnection, segments: Sequence[Event], bins: Bins, strips: Sequence[Strip]
) -> None:
    """Aggregate all requests and look-ups by bin and round.

    A percentile needs all its values at once, so percentiles are computed in batches of segments.
    """
    offered = RATES.format(name="offered", when="due", which="true")
    achieved = RATES.format(name="achieved", when="done", which="outcome = 'ok'")
    db.execute(offered, {"bin": bins.rate_s})
    db.execute(achieved, {"bin": bins.rate_s})
    for rank in ranks(strips, "requests"):
        for first, last in _batches(segments):
            values = {"bin": bins.percentile_s, "rank": rank, "first": first, "last": last}
            db.execute(PERCENTILES, values)
    for rank in ranks(strips, "look-ups"):
        db.execute(LOOK_UP_BINS, {"bin": bins.look_ups_s, "rank": rank})


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
