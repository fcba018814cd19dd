"""The mutants: every way that we could think of in which a run's evidence can be wrong.

Segment 1 is the control, 2 and 3 the first arms; request `2-100` is one that was answered. The hot
link is `code0`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from chaos.acts.faults import Cut, Kill, Pause
from chaos.model.experiment import Fault
from chaos.record.reader import read_events
from tests.support.mutants.altering import (
    Alter,
    both,
    changed,
    content,
    doubled,
    dropped,
    each,
    events,
    first,
    gone,
    plan,
    rows,
    twice,
    without,
)
from tests.support.mutants.judging import Mutant

ENDED = "the run came to its end"
ON_RECORD = "every request sent is on record"
CREDIBLE = "every request on record can be true"
CLOCKS = "every look-up falls into a request for its key"
VERSIONS = "every reader of a link saw the same version"
TRAFFIC = "the traffic was the planned one"
CONTROL = "the control without faults is healthy"
FAULTS = "every fault took effect and was healed"
ON_TIME = "the generator was on time"
COUNTERS = "Postgres and the app count the same origin queries"
WATCHED = "Redis was watched throughout"
LIVED_ON = "no web process died unplanned"
NOBODY_ELSE = "nobody else used the lab"
ENOUGH = "every arm saw at least 6 expiries"
CLICKS = "every acknowledged click is counted exactly once"
AS_PLANNED = "the run was the experiment's, from plan to end"
FIGURES = "every measure of every arm has a figure"
NO_RUN = "it is no run directory"
REQUESTS_FILE, ORIGIN_FILE = "requests.parquet", "origin_queries.parquet"

ONE = "op_id = '2-100'"
ANOTHER = "op_id = '2-101'"
LOST = "click_id = '2-100'"
OTHER = "click_id = '2-101'"


def _sent(by: int) -> Alter:
    def change(event: dict[str, Any]) -> None:
        event["generator"]["sent"] += by
        event["generator"]["offered"] += by

    return first("segment", change, 1)


def _generator(number: int = 1, **values: float) -> Alter:
    return first("segment", lambda event: event["generator"].update(values), number)


def _counted(number: int = 1, **more: int) -> Alter:
    def change(event: dict[str, Any]) -> None:
        for name, by in more.items():
            event["counted"][name] += by

    return first("segment", change, number)


def _segment(number: int = 1, **values: object) -> Alter:
    return first("segment", lambda event: event.update(values), number)


def _fault(number: int = 0, **values: object) -> Alter:
    return first("fault", lambda event: event.update(values), number)


def _reading(name: str, **values: object) -> Alter:
    return first("fault", lambda event: event[name].update(values))


def _later(event: dict[str, Any], by_s: float, *names: str) -> None:
    for name in names:
        event[name] += by_s


def _swap_arms(seen: Sequence[dict[str, Any]]) -> None:
    """The labels of two segments of the first round, their settings with them."""
    one, other = [event for event in seen if event["kind"] == "segment"][1:3]
    for name in ("arm", "settings"):
        one[name], other[name] = other[name], one[name]


def _half_the_crowd(segments: str) -> Alter:
    """One of two generators was away: half of what hits the cache is nowhere, in no account."""
    gone_rows = f"{segments} AND served_from = 'hit' AND hash(op_id) % 2 = 0"

    def alter(run: Path) -> None:
        requests = f"'{run / REQUESTS_FILE}'"
        with duckdb.connect() as db:
            sql = f"SELECT segment, count(*) FROM {requests} WHERE {gone_rows} GROUP BY segment"
            less = dict(db.execute(sql).fetchall())

        def account(event: dict[str, Any]) -> None:
            away = less.get(event["segment"], 0)
            event["generator"]["sent"] -= away
            event["generator"]["offered"] -= away
            event["counted"]["web_requests"] -= away

        each("segment", account)(run)
        never = f"click_id IN (SELECT click_id FROM {requests} WHERE {gone_rows})"
        dropped("clicks", never)(run)
        dropped("requests", gone_rows)(run)
        clicks = run / "clicks.parquet"
        rows("totals", f"SELECT key, count(*) AS total FROM '{clicks}' GROUP BY key")(run)

    return alter


def _of_three(before: float, during: float, after: float, fault: Fault) -> Alter:
    """The record of a run under another fault, with what its probe read of three tries."""

    def change(event: dict[str, Any]) -> None:
        event["fault"] = fault.name
        for name, value in (("before", before), ("during", during), ("after", after)):
            event[name] = {"what": "PING", "value": value, "unit": "of 3 answered"}

    return both(
        each("fault", change),
        plan(lambda planned: planned["faults"][0].update(fault=fault.name)),
    )


def _silence(fault: Fault) -> list[Mutant]:
    return [
        Mutant(f"{fault.name}: half of it answered", "a fault that silently did little", FAULTS,
               _of_three(3, 1, 3, fault), fault=fault),
        Mutant(f"{fault.name}: not healed", "a fault that stayed", FAULTS,
               _of_three(3, 0, 2, fault), fault=fault),
        Mutant(f"{fault.name}: silent before", "a part that was dead already", FAULTS,
               _of_three(2, 0, 3, fault), fault=fault),
    ]  # fmt: skip


def _cut(data: bytes) -> bytes:
    """Half of a file; of a plan only its first words: the rest differs from commit to commit."""
    return data[:200] if data.startswith(b'{\n  "experiment"') else data[: len(data) // 2]


SILENT: Sequence[Fault] = (Cut("replica"), Kill("redis"), Pause("web-1"))


def sound_under(fault: Fault) -> Mutant:
    """No mutant, but a record under another fault, as it should be."""
    return Mutant(f"{fault.name}", "", "", _of_three(3, 0, 3, fault), fault=fault)


def _skewed(by_s: float) -> Alter:
    return changed(
        "origin_queries", "true",
        read_s=f"read_s + {by_s}", asked_s=f"asked_s + {by_s}",
        answered_s=f"answered_s + {by_s}", stored_s=f"stored_s + {by_s}",
    )  # fmt: skip


def _look_ups(arm: str, kept: str) -> Alter:
    """As if an arm had met no other look-ups than these, in all accounts."""

    def alter(run: Path) -> None:
        for event in read_events(run):
            if event["kind"] == "segment" and event["arm"] == arm:
                inside = f"read_s BETWEEN {event['from_s']} AND {event['to_s']}"
                dropped("origin_queries", f"{inside} AND NOT ({kept})")(run)
        each("segment", partial(account, run))(run)

    def account(run: Path, event: dict[str, Any]) -> None:
        look_ups = f"'{run / ORIGIN_FILE}'"
        inside = f"read_s BETWEEN {event['from_s']} AND {event['to_s']}"
        with duckdb.connect() as db:
            (left,) = db.execute(f"SELECT count(*) FROM {look_ups} WHERE {inside}").fetchall()[0]
        event["counted"].update(postgres_origin_queries=left, app_origin_queries=left)

    return alter


MUTANTS: Mapping[str, Sequence[Mutant]] = {
    "How the run ended": [
        Mutant("a part died", "a web process killed by the kernel", ENDED, flaws=("part dies",)),
        Mutant("interrupted", "Ctrl-C", ENDED, flaws=("interrupted",)),
        Mutant("no last event", "the lab killed before its end", ENDED, without("finished")),
        Mutant("trouble noted", "a stack that could not go on", ENDED,
               events(lambda seen: seen.append({"t_s": 1.0, "kind": "trouble", "why": "?"}))),
    ],
    "Requests": [
        Mutant("one sent, not on record", "a shard of the history lost its last line", ON_RECORD,
               _sent(+1)),
        Mutant("one on record, not sent", "a generator that counts wrong", ON_RECORD, _sent(-1)),
        Mutant("one dropped", "a line lost on the way", ON_RECORD, dropped("requests", ONE)),
        Mutant("one doubled", "a line written twice", ON_RECORD, doubled("requests", ONE)),
        Mutant("one dropped, one doubled", "two errors that cancel in the count", CREDIBLE,
               both(dropped("requests", ONE), doubled("requests", ANOTHER))),
        Mutant("a line cut short", "a generator killed while it wrote", ON_RECORD,
               flaws=("line cut short",)),
        Mutant("one line of each segment missing", "a writer with an error", ON_RECORD,
               flaws=("record truncated",)),
        Mutant("a shard missing", "a dead worker of a distributed generator", ON_RECORD,
               dropped("requests", "hash(op_id) % 2 = 0")),
        Mutant("a worker that never came", "half a generator, in all accounts", TRAFFIC,
               _half_the_crowd("true")),
        Mutant("a worker away for a segment", "half a generator, in all accounts", TRAFFIC,
               _half_the_crowd("segment = 3")),
        Mutant("hot requests said to be of another link", "keys drawn by another law", TRAFFIC,
               changed("requests", "segment > 1 AND hash(op_id) % 5 = 0", rank="3", key="'code3'")),
        Mutant("one of another segment", "a row under the wrong number", CREDIBLE,
               changed("requests", ONE, segment="3")),
        Mutant("one of no segment", "rows of another run", CREDIBLE,
               changed("requests", ONE, segment="99")),
        Mutant("a rank that is not the key's", "columns mixed up", CREDIBLE,
               changed("requests", ONE, rank="rank + 1")),
        Mutant("a time of yesterday", "a clock that jumped", CREDIBLE,
               changed("requests", ONE, intended_s="intended_s - 86400")),
        Mutant("answered before it was sent", "a negative duration", CREDIBLE,
               changed("requests", ONE, done_s="sent_s - 0.001")),
        Mutant("sent before it was due", "a negative lag", CREDIBLE,
               changed("requests", ONE, sent_s="intended_s - 0.001")),
        Mutant("all of a segment half a second late", "the generator's clock skewed", CREDIBLE,
               changed("requests", "segment = 4", intended_s="intended_s + 0.5",
                       sent_s="sent_s + 0.5", done_s="done_s + 0.5")),
        Mutant("ok with status 500", "an outcome read wrong", CREDIBLE,
               changed("requests", ONE, status="500")),
        Mutant("a timeout called failed", "a lost click that nobody would expect", CREDIBLE,
               changed("requests", ONE, outcome="'unknown'")),
        Mutant("an answer without its age", "a header missing", CREDIBLE,
               changed("requests", ONE, age_ms="NULL")),
        Mutant("an age below zero", "two clocks", CREDIBLE,
               changed("requests", ONE, age_ms="-1")),
        Mutant("an age that is not a number", "a division by zero", CREDIBLE,
               changed("requests", ONE, age_ms="'NaN'::DOUBLE")),
        Mutant("served from nowhere", "a label that we do not know", CREDIBLE,
               changed("requests", ONE, served_from="'somewhere'")),
        Mutant("no version", "a header missing", CREDIBLE, changed("requests", ONE, version="-1")),
        Mutant("a version swapped", "a reader who got what nobody wrote", VERSIONS,
               changed("requests", ONE, version="2")),
        Mutant("a time that is not a number", "a generator with an error", REQUESTS_FILE,
               changed("requests", ONE, done_s="'NaN'::DOUBLE")),
        Mutant("an endless time", "an overflow", REQUESTS_FILE,
               changed("requests", ONE, sent_s="'inf'::DOUBLE")),
        Mutant("a missing rank", "a field left empty", REQUESTS_FILE,
               changed("requests", ONE, rank="NULL")),
        Mutant("an outcome that there is not", "another version's word", REQUESTS_FILE,
               changed("requests", ONE, outcome="'perhaps'")),
        Mutant("one in twenty late, said to be on time", "a generator that denies it", ON_TIME,
               changed("requests", "hash(op_id) % 20 = 0", sent_s="sent_s + 0.02",
                       done_s="done_s + 0.02")),
        Mutant("one in twenty late", "a machine too busy", ON_TIME, flaws=("generator late",)),
        Mutant("late, said by the generator alone", "a record that denies it", ON_TIME,
               _generator(late=200)),
        Mutant("one unsent, another one less than none", "errors that cancel in the sum", ON_TIME,
               both(_generator(1, unsent=1), _generator(2, unsent=-1))),
        Mutant("no rows", "an empty file", ON_RECORD, dropped("requests", "true")),
    ],
    "Look-ups": [
        Mutant("one dropped", "a log line missing", COUNTERS, dropped(
            "origin_queries", "read_s = (SELECT min(read_s) FROM {0} WHERE read_s > 1002)")),
        Mutant("one doubled", "a log read twice", COUNTERS, doubled(
            "origin_queries", "read_s = (SELECT min(read_s) FROM {0} WHERE read_s > 1002)")),
        Mutant("no rows", "an empty file", COUNTERS, dropped("origin_queries", "true")),
        Mutant("all from another run", "times from before the run", COUNTERS, _skewed(-3600)),
        Mutant("all 50 ms early", "a web process with a clock of its own", CLOCKS, _skewed(-0.05)),
        Mutant("all 50 ms late", "a web process with a clock of its own", CLOCKS, _skewed(0.05)),
        Mutant("all answered before they were asked", "a negative duration", CLOCKS,
               changed("origin_queries", "true", answered_s="asked_s - 0.001")),
        Mutant("all stored before they were read", "a negative duration", CLOCKS,
               changed("origin_queries", "true", stored_s="read_s - 0.001")),
        Mutant("for another link", "keys mixed up", CLOCKS,
               changed("origin_queries", "true", key="'code3'")),
        Mutant("for no link of ours", "somebody else's look-ups", CLOCKS,
               changed("origin_queries", "true", key="'strange'")),
        Mutant("a time that is not a number", "a log line with an error", ORIGIN_FILE,
               changed("origin_queries", "true", asked_s="'NaN'::DOUBLE")),
        Mutant("no time", "a field left empty", ORIGIN_FILE,
               changed("origin_queries", "true", read_s="NULL")),
        Mutant("none of an arm's, in any account", "a fix that never met an expiry", ENOUGH,
               _look_ups("lock", "false")),
    ],
    "Counters": [
        Mutant("Postgres counts one less", "statistics reset", COUNTERS,
               flaws=("Postgres miscounts",)),
        Mutant("Postgres counts one more", "somebody else's query", COUNTERS,
               _counted(postgres_origin_queries=1)),
        Mutant("the app counts one more", "a counter that moves twice", COUNTERS,
               _counted(app_origin_queries=1)),
        Mutant("the app's counter reset", "a web process that began anew", COUNTERS,
               _counted(app_origin_queries=-1000)),
        Mutant("a web process began anew", "killed by the kernel, restarted at once", LIVED_ON,
               _counted(web_starts=1)),
        Mutant("one request answered more", "a visitor from outside", NOBODY_ELSE,
               flaws=("somebody else",)),
        Mutant("one request answered less", "requests that went past the web", NOBODY_ELSE,
               _counted(web_requests=-1)),
        Mutant("a stranger in the control", "a visitor from outside", NOBODY_ELSE,
               _counted(0, web_requests=1)),
        Mutant("Redis's counter reset", "Redis restarted", WATCHED,
               changed("samples", "name = 'redis_commands' AND t_s > 1002.5 AND t_s < 1003.5",
                       value="value - 1000")),
        Mutant("Redis counted backwards in all", "Redis restarted", WATCHED,
               _counted(redis_commands=-100_000)),
        Mutant("Redis rose further than in all", "another run's samples", WATCHED,
               changed("samples", "t_s > 1003", value="value + t_s * 10000")),
        Mutant("no readings for a while", "a sampler that hung", WATCHED,
               dropped("samples", "t_s BETWEEN 1003 AND 1004.5")),
        Mutant("no readings", "zero samples", WATCHED, dropped("samples", "true")),
        Mutant("readings of another name", "a metric renamed", WATCHED,
               changed("samples", "true", name="'commands'")),
        Mutant("a reading that is not a number", "a counter that was not there",
               "samples.parquet", changed("samples", "t_s > 1003", value="'NaN'::DOUBLE")),
        Mutant("a reading every 0.8 s", "a sampler too slow for the measure", FIGURES,
               dropped("samples", "round((t_s - 1000) * 10)::BIGINT % 8 <> 0")),
    ],
    "The control": [
        Mutant("no control", "a segment left out", CONTROL, without("segment", 0)),
        Mutant("one request unanswered", "a stack that was ill before the fault", CONTROL,
               changed("requests", "op_id = '1-100'", outcome="'unknown'", status="0",
                       click_id="NULL", version="-1", age_ms="NULL", served_from="''")),
    ],
    "Faults": [
        Mutant("did nothing", "a toxic on the wrong link", FAULTS, flaws=("fault does nothing",)),
        Mutant("stays", "a toxic that was not removed", FAULTS, flaws=("fault stays",)),
        Mutant("no reading", "a probe that got no answer", FAULTS, flaws=("probe fails",)),
        Mutant("said to be proven, readings alike", "a judge at the time who was wrong", FAULTS,
               _reading("during", value=0.5)),
        Mutant("said to be healed, still slow", "a judge at the time who was wrong", FAULTS,
               _reading("after", value=120.5)),
        Mutant("too little of it", "half of the latency", FAULTS, _reading("during", value=60.0)),
        Mutant("said not to be proven", "a judge at the time who saw more", FAULTS,
               _fault(took_effect=False)),
        Mutant("said not to be healed", "a judge at the time who saw more", FAULTS,
               _fault(healed=False)),
        Mutant("a reading below zero", "a clock that jumped", FAULTS,
               _reading("before", value=-500.0)),
        Mutant("another question each time", "a probe of something else", FAULTS,
               _reading("before", what="PING")),
        Mutant("another unit", "seconds for milliseconds", FAULTS, _reading("after", unit="s")),
        Mutant("a reading that is not a number", "a probe with an error", "events.jsonl",
               _reading("during", value=math.nan)),
        Mutant("healed before the end", "a fault that fell off", FAULTS,
               first("fault", lambda event: _later(event, -2.0, "healed_s"))),
        Mutant("never healed", "a heal that was not written", FAULTS, _fault(healed_s=None)),
        Mutant("in force too late", "a fault that came during the segment", FAULTS,
               first("fault", lambda event: _later(event, 1.0, "injected_s"))),
        Mutant("in force in the control", "a fault of the run before", FAULTS,
               first("fault", lambda event: _later(event, -4.0, "injected_s"))),
        Mutant("one missing", "an event lost", FAULTS, without("fault")),
        Mutant("one doubled", "an event written twice", FAULTS, twice("fault")),
        Mutant("one missing, one doubled", "two errors that cancel in the count", FAULTS,
               both(without("fault"), twice("fault"))),
        Mutant("another arm's", "a fault in the wrong segment", FAULTS, _fault(arm="direct")),
        Mutant("another fault than planned", "a link mistaken", FAULTS,
               _fault(fault="cache link +120 ms")),
        *(mutant for fault in SILENT for mutant in _silence(fault)),
    ],
    "Clicks": [
        Mutant("one lost", "a worker that acknowledged too early", CLICKS, flaws=("click lost",)),
        Mutant("one doubled", "a batch delivered twice", CLICKS, flaws=("click doubled",)),
        Mutant("one lost, one doubled", "errors that cancel in the sum", CLICKS,
               both(dropped("clicks", LOST), doubled("clicks", OTHER))),
        Mutant("one foreign", "a click that nobody made", CLICKS,
               rows("clicks", "FROM {0} UNION ALL SELECT 'nobody', 'code0'")),
        Mutant("one lost, one foreign", "an id that changed on the way", CLICKS,
               changed("clicks", LOST, click_id="'nobody'")),
        Mutant("one counted for another link", "a batch with keys mixed up", CLICKS,
               changed("clicks", LOST, key="'code7'")),
        Mutant("one id given twice", "two visitors counted as one", CLICKS,
               changed("requests", ONE, click_id="'2-101'", key="'code0'", rank="0")),
        Mutant("one that warmed the cache lost", "a click of no request on record", CLICKS,
               dropped("clicks", "click_id = 'primed-1-code3'")),
        Mutant("more warmed than there were", "strangers explained away", CLICKS,
               twice("primed")),
        Mutant("a total off by three", "a count beside its rows", CLICKS, flaws=("total wrong",)),
        Mutant("totals off, right in sum", "errors that cancel in the sum", CLICKS,
               changed("totals", "key IN ('code0', 'code1')",
                       total="CASE key WHEN 'code0' THEN total + 1 ELSE total - 1 END")),
        Mutant("a total missing", "a link without its count", CLICKS,
               dropped("totals", "key = 'code3'")),
        Mutant("no id on record", "a header missing", CLICKS,
               changed("requests", ONE, click_id="NULL")),
        Mutant("no rows", "an empty file", CLICKS, dropped("clicks", "true")),
        Mutant("nothing read back", "a read-back that did not happen", CLICKS,
               without("read-back")),
    ],
    "Plan and segments": [
        Mutant("fewer repetitions promised", "a mode that is not the experiment's", AS_PLANNED,
               plan(lambda planned: planned["mode"].update(repetitions=1))),
        Mutant("another traffic", "an experiment that has changed since", AS_PLANNED,
               plan(lambda planned: planned["traffic"].update(timeout_s=9.0))),
        Mutant("another fault planned", "an experiment that has changed since", AS_PLANNED,
               plan(lambda planned: planned["faults"][0].update(second=-1))),
        Mutant("an arm with another one's settings", "arms mixed up", AS_PLANNED, both(
            plan(lambda planned: planned["arms"]["lease"].update(CACHE_FILL="lock")),
            events(lambda seen: [
                event["settings"].update(CACHE_FILL="lock")
                for event in seen if event["kind"] == "segment" and event["arm"] == "lease"
            ]))),
        Mutant("an arm that there is not", "another version's plan", AS_PLANNED,
               plan(lambda planned: planned["arms"].update(magic={}))),
        Mutant("an arm forgotten", "a plan of fewer arms than ran", AS_PLANNED,
               plan(lambda planned: planned["arms"].pop("swr"))),
        Mutant("a segment with another setting", "a stack not restarted", AS_PLANNED,
               first("segment", lambda event: event["settings"].update(CACHE_TTL_S="2"), 2)),
        Mutant("two segments' labels swapped", "arms mixed up", FAULTS, events(_swap_arms)),
        Mutant("a segment missing", "an event lost", AS_PLANNED, without("segment", 3)),
        Mutant("a segment doubled", "an event written twice", AS_PLANNED, twice("segment", 3)),
        Mutant("a segment a second longer", "a rate that is too low", AS_PLANNED,
               first("segment", lambda event: _later(event, 1.0, "ended_s"), 2)),
        Mutant("a segment before the run", "a clock that jumped", AS_PLANNED,
               plan(lambda planned: planned.update(began_s=5000.0))),
        Mutant("one web process more for a while", "a stack that changed", AS_PLANNED,
               _segment(2, web_processes=3)),
        Mutant("no links", "codes that nobody wrote down", CREDIBLE, without("links")),
    ],
    "Claims: what the arms did": [
        Mutant("one in three of the naive arm's look-ups", "a failure that is not shown",
               "direct shows the failure: origin queries per expiry ≥ 0.5 × theory",
               _look_ups("direct", "hash(read_s) % 3 = 0")),
        Mutant("singleflight shares nothing", "a fix that does not work",
               "singleflight: origin queries per expiry ≤ 2",
               flaws=("singleflight acts as direct",)),
        Mutant("lock locks nothing", "a fix that does not work",
               "lock: origin queries per expiry ≤ 1.1", flaws=("lock acts as direct",)),
        Mutant("lease per process only", "a fix that works half",
               "lease: origin queries per expiry ≤ 1.1", flaws=("lease acts as singleflight",)),
        Mutant("xfetch never early", "a fix that does not work",
               "xfetch: origin queries per expiry ≤ 0.5 × direct's",
               flaws=("xfetch acts as direct",)),
        Mutant("xfetch too eager", "a law with another constant",
               "xfetch: origin queries per expiry within 25% of its law",
               flaws=("xfetch is too eager",), full=True),
        Mutant("swr refreshes in each process", "a fix that works half",
               "swr: origin queries per expiry ≤ 1.1", flaws=("swr acts as singleflight",)),
        Mutant("swr makes its readers wait", "a fix that works half", "swr: waited ≤ 0",
               flaws=("swr acts as lock",)),
        Mutant("swr serves stale slowly", "a fix that works half",
               "swr: p99 after expiry ≤ 60", flaws=("swr is slow",)),
        Mutant("one request a segment fails", "an error page", "no arm fails a request",
               flaws=("requests fail",)),
    ],
    "Files": [
        *(Mutant(f"{name} {how}", "a disk that was full" if how == "cut in half" else "a slip",
                 NO_RUN if (name, how) == ("plan.json", "missing") else name, alter)
          for name in ("plan.json", "events.jsonl", "requests.parquet", "samples.parquet",
                       "origin_queries.parquet", "clicks.parquet", "totals.parquet")
          for how, alter in (
              ("missing", gone(name)),
              ("cut in half", content(name, _cut)),
              ("full of something else", content(name, lambda _: b"\xff\x00{")),
          )),
        Mutant("events.jsonl empty", "a disk that was full", ENDED,
               content("events.jsonl", lambda data: b"")),
        Mutant("plan.json empty", "a disk that was full", "plan.json",
               content("plan.json", lambda data: b"")),
        Mutant("requests.parquet empty", "a disk that was full", REQUESTS_FILE,
               content(REQUESTS_FILE, lambda data: b"")),
        Mutant("a plan without its seed", "another version's plan", "plan.json",
               plan(lambda planned: planned.pop("seed"))),
        Mutant("a count that is a text", "another version's event", "events.jsonl",
               _generator(sent="many")),  # type: ignore[arg-type]
        Mutant("an event without its arm", "another version's event", "events.jsonl",
               first("segment", lambda event: event.pop("arm"))),
        Mutant("a start that is not a number", "an error of ours", "events.jsonl",
               _segment(started_s=math.nan)),
    ],
}  # fmt: skip

ALL: Sequence[Mutant] = [mutant for group in MUTANTS.values() for mutant in group]
