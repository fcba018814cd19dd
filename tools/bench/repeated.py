"""Enlarge a recorded run: repeat all its data, each copy with new ids and times.

`longer` repeats the content of each segment, so segments get N times as long; `more-rounds` repeats
the whole run, so there are N times as many rounds, each with links of its own. Either way rates,
look-ups per expiry, counters and the read-back stay consistent, so each claim must come out as in
its source. The checks see that the record was made: its sums, its arrivals and its states are not
those of a run, so it is INVALID. A segment gets longer only if its visits follow shared links:
nobody edits a link to the same version twice. The gateway's log is made of the requests.

Random deviations would be repeated, too: a segment with 3 % too few requests is likely in a small
run and impossible in a large one. Where that happens, visits that hit the cache are left out or
repeated once more, evenly over all copies, until the number is likely.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from chaos.record.files import Files
from chaos.record.stored_columns import bounded_duckdb

Event = dict[str, Any]

MEMORY = "1GB"
OF_REQUESTS = ("offered", "sent", "late", "unsent", "no_socket", "visits")
AGAIN_S = 0.0001  # after its original
ANSWERED = ("requests", "redirects")  # counters of each web process that rise with each visit
GROWING = ("commands", "look_ups", "clicks_dropped", *ANSWERED)


class Shape(StrEnum):
    """Dimension to extend."""

    LONGER = "longer"
    MORE_ROUNDS = "more-rounds"


@dataclass(frozen=True)
class Placement:
    """One copy of one segment: rows from `since_s` to `to_s`, moved later by `shift_s`.

    Samples go to one copy each: those from `sampled_s` up to `sampled_to_s`.
    """

    segment: int
    copy: int
    number: int  # of the segment in the new run
    shift_s: float
    since_s: float
    to_s: float
    sampled_s: float
    sampled_to_s: float


@dataclass(frozen=True)
class RecordedRun:
    """A recorded run: its plan and events; each block ends with the event of its segment."""

    path: Path
    plan: Mapping[str, Any]
    before: Sequence[Event]
    blocks: Sequence[Sequence[Event]]
    after: Sequence[Event]

    @property
    def segments(self) -> list[Event]:
        """Event at the end of each segment, with its times."""
        return [block[-1] for block in self.blocks]

    @property
    def requests(self) -> int:
        """Number of requests sent."""
        return sum(int(segment["generator"]["sent"]) for segment in self.segments)


def read_source(path: Path) -> RecordedRun:
    """Read the directory of a completed run."""
    plan = json.loads((path / "plan.json").read_text(encoding="utf-8"))
    lines = (path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    starts = [i for i, event in enumerate(events) if event["kind"] == "segment-started"]
    ends = [i for i, event in enumerate(events) if event["kind"] == "segment"]
    blocks = [events[first : last + 1] for first, last in zip(starts, ends, strict=True)]
    return RecordedRun(path, plan, events[: starts[0]], blocks, events[ends[-1] + 1 :])


def repeat(source: RecordedRun, into: Path, copies: int, shape: Shape) -> None:
    """Write a new run directory with `copies` of a run's data."""
    into.mkdir(parents=True)
    shutil.copytree(source.path / "logs", into / "logs")
    (into / "plan.json").write_text(json.dumps(_plan(source, copies, shape), indent=2) + "\n")
    sent = _write_tables(source, into, list(_placements(source, copies, shape)), shape)
    longer = shape is Shape.LONGER
    events = _longer(source, copies) if longer else _more_rounds(source, copies)
    with (into / "events.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(_with_as_many(event, sent))}\n" for event in events)


# --- plan and events ---------------------------------------------------------------------------


def _plan(source: RecordedRun, copies: int, shape: Shape) -> dict[str, Any]:
    mode = dict(source.plan["mode"])
    for name in ("segment_s", "control_s") if shape is Shape.LONGER else ("rounds",):
        mode[name] *= copies
    count = copies * source.requests
    command = f"python -m tools.bench record --requests {count} --shape {shape}"
    return {**source.plan, "mode": mode, "command": command}


def _longer(source: RecordedRun, copies: int) -> Iterator[Event]:
    yield from source.before
    shift_s = 0.0
    for block in source.blocks:
        segment = block[-1]
        more_s = (copies - 1) * _length_s(segment)
        for event in block:
            yield _many_times(_later(event, shift_s, segment["ended_s"], more_s), copies)
        shift_s += more_s
    for event in source.after:
        yield _later(event, shift_s)


def _more_rounds(source: RecordedRun, copies: int) -> Iterator[Event]:
    yield from source.before
    for copy in range(copies):
        for event in (event for block in source.blocks for event in block):
            moved = _later(event, copy * _span_s(source))
            for numbered in (moved, *moved.get("acts", [])):
                if "segment" in numbered:
                    numbered["segment"] += copy * len(source.blocks)
            if event.get("round", -1) >= 0:
                moved["round"] += copy * source.plan["mode"]["rounds"]
            if copy and "codes" in event:
                moved["codes"] = [f"{code}-{copy}" for code in event["codes"]]
            yield moved
    for event in source.after:
        yield _later(event, (copies - 1) * _span_s(source))


def _later(event: Event, shift_s: float, end_s: float = 0.0, more_s: float = 0.0) -> Event:
    """Move an event and its acts later by `shift_s`, and times from the segment's end on by
    `more_s` more: what lasted to the end still does."""
    moved = dict(event)
    for name, value in event.items():
        if name.endswith("_s") and value is not None:
            moved[name] = value + shift_s + (more_s if value >= end_s else 0.0)
    if "acts" in event:
        moved["acts"] = [_later(act, shift_s, end_s, more_s) for act in event["acts"]]
    return moved


def _many_times(event: Event, copies: int) -> Event:
    """Multiply the counts of a segment, but for starts of parts: they happened once."""
    if event["kind"] != "segment":
        return event
    generator = event["generator"]
    many = {name: generator[name] * copies for name in OF_REQUESTS}
    counted = {
        name: value if value is None or name.endswith(".starts") else value * copies
        for name, value in event["counted"].items()
    }
    return event | {"generator": generator | many, "counted": counted}


def _with_as_many(event: Event, sent: Mapping[int, int]) -> Event:
    """Set the counts of a segment to the number of recorded requests."""
    if event["kind"] != "segment":
        return event
    generator, counted = dict(event["generator"]), dict(event["counted"])
    more = sent[event["segment"]] - generator["sent"]
    for name in ("offered", "sent", "visits"):
        generator[name] += more
    for what in ANSWERED:
        own = [name for name, value in counted.items() if name.endswith(f".{what}") and value]
        for place, name in enumerate(own):
            counted[name] += (more + place) // len(own)
    return event | {"generator": generator, "counted": counted}


def _length_s(segment: Event) -> float:
    return float(segment["ended_s"] - segment["started_s"])


def _span_s(source: RecordedRun) -> float:
    """Return the time from the start of the first segment to the first event after the last."""
    return float(source.after[0]["t_s"] - source.blocks[0][0]["t_s"])


def _placements(source: RecordedRun, copies: int, shape: Shape) -> Iterator[Placement]:
    """Yield the placement of every copy.

    Rows between two segments belong to the second, but only to the first copy of a longer one: the
    cache was warmed once.
    """
    earlier_s, since_s = 0.0, 0.0
    for segment in source.segments:
        number, length_s, to_s = segment["segment"], _length_s(segment), segment["to_s"]
        for copy in range(copies):
            if shape is Shape.LONGER:
                shift_s = earlier_s + copy * length_s
                begin_s = segment["from_s"] if copy else since_s
                sampled_s = segment["started_s"] if copy else since_s
                until_s = segment["ended_s"] if copy < copies - 1 else to_s
                yield Placement(number, copy, number, shift_s, begin_s, to_s, sampled_s, until_s)
            else:
                place = number + copy * len(source.blocks)
                shift_s = copy * _span_s(source)
                yield Placement(number, copy, place, shift_s, since_s, to_s, since_s, to_s)
        since_s = to_s
        earlier_s += (copies - 1) * length_s


# --- tables ------------------------------------------------------------------------------------

PLACEMENTS = """
    CREATE TABLE placements (segment INT, copy INT, number INT, shift_s DOUBLE, since_s DOUBLE,
        to_s DOUBLE, sampled_s DOUBLE, sampled_to_s DOUBLE,
        mark VARCHAR AS (if(copy = 0, '', '-' || copy)),
        key_mark VARCHAR AS (if(copy = 0 OR number = segment, '', '-' || copy)))
"""
LINK_MARKS = "SELECT DISTINCT key_mark FROM placements"  # one for each time that links were made
ADJUSTMENTS = """
    CREATE TABLE adjustments AS
    WITH planned AS (
        SELECT number, hot, sum(visits * if(hot, hot_share, 1 - hot_share)) AS wanted
        FROM placements JOIN traffic USING (segment) CROSS JOIN (VALUES (true), (false)) AS _(hot)
        GROUP BY ALL),
    found AS (
        SELECT number, rank = 0 AS hot, count(*) AS visits
        FROM {requests} JOIN placements USING (segment) WHERE attempt = 1 GROUP BY ALL),
    strata AS (
        SELECT number, hot, wanted, coalesce(visits, 0) AS visits
        FROM planned LEFT JOIN found USING (number, hot)),
    together AS (
        SELECT sum(visits) AS n, sum(wanted) AS wanted, sum(visits) FILTER (hot) AS hot,
            sum(wanted) FILTER (hot) / sum(wanted) AS share
        FROM strata GROUP BY GROUPING SETS ((number), ()))
    SELECT number, hot, visits, round(wanted - visits)::BIGINT AS more FROM strata
    WHERE EXISTS (FROM together  -- a little less than a run's traffic may be off its plan
        WHERE abs(n - wanted) > greatest(4.5 * sqrt(wanted), 0.009 * wanted)
        OR abs(hot - share * n) > greatest(4.5 * sqrt(share * (1 - share) * n), 0.009 * share * n))
"""
SHARE = """
    SELECT coalesce(least(1, 0.99 * min(share)), 1)  -- each process has about the same
    FROM (SELECT 1 + sum(more) / sum(visits) AS share FROM adjustments GROUP BY number)
"""
KEPT = f"""
    CREATE TABLE kept AS
    WITH placed AS (
        SELECT file_row_number AS row, segment, copy, number, rank = 0 AS hot,
            served_from = 'hit' AND outcome = 'ok' AND attempt = 1 AND last AS plain,
            row_number() OVER (PARTITION BY number, hot, plain ORDER BY hash(row, copy)) AS place
        FROM {{requests}} JOIN placements USING (segment)),
    drawn AS (
        SELECT row, segment, copy, unnest(range(CASE
            WHEN plain AND place <= -coalesce(more, 0) THEN 0
            WHEN plain AND place <= coalesce(more, 0) THEN 2 ELSE 1 END)) AS again
        FROM placed LEFT JOIN adjustments USING (number, hot))
    SELECT row, copy, number, key_mark, mark || if(again = 1, '-again', '') AS mark,
        shift_s + again * {AGAIN_S} AS shift_s
    FROM drawn JOIN placements USING (segment, copy)
"""
REQUESTS = """
    SELECT requests.* EXCLUDE (file_row_number) REPLACE (
            number AS segment, op_id || mark AS op_id, session || mark AS session,
            intended_s + shift_s AS intended_s, sent_s + shift_s AS sent_s,
            done_s + shift_s AS done_s, key || if(key = '', '', key_mark) AS key,
            click_id || if(click_id = '', '', mark) AS click_id)
    FROM {requests} AS requests
    JOIN kept ON kept.row = file_row_number
    ORDER BY number, copy, requests.done_s
"""
LOOK_UPS = """
    SELECT look_ups.* REPLACE (
            key || key_mark AS key, read_s + shift_s AS read_s, asked_s + shift_s AS asked_s,
            answered_s + shift_s AS answered_s, stored_s + shift_s AS stored_s)
    FROM {look_ups} AS look_ups JOIN placements ON read_s >= since_s AND read_s < to_s
    ORDER BY read_s + shift_s
"""
RISES = {  # by which each copy but the first raises a counter for all later rows
    Shape.LONGER: """
        SELECT name, segment, max(value) - min(value) AS rise
        FROM {samples} JOIN placements ON copy = 1 AND t_s >= since_s AND t_s < to_s GROUP BY ALL
    """,
    Shape.MORE_ROUNDS: """
        SELECT name, (SELECT min(segment) FROM placements) AS segment,
            max(value) - min(value) AS rise FROM {samples} GROUP BY ALL
    """,
}
SAMPLES = f"""
    WITH risen AS (
        FROM ({{rises}}) WHERE split_part(name, '.', 2) IN {GROWING}),
    raised AS (
        SELECT name, number, copy, sum(if(copy > 0, coalesce(rise, 0), 0))
            OVER (PARTITION BY name ORDER BY number, copy) AS more
        FROM (SELECT DISTINCT name FROM risen) CROSS JOIN placements
        LEFT JOIN risen USING (name, segment)),
    placed AS (
        SELECT t_s + shift_s AS t_s, name, value, number, copy
        FROM {{samples}} JOIN placements ON t_s >= sampled_s AND t_s < sampled_to_s)
    SELECT t_s, name, (value + coalesce(more, 0))
        * if(split_part(name, '.', 2) IN {ANSWERED}, ({SHARE}), 1) AS value
    FROM placed LEFT JOIN raised USING (name, number, copy) ORDER BY t_s
"""
CLICKS = f"""
    SELECT clicks.click_id || mark AS click_id, clicks.key || key_mark AS key
    FROM {{clicks}} AS clicks
    JOIN {{requests}} AS requests USING (click_id)
    JOIN kept ON kept.row = requests.file_row_number
    UNION ALL
    SELECT clicks.click_id || key_mark, clicks.key || key_mark
    FROM {{clicks}} AS clicks ANTI JOIN {{requests}} USING (click_id) CROSS JOIN ({LINK_MARKS})
"""
LINKS = f"""
    SELECT links.* REPLACE (key || key_mark AS key)
    FROM {{links}} AS links CROSS JOIN ({LINK_MARKS})
"""
FORKS = f"""
    SELECT segment, kind, id || key_mark AS id, version
    FROM {{forks}} CROSS JOIN ({LINK_MARKS}) WHERE kind = 'links'
    UNION ALL
    SELECT forks.segment, kind, id || mark, forks.version
    FROM {{forks}} AS forks
    JOIN {{requests}} AS requests ON id = click_id
    JOIN kept ON kept.row = requests.file_row_number WHERE kind = 'clicks'
"""
TOTALS = "SELECT key, count(*) AS total FROM {clicks} GROUP BY key ORDER BY total DESC"
GATEWAY = f"""
    SELECT row_number() OVER (ORDER BY done_s) AS line, done_s AS wall_s,
        greatest(done_s - sent_s - 0.001, 0) AS took_s, status, 'GET' AS method, key,
        'web-1' AS upstream
    FROM (SELECT done_s, sent_s, status, key FROM ({REQUESTS})
          WHERE operation = 'follow' AND status > 0
          UNION ALL SELECT 0.0, 0.0, 302, code || key_mark
          FROM shared CROSS JOIN ({LINK_MARKS}))
    ORDER BY line
"""


def _write_tables(
    source: RecordedRun, into: Path, placements: Sequence[Placement], shape: Shape
) -> Mapping[int, int]:
    """Write every table; return the number of requests by segment."""
    with bounded_duckdb(into) as db, Files() as files:
        db.execute(f"SET memory_limit = '{MEMORY}'")
        tables = {path.stem: _rows(files, path) for path in source.path.glob("*.parquet")}
        tables["rises"] = RISES[shape].format(**tables)
        db.execute(PLACEMENTS)
        rows = [astuple(place) for place in placements]
        db.executemany("INSERT INTO placements VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        db.execute("CREATE TABLE traffic (segment INT, visits DOUBLE, hot_share DOUBLE)")
        db.execute("CREATE TABLE shared (code VARCHAR)")
        codes = [[code] for block in source.blocks for e in block for code in e.get("codes", ())]
        db.executemany("INSERT INTO shared VALUES (?)", codes)
        for planned in _planned(source):
            db.execute("INSERT INTO traffic VALUES (?, ?, ?)", planned)
        db.execute(ADJUSTMENTS.format(**tables))
        db.execute(KEPT.format(**tables))
        for name, sql in (
            *(("requests", REQUESTS), ("look_ups", LOOK_UPS), ("samples", SAMPLES)),
            *(("links", LINKS), ("clicks", CLICKS), ("totals", TOTALS), ("forks", FORKS)),
            ("gateway", GATEWAY),
        ):
            path = into / f"{name}.parquet"
            target = f"'{files.named(path, 'wb')}' (FORMAT parquet, USE_TMP_FILE false)"
            db.execute(f"COPY ({sql.format(**tables)}) TO {target}")
            if name == "clicks":  # the totals are those of the new clicks
                tables[name] = _rows(files, path)
        return dict(db.execute("SELECT number, count(*) FROM kept GROUP BY ALL").fetchall())


def _rows(files: Files, path: Path) -> str:
    numbered = ", file_row_number = true" if path.stem == "requests" else ""
    return f"read_parquet('{files.named(path)}'{numbered})"


def _planned(source: RecordedRun) -> Iterator[tuple[int, float, float]]:
    """Yield each segment's number, visits and share of the hot link, as far as they are known.

    The control has the traffic of the arm with the same settings. It is known of visits of one
    request that come at a steady rate.
    """
    arms = source.plan["arms"]
    for segment in source.segments:
        alike = (arm for arm in arms.values() if arm["settings"] == segment["settings"])
        traffic = (arms.get(segment["arm"]) or next(alike))["traffic"]
        operations = [step["operation"] for v in traffic["visits"] for step in v["steps"]]
        if operations == ["follow"] and traffic["curve"] == "steady":
            visits = traffic["rate_per_s"] * _length_s(segment)
            yield segment["segment"], visits, traffic["hot_share"]


def main(source: Path, into: Path, copies: int, shape: Shape) -> None:
    """Write a run directory with so many copies of a recorded run."""
    repeat(read_source(source), into, copies, shape)


if __name__ == "__main__":
    typer.run(main)
