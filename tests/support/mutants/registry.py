"""The mutants: every way that we could think of in which a run's evidence can be wrong.

Segment 1 is the control, 2 and 3 the first arms; request `2-100` is one that was answered. The
links of segment 2 are `2-code0`, the hot one, `2-code1` and so on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from chaos.acts.faults import Cut, Kill, Pause
from chaos.model.evidence import Verdict
from chaos.model.experiment import Act, Claim
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
WRITTEN = "no reader saw what nobody had written"
TRAFFIC = "the traffic was the planned one"
RANDOM = "arrivals are as random as planned"
ARRIVALS = "the arrivals are those of the seed"
FOLLOWS = "what follows in a visit is what its answers ask for"
CONTROL = "the control without acts is healthy"
ACTS = "every act took effect and was healed"
ON_TIME = "the generator was on time as far as claims depend on it"
COUNTERS = "Postgres and the app count the same look-ups"
STORED = "Redis counted what the app stored"
WATCHED = "the counters were read throughout"
LIVED_ON = "no part died unplanned"
NOBODY_ELSE = "nobody else used the lab"
ENOUGH = "every arm saw at least 6 expiries"
LEDGERS = "all that was acknowledged is in the primary, exactly once"
IN_FORCE = "only the planned acts were in force, each all the time"
TOUCHED = "all that an act should touch was touched by it"
QUIET = "what no act touches was as quick as in the control"
QUICK = "the control without acts was quick"
AS_PLANNED = "the run was the experiment's, from plan to end"
FIGURES = "every measure of every arm has a figure"
RIGHT = "every link leads where its writer said"
IN_TIME = "no answer came later than its timeout"
FIT = "every redirect's age and source fit a look-up"
GATEWAY = "the gateway's log has the same redirects"
NO_RUN = "it is no run directory"
WRITTEN_SO = "the record holds all that was written"
KNOWN = "the databases met only statements that are known"
SHARE = "each web process answered its share"
SET = "every process ran with the settings of its arm"
REPLICATED = "the replica followed the primary"
POSSIBLE = "every answer can come of the settings in force"
LASTS = "no cached link was looked up again before its time"
REQUESTS_FILE, LOOK_UPS_FILE = "requests.parquet", "look_ups.parquet"

ONE = "op_id = '2-100'"
ANOTHER = "op_id = '2-101'"
LOST = "click_id = '2-100'"
OTHER = "click_id = '2-101'"
RETRIED = """op_id = (SELECT min(op_id) FROM {0} WHERE attempt = 3 AND segment = 2)
    AND attempt < 3"""
FOLLOWED = """op_id = (SELECT min(op_id) FROM {0} WHERE operation = 'follow' AND segment = 2
    AND outcome = 'ok')"""
FOLLOWED_EDIT = """op_id = (SELECT min(op_id) FROM {0} WHERE operation = 'follow' AND segment = 2
    AND outcome = 'ok' AND version > 1 AND rank < 20)"""
EDITED = """op_id = (SELECT min(op_id) FROM {0} WHERE operation = 'edit' AND segment = 2
    AND outcome = 'ok')"""


STRAY = Claim("no such arm", ("magic",), (), lambda rows: (Verdict.of("magic" in rows), ""))


def _sent(by: int) -> Alter:
    def change(event: dict[str, Any]) -> None:
        for count in ("sent", "offered", "visits"):
            event["generator"][count] += by

    return first("segment", change, 1)


def _generator(number: int = 1, **values: float) -> Alter:
    return first("segment", lambda event: event["generator"].update(values), number)


def _counted(name: str, by: float, number: int = 1) -> Alter:
    """A counter of a segment moved further."""

    def change(event: dict[str, Any]) -> None:
        event["counted"][name] += by

    return first("segment", change, number)


def _unknown(name: str, number: int = 1) -> Alter:
    return first("segment", lambda event: event["counted"].update({name: None}), number)


def _uncounted(name: str) -> Alter:
    return first("segment", lambda event: event["counted"].pop(name), 1)


def _segment(number: int = 1, **values: object) -> Alter:
    return first("segment", lambda event: event.update(values), number)


def _acts(change: Callable[[list[dict[str, Any]]], object], number: int = 1) -> Alter:
    """Change the acts of a segment in place."""
    return first("segment", lambda event: change(event["acts"]), number)


def _act(**values: object) -> Alter:
    """The act of the first arm's segment has other values."""
    return _acts(lambda acts: acts[0].update(values))


def _reading(name: str, **values: object) -> Alter:
    return _acts(lambda acts: acts[0][name].update(values))


def _shifted(by_s: float, *names: str) -> Alter:
    return _acts(lambda acts: _later(acts[0], by_s, *names))


def _states(change: Callable[[dict[str, Any]], object], number: int = 1, step: int = 1) -> Alter:
    """Change the readings of a segment's state in place, or each so many of them."""
    return first("segment", lambda event: [*map(change, event["states"][::step])], number)


def _toxic(link: str, *toxics: str) -> Callable[[dict[str, Any]], object]:
    return lambda reading: reading["links"].update({link: [*toxics]})


def _less_of(name: str) -> Alter:
    """Each reading of the first arm's state lacks a part or link."""
    return _states(lambda seen: [seen[kind].pop(name, None) for kind in ("parts", "links")])


def _gap(event: dict[str, Any]) -> None:
    """No reading in the middle of a segment."""
    from_s, to_s = event["started_s"] + 0.5, event["started_s"] + 3.0
    event["states"] = [s for s in event["states"] if not from_s < s["to_s"] < to_s]


def _asked_for(ms: int, which: str) -> Alter:
    """Some look-ups took as long as this, in all accounts."""
    at_s = f"CASE WHEN {which} THEN asked_s + {ms / 1000} ELSE answered_s END"
    return rows("look_ups", f"SELECT * REPLACE ({at_s} AS answered_s) FROM {{0}}")


def _swap(*names: str) -> Alter:
    """Two segments of the first round have each other's fields."""

    def change(seen: Sequence[dict[str, Any]]) -> None:
        one, other = [event for event in seen if event["kind"] == "segment"][1:3]
        for name in names:
            one[name], other[name] = other[name], one[name]

    return events(change)


def _in_the_control(seen: Sequence[dict[str, Any]]) -> None:
    control, arm = [event for event in seen if event["kind"] == "segment"][:2]
    control["acts"] = arm["acts"]


def _moved_acts(seen: Sequence[dict[str, Any]]) -> None:
    one, other = [event for event in seen if event["kind"] == "segment"][1:3]
    one["acts"], other["acts"] = [*one["acts"], *other["acts"]], []


def _planned_end(planned: dict[str, Any]) -> None:
    planned["arms"]["lock"]["timeline"][0]["until_s"] = 1.0


def _made_twice(run: Path) -> None:
    created = f"FROM '{run / REQUESTS_FILE}' WHERE operation = 'create' AND outcome = 'ok'"
    again = f"SELECT 'again', 1, (SELECT max(target) {created}), false"
    rows("links", f"FROM {{0}} UNION ALL {again}")(run)


def _swap_links(seen: Sequence[dict[str, Any]]) -> None:
    one, other = [event for event in seen if event["kind"] == "links"][1:3]
    one["codes"], other["codes"] = other["codes"], one["codes"]


def _later(event: dict[str, Any], by_s: float, *names: str) -> None:
    for name in names:
        event[name] += by_s


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
            for count in ("sent", "offered", "visits"):
                event["generator"][count] -= away
            event["counted"]["web-1.requests"] -= away

        each("segment", account)(run)
        never = f"click_id IN (SELECT click_id FROM {requests} WHERE {gone_rows})"
        dropped("clicks", never)(run)
        dropped("requests", gone_rows)(run)
        clicks = run / "clicks.parquet"
        rows("totals", f"SELECT key, count(*) AS total FROM '{clicks}' GROUP BY key")(run)

    return alter


def _late_hits(run: Path) -> None:
    """Most requests of each arm left late, by too little to decide a claim."""
    late = "served_from = 'hit' AND segment > 1"
    with duckdb.connect() as db:
        sql = f"SELECT segment, count(*) FROM '{run / REQUESTS_FILE}' WHERE {late} GROUP BY 1"
        count = dict(db.execute(sql).fetchall())
    changed("requests", late, sent_s="sent_s + 0.015", done_s="done_s + 0.015")(run)
    each("segment", lambda e: e["generator"].update(late=count.get(e["segment"], 0)))(run)


def _of_three(before: float, during: float, after: float, act: Act) -> Alter:
    """The record of a run under another act, with what its probe read of three tries."""

    readings = {"before": before, "during": during, "again": during, "after": after}

    def change(event: dict[str, Any]) -> None:
        for seen in event["acts"]:
            seen["act"] = act.name
            for name, value in readings.items():
                seen[name] = {"what": "PING", "value": value, "unit": "of 3 answered"}
        for state in event["states"]:
            if state["links"]["replica"]:
                state["links"]["replica"] = []
                for thing, mark in act.puts.items():
                    if thing.endswith(" link"):
                        state["links"][thing.removesuffix(" link")] = [mark]
                    else:
                        state["parts"][thing] = mark

    def replan(planned: dict[str, Any]) -> None:
        for arm in planned["arms"].values():
            arm["timeline"][0].update(act=act.name)

    # The herd's own act slowed the replica, which this one does not.
    quick = changed("look_ups", "true", answered_s="asked_s + 0.0008")
    return both(each("segment", change), plan(replan), quick)


def _silence(act: Act) -> list[Mutant]:
    return [
        Mutant(f"{act.name}: half of it answered", "a fault that silently did little", ACTS,
               _of_three(3, 1, 3, act), act=act),
        Mutant(f"{act.name}: not healed", "a fault that stayed", ACTS,
               _of_three(3, 0, 2, act), act=act),
        Mutant(f"{act.name}: silent before", "a part that was dead already", ACTS,
               _of_three(2, 0, 3, act), act=act),
    ]  # fmt: skip


def _cut(data: bytes) -> bytes:
    """Half of a file; of a plan only its first words: the rest differs from commit to commit."""
    return data[:200] if data.startswith(b'{\n  "experiment"') else data[: len(data) // 2]


# What the herd's record does not gainsay: it has no clicks that wait.
SILENT: Sequence[Act] = (Cut("worker-primary"), Kill("worker"), Pause("worker"))


def sound_under(act: Act) -> Mutant:
    """No mutant, but a record under another act, as it should be."""
    return Mutant(f"{act.name}", "", "", _of_three(3, 0, 3, act), act=act)


def _one_from(source: str, segment: str = "true") -> str:
    """The first redirect that was served from there."""
    where = f"served_from = '{source}' AND {segment}"
    return f"op_id = (SELECT min(op_id) FROM {{0}} WHERE {where})"


def _set_for_all(**settings: str) -> Alter:
    """As if the user had set this for the whole run, and the stack had not heeded it."""

    def replan(planned: dict[str, Any]) -> None:
        for arm in planned["arms"].values():
            arm["settings"].update(settings)

    return both(plan(replan), each("segment", lambda event: event["settings"].update(settings)))


def _reports(name: str, value: str, event: dict[str, Any]) -> None:
    """All web processes report another value of a setting, before the segment and after it."""
    for moment in event["in_force"]:
        for part, own in moment["settings"].items():
            if part.startswith("web-"):
                own[name] = value


def _skewed(by_s: float) -> Alter:
    return changed(
        "look_ups", "true",
        read_s=f"read_s + {by_s}", asked_s=f"asked_s + {by_s}",
        answered_s=f"answered_s + {by_s}", stored_s=f"stored_s + {by_s}",
    )  # fmt: skip


def _look_ups(arm: str, kept: str) -> Alter:
    """As if an arm had met no other look-ups than these, in all accounts."""

    def alter(run: Path) -> None:
        for event in read_events(run):
            if event["kind"] == "segment" and event["arm"] == arm:
                inside = f"read_s BETWEEN {event['from_s']} AND {event['to_s']}"
                dropped("look_ups", f"{inside} AND NOT ({kept})")(run)
                read = f"name = 'replica.look_ups' AND {inside.replace('read_s', 't_s')}"
                changed("samples", read, value="0")(run)
        each("segment", partial(account, run))(run)

    def account(run: Path, event: dict[str, Any]) -> None:
        look_ups = f"'{run / LOOK_UPS_FILE}'"
        inside = f"read_s BETWEEN {event['from_s']} AND {event['to_s']}"
        with duckdb.connect() as db:
            (left,) = db.execute(f"SELECT count(*) FROM {look_ups} WHERE {inside}").fetchall()[0]
        event["counted"].update({"replica.look_ups": left, "web-1.look_ups": left})

    return alter


def _told(change: Callable[[list[dict[str, Any]]], object], number: int = 1) -> Alter:
    """What the parts told of themselves, before and after a segment, is changed in place."""
    return first("segment", lambda event: change(event["in_force"]), number)


def _setting(part: str, name: str, value: str, moment: int = 1, number: int = 1) -> Alter:
    return _told(lambda told: told[moment]["settings"][part].update({name: value}), number)


def _role(name: str, value: bool, moment: int = 1) -> Alter:
    return _told(lambda told: told[moment]["roles"].update({name: value}))


def _all_to_one(event: dict[str, Any]) -> None:
    counted = event["counted"]
    counted["web-1.requests"] += counted["web-2.requests"]
    counted["web-2.requests"] = 0


def _from_the_primary(event: dict[str, Any]) -> None:
    counted = event["counted"]
    counted["primary.look_ups"], counted["replica.look_ups"] = counted["replica.look_ups"], 0


IN_CONTROL = "op_id = '1-100'"  # which runs as the naive arm does


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
               changed("requests", "segment > 1 AND hash(op_id) % 5 = 0", rank="3",
                       key="segment || '-code3'")),
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
        Mutant("a version swapped", "a reader who got what nobody wrote", RIGHT,
               changed("requests", ONE, version="2")),
        Mutant("a version from the future", "a reader who got what nobody wrote yet", WRITTEN,
               changed("requests", FOLLOWED, version="version + 9"), of="busy"),
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
        Mutant("one in twenty late, which decides a claim", "a machine too busy", ON_TIME,
               flaws=("generator late",)),
        Mutant("late, said by the generator alone", "a record that denies it", ON_TIME,
               _generator(late=200)),
        Mutant("hits 15 ms late", "a generator that stood still at each of them", ON_TIME,
               _late_hits),
        Mutant("one unsent, another one less than none", "errors that cancel in the sum", ON_TIME,
               both(_generator(1, unsent=1), _generator(2, unsent=-1))),
        Mutant("no rows", "an empty file", ON_RECORD, dropped("requests", "true")),
        Mutant("two visits said to be one", "sessions mixed up", ON_RECORD,
               changed("requests", ANOTHER, session="'2-100'")),
        Mutant("a visit more than there were", "a generator that counts wrong", ON_RECORD,
               _generator(visits=900)),
        Mutant("a first try called the second", "attempts mixed up", CREDIBLE,
               changed("requests", ONE, attempt="2")),
        Mutant("a last try not marked", "a try lost on the way", CREDIBLE,
               changed("requests", ONE, last="false")),
        Mutant("two last tries", "a client that went on", CREDIBLE,
               changed("requests", RETRIED, last="true"), of="busy"),
        Mutant("tries in another order", "attempts mixed up", CREDIBLE,
               changed("requests", RETRIED, attempt="CASE attempt WHEN 1 THEN 2 ELSE 1 END",
                       last="attempt = 1"), of="busy"),
        Mutant("a follow called a create", "columns mixed up", LEDGERS,
               changed("requests", ONE, operation="'create'")),
        Mutant("a follow called an edit", "columns mixed up", LEDGERS,
               changed("requests", ONE, operation="'edit'")),
        Mutant("a follow called a look at statistics", "columns mixed up", LEDGERS,
               changed("requests", ONE, operation="'stats'")),
        Mutant("an operation that there is not", "another version's word", REQUESTS_FILE,
               changed("requests", ONE, operation="'redirect'")),
        Mutant("no mark whether it is the last try", "a field left empty", REQUESTS_FILE,
               changed("requests", ONE, last="NULL")),
        Mutant("no attempt", "a field left empty", REQUESTS_FILE,
               changed("requests", ONE, attempt="NULL")),
        Mutant("two segments' links swapped", "links of another segment", CREDIBLE,
               events(_swap_links)),
        Mutant("requests for another segment's link", "links of another segment", CREDIBLE,
               changed("requests", ONE, key="'3-code0'", rank="0")),
    ],
    "Traffic": [
        Mutant("one arrival in two hundred left out", "a generator that skips and does not count",
               ARRIVALS, flaws=("arrivals dropped",)),
        Mutant("arrivals of another seed", "arms with other traffic", ARRIVALS,
               flaws=("another seed",)),
        Mutant("forty of a thousand arrivals 1 ms later", "a timer that rounds", ARRIVALS,
               flaws=("arrivals moved",)),
        Mutant("one in fifty for another link", "columns mixed up", ARRIVALS,
               flaws=("other links",)),
        Mutant("another seed planned", "another run's plan", ARRIVALS,
               plan(lambda planned: planned.update(seed=8))),
        Mutant("drawn by another numpy", "random numbers of another version", ARRIVALS, both(
            plan(lambda planned: planned.update(seed=8)),
            plan(lambda planned: planned["machine"].update(numpy="1.0")))),
        Mutant("arrivals like clockwork", "a closed loop", RANDOM,
               flaws=("arrivals like clockwork",)),
        Mutant("all other links alike", "keys drawn by another law", RANDOM, flaws=("keys alike",)),
        Mutant("a step 2 ms early", "a visit that does not wait", FOLLOWS, changed(
            "requests", "operation = 'edit' AND session IN (SELECT session FROM {0} WHERE"
            " operation = 'create')", intended_s="intended_s - 0.002"), of="busy"),
        Mutant("a try too late", "a pause longer than planned", FOLLOWS, changed(
            "requests", "attempt = 2", intended_s="intended_s + 0.06", sent_s="sent_s + 0.06",
            done_s="done_s + 0.06"), of="busy"),
    ],
    "Look-ups": [
        Mutant("one dropped", "a log line missing", COUNTERS, dropped(
            "look_ups", "read_s = (SELECT max(read_s) FROM {0} WHERE key = '2-code0')")),
        Mutant("one doubled", "a log read twice", COUNTERS, doubled(
            "look_ups", "read_s = (SELECT max(read_s) FROM {0} WHERE key = '2-code0')")),
        Mutant("no rows", "an empty file", COUNTERS, dropped("look_ups", "true")),
        Mutant("all from another run", "times from before the run", COUNTERS, _skewed(-3600)),
        Mutant("all 50 ms early", "a web process with a clock of its own", CLOCKS, _skewed(-0.05)),
        Mutant("all 50 ms late", "a web process with a clock of its own", CLOCKS, _skewed(0.05)),
        Mutant("all answered before they were asked", "a negative duration", CLOCKS,
               changed("look_ups", "true", answered_s="asked_s - 0.001")),
        Mutant("all stored before they were read", "a negative duration", CLOCKS,
               changed("look_ups", "true", stored_s="read_s - 0.001")),
        Mutant("for another link", "keys mixed up", CLOCKS,
               changed("look_ups", "true", key="'2-code3'")),
        Mutant("for no link of ours", "somebody else's look-ups", CLOCKS,
               changed("look_ups", "true", key="'strange'")),
        Mutant("a time that is not a number", "a log line with an error", LOOK_UPS_FILE,
               changed("look_ups", "true", asked_s="'NaN'::DOUBLE")),
        Mutant("no time", "a field left empty", LOOK_UPS_FILE,
               changed("look_ups", "true", read_s="NULL")),
        Mutant("none of an arm's, in any account", "a fix that never met an expiry", ENOUGH,
               _look_ups("lock", "false")),
    ],
    "Counters": [
        Mutant("Postgres counts one less", "statistics reset", COUNTERS,
               flaws=("Postgres miscounts",)),
        Mutant("Postgres counts one more", "somebody else's query", COUNTERS,
               _counted("replica.look_ups", 1)),
        Mutant("the app counts one more", "a counter that moves twice", COUNTERS,
               _counted("web-1.look_ups", 1)),
        Mutant("the app's counter reset", "a web process that began anew", COUNTERS,
               _counted("web-1.look_ups", -1000)),
        Mutant("a web process began anew", "killed by the kernel, restarted at once", LIVED_ON,
               _counted("web-1.starts", 1)),
        Mutant("one request answered more", "a visitor from outside", NOBODY_ELSE,
               flaws=("somebody else",)),
        Mutant("one request answered less", "requests that went past the web", NOBODY_ELSE,
               _counted("web-1.requests", -1)),
        Mutant("a stranger in the control", "a visitor from outside", NOBODY_ELSE,
               _counted("web-1.requests", 1, 0)),
        Mutant("Redis's counter reset", "Redis restarted", WATCHED,
               changed("samples", "name = 'redis.commands' AND t_s > 1002.5 AND t_s < 1003.5",
                       value="value - 1000")),
        Mutant("Redis counted backwards in all", "Redis restarted", WATCHED,
               _counted("redis.commands", -100_000)),
        Mutant("Redis's count stands still", "a counter read once", STORED, both(
            changed("samples", "name = 'redis.commands'", value="1"),
            each("segment", lambda event: event["counted"].update({"redis.commands": 0})))),
        Mutant("Redis rose further than in all", "another run's samples", WATCHED,
               changed("samples", "t_s > 1003", value="value + t_s * 10000")),
        Mutant("no readings for a while", "a sampler that hung", WATCHED,
               dropped("samples", "t_s BETWEEN 1003 AND 1004.5")),
        Mutant("no readings", "zero samples", WATCHED, dropped("samples", "true")),
        *(Mutant(f"no readings of {name}", "a source that hung", WATCHED,
                 dropped("samples", f"name = '{name}'"))
          for name in ("redis.commands", "primary.look_ups", "replica.look_ups")),
        Mutant("a part began anew in one arm", "killed by the kernel", LIVED_ON,
               flaws=("part restarts unplanned",)),
        Mutant("a count unknown without an act", "a part that began anew unseen", LIVED_ON,
               _unknown("web-1.requests")),
        Mutant("Redis's count unknown without an act", "Redis restarted unseen", WATCHED,
               _unknown("redis.commands")),
        Mutant("no count of Redis at rest", "a source forgotten", WATCHED,
               _uncounted("redis.commands")),
        Mutant("no count of requests", "a source forgotten", NOBODY_ELSE,
               _uncounted("web-1.requests")),
        Mutant("no part's starts", "marks not read", LIVED_ON, each(
            "segment", lambda event: [event["counted"].pop(name) for name in
                                      [*event["counted"]] if name.endswith(".starts")])),
        Mutant("a part that no act stops began anew", "killed beside the act", LIVED_ON,
               _counted("web-1.starts", 1), of="busy"),
        Mutant("readings of another name", "a metric renamed", WATCHED,
               changed("samples", "true", name="'commands'")),
        Mutant("a reading that is not a number", "a counter that was not there",
               "samples.parquet", changed("samples", "t_s > 1003", value="'NaN'::DOUBLE")),
        Mutant("a reading every 0.8 s", "a sampler too slow for the measure", FIGURES,
               dropped("samples", "round((t_s - 1000) * 10)::BIGINT % 8 <> 0")),
    ],
    "The control": [
        Mutant("no control", "a segment left out", CONTROL, without("segment", 0)),
        Mutant("one request unanswered", "a stack that was ill before the act", CONTROL,
               changed("requests", "op_id = '1-100'", outcome="'unknown'", status="0",
                       click_id="NULL", version="-1", age_ms="NULL", served_from="''")),
    ],
    "Acts": [
        Mutant("did nothing", "a toxic on the wrong link", ACTS, flaws=("fault does nothing",)),
        Mutant("stays", "a toxic that was not removed", ACTS, flaws=("fault stays",)),
        Mutant("no reading", "a probe that got no answer", ACTS, flaws=("probe fails",)),
        Mutant("fell off halfway", "somebody who heals by hand",
               "direct shows the failure: origin queries per expiry ≥ 0.5 × theory",
               flaws=("act ends early",)),
        Mutant("another act, that slows nothing", "the wrong fault chosen",
               "direct shows the failure: origin queries per expiry ≥ 0.5 × theory",
               _of_three(3, 0, 3, Kill("worker")), act=Kill("worker")),
        Mutant("injected late", "an act that takes its time", ACTS, flaws=("act injected late",),
               of="busy"),
        Mutant("healed late", "a lab that hung", ACTS, flaws=("act healed late",), of="busy"),
        Mutant("ended early", "a clock that jumped", ACTS, _shifted(-0.5, "lifted_s"), of="busy"),
        Mutant("ended late", "a clock that jumped", ACTS, _shifted(1.5, "lifted_s"), of="busy"),
        Mutant("begun early", "a clock that jumped", ACTS, _shifted(-0.5, "injected_s"),
               of="busy"),
        Mutant("said to be proven, readings alike", "a judge at the time who was wrong", ACTS,
               _reading("during", value=0.5)),
        Mutant("said to be healed, still slow", "a judge at the time who was wrong", ACTS,
               _reading("after", value=120.5)),
        Mutant("too little of it", "half of the latency", ACTS, _reading("during", value=60.0)),
        Mutant("said not to be proven", "a judge at the time who saw more", ACTS,
               _act(took_effect=False)),
        Mutant("said not to be healed", "a judge at the time who saw more", ACTS,
               _act(healed=False)),
        Mutant("a reading below zero", "a clock that jumped", ACTS,
               _reading("before", value=-500.0)),
        Mutant("another question each time", "a probe of something else", ACTS,
               _reading("before", what="PING")),
        Mutant("another unit", "seconds for milliseconds", ACTS, _reading("after", unit="s")),
        Mutant("a reading that is not a number", "a probe with an error", "events.jsonl",
               _reading("during", value=math.nan)),
        Mutant("healed before the end", "an act that fell off", ACTS, _shifted(-2.0, "lifted_s")),
        Mutant("never lifted", "a heal that was not written", ACTS,
               _act(lifted_s=None, healed_s=None)),
        Mutant("in force too late", "an act that came during the segment", ACTS,
               _shifted(1.0, "injected_s")),
        Mutant("in force in the control", "an act of the run before", ACTS,
               events(_in_the_control)),
        Mutant("one missing", "a list cut short", ACTS, _acts(lambda acts: acts.clear())),
        Mutant("one doubled", "a line written twice", ACTS,
               _acts(lambda acts: acts.append(dict(acts[0])))),
        Mutant("one missing, one doubled", "two errors that cancel in the count", ACTS, both(
            _acts(lambda acts: acts.clear()), _acts(lambda acts: acts.append(dict(acts[0])), 2))),
        Mutant("all in one segment", "acts in the wrong segment", ACTS, events(_moved_acts)),
        Mutant("one of an arm that has none", "an act in the wrong segment", ACTS,
               _acts(lambda acts: acts.append(dict(acts[0], act="?")))),
        Mutant("another act than planned", "a link mistaken", ACTS, _act(act="cache link +120 ms")),
        Mutant("gone by its second probe", "an act that fell off halfway", ACTS,
               _reading("again", value=0.5)),
        Mutant("no second probe", "a probe forgotten", ACTS, _act(again=None)),
        *(mutant for act in SILENT for mutant in _silence(act)),
    ],
    "What was in force": [
        Mutant("another link hit, too", "a toxic on two links", IN_FORCE,
               _states(_toxic("cache", "latency downstream latency=120"))),
        Mutant("a forgotten toxic from the start", "a person on the Chaos page", IN_FORCE, each(
            "segment", lambda event: [
                _toxic("cache", "latency downstream latency=20")(s) for s in event["states"]])),
        Mutant("a toxic in the control alone", "a heal of the run before that came late", IN_FORCE,
               _states(_toxic("replica", "latency downstream latency=20"), 0)),
        Mutant("more of it", "two toxics on one link", IN_FORCE,
               _states(_toxic("replica", "latency downstream latency=120",
                              "bandwidth upstream rate=1"))),
        Mutant("of half of the connections", "a toxic with a toxicity", IN_FORCE,
               _states(_toxic("replica", "latency downstream latency=120 toxicity=0.5"))),
        Mutant("another arm missed", "an inject that does nothing", IN_FORCE,
               _states(_toxic("replica"), 4)),
        Mutant("away for a moment", "somebody who heals by hand", IN_FORCE,
               _states(_toxic("replica"), 2, 5)),
        Mutant("a part paused beside the act", "a person on the Chaos page", IN_FORCE,
               _states(lambda seen: seen["parts"].update(worker="paused"), 1, 3)),
        Mutant("a link closed beside the act", "a person on the Chaos page", IN_FORCE,
               _states(_toxic("queue", "closed"), 1, 3)),
        Mutant("a part that is not killed all the time", "somebody who started it", IN_FORCE,
               _states(lambda seen: seen["parts"].update(redis="up")), of="busy"),
        Mutant("no state of a part", "a part forgotten", IN_FORCE, _less_of("worker")),
        Mutant("no state of a link", "a link forgotten", IN_FORCE, _less_of("replication")),
        Mutant("no state for a while", "a watch that hung", IN_FORCE, first("segment", _gap, 1)),
        Mutant("no state before", "a watch that began late", IN_FORCE,
               first("segment", lambda event: event.update(states=event["states"][3:]), 1),
               of="busy"),
        Mutant("no state after", "a watch that ended early", IN_FORCE,
               first("segment", lambda event: event["states"].pop(), 1)),
        Mutant("no states", "a watch that never began", IN_FORCE,
               each("segment", lambda event: event.update(states=[]))),
        Mutant("no time when it began", "a field left empty", IN_FORCE, _act(begun_s=None)),
        Mutant("begun long before it was due", "a clock that jumped", IN_FORCE,
               _shifted(-0.5, "begun_s"), of="busy"),
    ],
    "What an act touches": [
        Mutant("look-ups as if it were not there", "an act that missed an arm", TOUCHED,
               _asked_for(1, "read_s > 1006 AND read_s < 1010")),
        Mutant("one look-up as if it were not there", "an act that fell off for a moment", TOUCHED,
               _asked_for(1, "read_s = (SELECT max(read_s) FROM {0})")),
        Mutant("look-ups twice as slow", "more of it than planned", TOUCHED, _asked_for(
            240, "read_s > 1002")),
        Mutant("served by a part that was killed", "a kill of another process", TOUCHED,
               changed("requests", "served_from = 'near'", served_from="'hit'"), of="busy"),
        Mutant("counters of a part that was killed", "a kill of another process", TOUCHED, rows(
            "samples", "FROM {0} UNION ALL SELECT t_s, 'redis.commands', (SELECT max(value) FROM"
            " {0} AS own WHERE own.name = 'redis.commands' AND own.t_s < s.t_s) FROM {0} AS s"
            " WHERE name = 'replica.look_ups' AND t_s NOT IN (SELECT t_s FROM {0} WHERE"
            " name = 'redis.commands')"), of="busy"),
    ],
    "What no act touches": [
        Mutant("a slow cache beside the act", "a network that has another fault", QUIET,
               changed("requests", "segment = 3 AND served_from = 'hit'", done_s="done_s + 0.03")),
        Mutant("a control that is slow all along", "a delay that nobody planned", QUICK,
               changed("requests", "segment = 1", done_s="done_s + 0.06")),
        Mutant("a control that cannot keep up", "a stack that is ill before the act", QUICK,
               changed("requests", "segment = 1 AND hash(op_id) % 5 = 0", done_s="done_s + 1.5")),
    ],
    "Ledgers": [
        Mutant("one lost", "a worker that acknowledged too early", LEDGERS, flaws=("click lost",)),
        Mutant("one doubled", "a batch delivered twice", LEDGERS, flaws=("click doubled",)),
        Mutant("one lost, one doubled", "errors that cancel in the sum", LEDGERS,
               both(dropped("clicks", LOST), doubled("clicks", OTHER))),
        Mutant("one foreign", "a click that nobody made", LEDGERS,
               rows("clicks", "FROM {0} UNION ALL SELECT 'nobody', '2-code0'")),
        Mutant("one lost, one foreign", "an id that changed on the way", LEDGERS,
               changed("clicks", LOST, click_id="'nobody'")),
        Mutant("one counted for another link", "a batch with keys mixed up", LEDGERS,
               changed("clicks", LOST, key="'2-code7'")),
        Mutant("one id given twice", "two visitors counted as one", LEDGERS,
               changed("requests", ONE, click_id="'2-101'", key="'2-code0'", rank="0")),
        Mutant("one that filled the cache lost", "a click of no request on record", LEDGERS,
               dropped("clicks", "click_id = 'filled-2-code3'")),
        Mutant("more filled than there were", "strangers explained away", LEDGERS,
               first("links", lambda event: _later(event, 1, "follows"), 1)),
        Mutant("fewer filled than there were", "clicks that nobody made", LEDGERS,
               first("links", lambda event: _later(event, -1, "follows"), 1)),
        Mutant("a total off by three", "a count beside its rows", LEDGERS, flaws=("total wrong",)),
        Mutant("totals off, right in sum", "errors that cancel in the sum", LEDGERS,
               changed("totals", "key IN ('2-code0', '2-code1')",
                       total="CASE key WHEN '2-code0' THEN total + 1 ELSE total - 1 END")),
        Mutant("a total missing", "a link without its count", LEDGERS,
               dropped("totals", "key = '2-code3'")),
        Mutant("no id on record", "a header missing", LEDGERS,
               changed("requests", ONE, click_id="NULL")),
        Mutant("no rows", "an empty file", LEDGERS, dropped("clicks", "true")),
        Mutant("nothing read back", "a read-back that did not happen", LEDGERS,
               without("read-back")),
        Mutant("one lost in one arm, one doubled in another", "errors that cancel in the sum",
               LEDGERS, both(dropped("clicks", LOST), doubled("clicks", "click_id = '3-101'"))),
        Mutant("one counted for another segment's link", "a batch of two segments", LEDGERS,
               flaws=("clicks of another segment",)),
        Mutant("clicks that never settle", "a worker that hangs", LEDGERS,
               flaws=("queue never drains",)),
        Mutant("no time at which one settled", "a field left empty", LEDGERS,
               _segment(settled_s=None)),
        Mutant("a click lost beside the claim", "an arm that nobody expects to lose any",
               "no arm has any clicks lost, but for careless",
               dropped("clicks", "click_id = (SELECT max(click_id) FROM {0} WHERE click_id"
                       " LIKE '3-%')"), of="busy"),
        Mutant("a link missing", "a transaction lost", LEDGERS, flaws=("link lost",)),
        Mutant("a link of its own missing", "a transaction lost", "no arm has any links lost",
               dropped("links", "key = (SELECT max(key) FROM {0} WHERE NOT deleted)"), of="busy"),
        Mutant("a link that nobody made", "somebody else's", LEDGERS,
               rows("links", "FROM {0} UNION ALL SELECT 'x', 1, 'https://example.org', false")),
        Mutant("a link made twice", "a retry under another key", "no arm has any links duplicated",
               _made_twice, of="busy"),
        Mutant("a link deleted by nobody", "a delete of another", LEDGERS,
               changed("links", "key = '2-code3'", deleted="true")),
        Mutant("a version that nobody wrote", "an edit delivered twice", LEDGERS,
               changed("links", "key = '2-code3'", version="2")),
        Mutant("an edit lost", "a transaction lost", "no arm has any edits lost",
               flaws=("edit lost",), of="busy"),
        Mutant("an edit with another target", "columns mixed up", LEDGERS,
               changed("links", "key = (SELECT max(key) FROM {0} WHERE version > 1"
                       " AND NOT deleted)", target="'https://example.org/0'"), of="busy"),
        Mutant("a version too high", "an edit delivered twice", LEDGERS,
               changed("links", "key = (SELECT max(key) FROM {0} WHERE version > 1)",
                       version="version + 1"), of="busy"),
        Mutant("a version told to two", "a write that overwrote another", LEDGERS,
               changed("requests", EDITED, version="version + 1"), of="busy"),
        Mutant("a key that is missing", "a field left empty", "links.parquet",
               changed("links", "key = '2-code3'", key="NULL")),
    ],
    "Answers": [
        Mutant("one to another link's page", "a cache that mixes up its keys", RIGHT,
               changed("requests", ONE, target="'https://example.org/2-code3'")),
        Mutant("one in a hundred to the next link's page", "an index off by one", RIGHT,
               changed("requests", "operation = 'follow' AND hash(op_id) % 100 = 0",
                       target="'https://example.org/' || segment || '-code' || (rank + 1) % 20")),
        Mutant("one to the same link of another segment", "a cache not emptied", RIGHT,
               changed("requests", ONE, target="replace(target, '/2-', '/3-')")),
        Mutant("one to nowhere", "a header missing", RIGHT, changed("requests", ONE, target="''")),
        Mutant("one to the target before the edit, at the version after it",
               "a cache that keeps versions beside values", RIGHT,
               changed("requests", FOLLOWED_EDIT, target="'https://example.org/' || key"),
               of="busy"),
        Mutant("301 in place of 302", "a redirect that browsers keep", RIGHT,
               changed("requests", "operation = 'follow' AND status = 302", status="301")),
        Mutant("200 in place of 302", "a page in place of a redirect", RIGHT,
               changed("requests", ONE, status="200")),
        Mutant("an edit acknowledged with 202", "accepted, not done", RIGHT,
               changed("requests", EDITED, status="202"), of="busy"),
        Mutant("a link that nobody edited with another target", "a write to the wrong row", RIGHT,
               changed("links", "key = '2-code3'", target="'https://example.org/2-code4'")),
        Mutant("links without their targets", "another version's event", "events.jsonl",
               first("links", lambda event: event.pop("targets"), 1)),
        Mutant("a target too few", "a list cut short", "events.jsonl",
               first("links", lambda event: event["targets"].pop(), 1)),
        Mutant("one after its timeout", "a client that waits for ever", IN_TIME,
               changed("requests", "op_id = '1-100'", done_s="sent_s + 6.5")),
        Mutant("all ages a tenth", "a unit mixed up", FIT,
               changed("requests", "true", age_ms="age_ms / 10")),
        Mutant("one 0.3 s younger than it was", "a clock that jumped", FIT,
               changed("requests", _one_from("hit", "segment = 2 AND age_ms > 400"),
                       age_ms="age_ms - 300")),
        Mutant("waiting said to be stale", "a fix that does nothing, and says it does", FIT,
               changed("requests", "served_from = 'wait'", served_from="'stale'")),
        Mutant("stale said to be fresh", "a reader who is not told", FIT,
               changed("requests", "served_from = 'stale'", served_from="'hit'")),
        Mutant("a miss said to be a hit", "a look-up denied", FIT,
               changed("requests", _one_from("miss", "segment = 2"), served_from="'hit'")),
        Mutant("a hit said to be a miss", "a look-up made up", FIT,
               changed("requests", _one_from("hit", "segment = 2"), served_from="'miss'")),
        Mutant("a hit said to have waited", "a wait made up", FIT,
               changed("requests", _one_from("hit", "segment = 2 AND age_ms > 300"),
                       served_from="'wait'")),
        Mutant("those who waited said to have looked up", "a fix denied", FIT,
               changed("requests", "served_from = 'wait'", served_from="'miss'")),
        Mutant("half of the time to live that was in force", "a setting not heeded", FIT,
               _set_for_all(CACHE_TTL_S="0.4")),
        Mutant("twice the time to live that was in force", "a setting not heeded", FIT,
               _set_for_all(CACHE_TTL_S="1.6")),
        Mutant("latencies of 40 %", "a client that flatters", GATEWAY,
               changed("requests", "true", done_s="sent_s + 0.4 * (done_s - sent_s)")),
        Mutant("latencies of 40 %, but for those who looked up", "a client that flatters", GATEWAY,
               changed("requests", "served_from = 'wait'",
                       done_s="sent_s + 0.4 * (done_s - sent_s)")),
        Mutant("answers 30 ms later than given", "a client that dawdles", GATEWAY,
               changed("requests", "segment = 2", done_s="done_s + 0.03"), of="busy"),
        Mutant("an answer that the gateway did not give", "a request made up", GATEWAY,
               dropped("gateway", "line = 500")),
        Mutant("an answer that no client had", "a request dropped from the record", GATEWAY,
               doubled("gateway", "line = 500")),
        Mutant("another status than the client's", "an outcome made up", GATEWAY,
               changed("gateway", "line = 500", status="503")),
        Mutant("a slow answer that the client calls fast", "a stall left out", GATEWAY,
               changed("gateway", "line = 500", took_s="1.5")),
        Mutant("no log of the gateway", "a log turned off", GATEWAY, dropped("gateway", "true")),
        Mutant("a time that is not a number", "a log line with an error", "gateway.parquet",
               changed("gateway", "line = 500", took_s="'NaN'::DOUBLE")),
    ],
    "Plan and segments": [
        Mutant("fewer repetitions promised", "a mode that is not the experiment's", AS_PLANNED,
               plan(lambda planned: planned["mode"].update(events=1))),
        Mutant("another traffic", "an experiment that has changed since", AS_PLANNED,
               plan(lambda planned: planned["arms"]["lock"]["traffic"].update(timeout_s=9.0))),
        Mutant("another act planned", "an experiment that has changed since", AS_PLANNED,
               plan(lambda planned: planned["arms"]["lock"]["timeline"][0].update(second=-1.0))),
        Mutant("another end of an act planned", "an experiment that has changed since",
               AS_PLANNED, plan(_planned_end)),
        Mutant("no act planned for an arm", "an experiment that has changed since", AS_PLANNED,
               plan(lambda planned: planned["arms"]["lock"]["timeline"].clear())),
        Mutant("an arm with another one's settings", "arms mixed up", AS_PLANNED, both(
            plan(lambda planned: planned["arms"]["lease"]["settings"].update(CACHE_FILL="lock")),
            events(lambda seen: [
                event["settings"].update(CACHE_FILL="lock")
                for event in seen if event["kind"] == "segment" and event["arm"] == "lease"
            ]))),
        Mutant("an arm that there is not", "another version's plan", AS_PLANNED,
               plan(lambda planned: planned["arms"].update(magic=planned["arms"]["lock"]))),
        Mutant("an arm forgotten", "a plan of fewer arms than ran", AS_PLANNED,
               plan(lambda planned: planned["arms"].pop("swr"))),
        Mutant("a segment with another setting", "a stack not restarted", AS_PLANNED,
               first("segment", lambda event: event["settings"].update(CACHE_TTL_S="2"), 2)),
        Mutant("two segments' labels swapped", "arms mixed up", ACTS, _swap("arm", "settings")),
        Mutant("a segment missing", "an event lost", AS_PLANNED, without("segment", 3)),
        Mutant("a segment doubled", "an event written twice", AS_PLANNED, twice("segment", 3)),
        Mutant("a segment a second longer", "a rate that is too low", AS_PLANNED,
               first("segment", lambda event: _later(event, 1.0, "ended_s"), 2)),
        Mutant("a segment before the run", "a clock that jumped", AS_PLANNED,
               plan(lambda planned: planned.update(began_s=5000.0))),
        Mutant("one web process more for a while", "a stack that changed", AS_PLANNED,
               _segment(2, web_processes=3)),
        Mutant("a narrower bound of rounds", "intervals of fewer looks", AS_PLANNED,
               plan(lambda planned: planned["mode"].update(rounds_max=2))),
        Mutant("no look at the claims", "rounds that nobody asked for", AS_PLANNED,
               without("look")),
        Mutant("a look at another time", "a run that looked until it liked what it saw",
               AS_PLANNED, first("look", lambda event: event.update(rounds=1))),
        Mutant("further rounds missing", "rounds left out that did not suit", AS_PLANNED,
               first("look", lambda event: event["arms"].update(lock="undecided"))),
        Mutant("a further round that no look asked for", "rounds added until one suited",
               AS_PLANNED, both(twice("segment", 8), _segment(9, round=2))),
        Mutant("a look for an arm that did not run", "another run's look", AS_PLANNED,
               first("look", lambda event: event["arms"].update(magic="undecided"))),
        Mutant("no links", "codes that nobody wrote down", LEDGERS, without("links")),
        Mutant("links told twice", "a line written twice", CREDIBLE, twice("links")),
    ],
    "Damage of the record": [
        *(Mutant(f"{name}: {how}", "a disk that was full", WRITTEN_SO, alter, later=True)
          for name, column in (("requests", "op_id"), ("look_ups", "read_s"), ("samples", "t_s"),
                               ("clicks", "click_id"), ("totals", "key"), ("links", "key"))
          for one in [f"{column} = (SELECT max({column}) FROM {{0}})"]
          for how, alter in (("a row lost", dropped(name, one)),
                             ("a row doubled", doubled(name, one)))),
        Mutant("twenty clicks lost", "lines that could not be read again", WRITTEN_SO,
               dropped("clicks", "click_id IN (SELECT click_id FROM {0} LIMIT 20)"), later=True),
        Mutant("a click with another id", "a bit that fell over", WRITTEN_SO,
               changed("clicks", LOST, click_id="'2-xxx'"), later=True),
        Mutant("a total with another number", "a bit that fell over", WRITTEN_SO,
               changed("totals", "key = '2-code3'", total="total + 1"), later=True),
        Mutant("a link said to be deleted", "a bit that fell over", WRITTEN_SO,
               changed("links", "key = '2-code3'", deleted="true"), later=True),
        Mutant("twenty clicks not read", "a read-back cut short before it was written", WRITTEN_SO,
               flaws=("read-back cut short",)),
        Mutant("nobody counted the clicks", "another version's record", WRITTEN_SO,
               each("held", lambda event: event["rows"].pop("clicks", None))),
        Mutant("nobody summed the clicks", "another version's record", WRITTEN_SO,
               each("written", lambda event: event["sums"].pop("clicks", None))),
        Mutant("nothing was summed", "another version's record", WRITTEN_SO,
               both(without("written"), without("written"))),
    ],
    "Accounts of several sources": [
        Mutant("look-ups of the replica on the primary", "an address mistaken", COUNTERS,
               first("segment", _from_the_primary, 1)),
        Mutant("logged for another database", "a log that is wrong", COUNTERS,
               changed("look_ups", "true", db="'primary'")),
        Mutant("logged for no database", "a field left empty", COUNTERS,
               changed("look_ups", "true", db="NULL")),
        Mutant("a statement that nobody knows", "reads past all counts", KNOWN,
               _told(lambda told: told[1]["strange"].update({"primary: SELECT f($1)": 9.0}))),
        Mutant("more of a strange statement", "reads past all counts", KNOWN, _told(
            lambda told: told[1]["strange"].update(dict.fromkeys(told[1]["strange"], 3.0)))),
        Mutant("links read as the API reads them", "reads past all counts", KNOWN,
               _counted("primary.reads", 1)),
        Mutant("links changed as the API changes them", "writes that nobody asked for", KNOWN,
               _counted("replica.writes", 1)),
        Mutant("all to one web process", "a balancer that does not balance", SHARE,
               first("segment", _all_to_one, 1)),
        Mutant("two thirds to one web process", "a balancer with weights", SHARE, both(
            _counted("web-1.requests", 150), _counted("web-2.requests", -150))),
        Mutant("a web process that counts nothing", "a process forgotten", SHARE,
               _uncounted("web-2.requests"), of="busy"),
        Mutant("stored for less than its time", "a herd that comes too often", LASTS,
               flaws=("entries do not last",)),
        Mutant("nothing stored in a segment", "a cache that takes nothing", LASTS, changed(
            "look_ups", "key LIKE '2-%'", stored_s="NULL")),
    ],
    "Settings and roles": [
        Mutant("one web process with another fill", "a process not restarted", SET,
               _setting("web-2", "CACHE_FILL", "lease")),
        Mutant("another fill before the segment alone", "a process restarted late", SET,
               _setting("web-1", "CACHE_FILL", "lease", 0)),
        Mutant("another number", "a setting mistaken", SET,
               _setting("web-1", "CACHE_TTL_S", "0.81")),
        Mutant("another default in one process", "an environment of its own", SET,
               _setting("web-2", "NEGATIVE_TTL_S", "3.0", 0)),
        Mutant("another default in one segment", "an environment that changed", SET, both(
            *(_setting(web, "NEGATIVE_TTL_S", "3.0", moment)
              for web in ("web-1", "web-2") for moment in (0, 1)))),
        Mutant("a process that tells nothing", "a page that was empty", SET,
               _told(lambda told: told[1]["settings"].pop("web-2"))),
        Mutant("a setting that nobody tells", "a name mistaken", SET, _told(lambda told: [
            told[1]["settings"][web].pop("CACHE_TTL_S") for web in ("web-1", "web-2")])),
        Mutant("a setting that one does not tell", "another version of it", SET,
               _told(lambda told: told[1]["settings"]["web-2"].pop("READ_FROM"))),
        Mutant("nothing told after it", "a part that did not answer", SET,
               _told(lambda told: told.pop())),
        Mutant("the replica was a primary", "an address mistaken", REPLICATED,
               _role("replica.in_recovery", False)),
        Mutant("the primary was a replica", "an address mistaken", REPLICATED,
               _role("primary.in_recovery", True, 0)),
        Mutant("the replica followed nobody", "replication that broke", REPLICATED,
               _role("replica.streams", False)),
        Mutant("looked up on the replica where all go to the primary", "a route in name only",
               POSSIBLE,
               each("segment", partial(_reports, "READ_FROM", "primary"))),
        *(Mutant(f"served {label} where nothing is", "a label that cannot be", POSSIBLE,
                 changed("requests", IN_CONTROL, served_from=f"'{label}'"))
          for label in ("near", "early", "wait")),
    ],
    "Claims: what the arms did": [
        Mutant("three look-ups for each of the naive arm", "another failure than the one shown",
               "direct shows the failure: origin queries per expiry ≥ 0.5 × theory",
               flaws=("direct asks thrice",)),
        Mutant("one in three of the naive arm's look-ups", "a failure that is not shown",
               "direct shows the failure: origin queries per expiry ≥ 0.5 × theory",
               _look_ups("direct", "hash(read_s) % 3 = 0")),
        Mutant("singleflight shares nothing", "a fix that does not work",
               "singleflight: origin queries per expiry ≤ 2.5 queries",
               flaws=("singleflight acts as direct",)),
        Mutant("lock locks nothing", "a fix that does not work",
               "lock: origin queries per expiry ≤ 1.5 queries", flaws=("lock acts as direct",)),
        Mutant("lease per process only", "a fix that works half",
               "lease: origin queries per expiry ≤ 1.5 queries",
               flaws=("lease acts as singleflight",)),
        Mutant("xfetch never early", "a fix that does not work",
               "xfetch: origin queries per expiry ≤ 0.5 × direct's",
               flaws=("xfetch acts as direct",)),
        Mutant("xfetch too eager", "a law with another constant",
               "xfetch: origin queries per expiry within 40% of its law",
               flaws=("xfetch is too eager",), full=True),
        Mutant("swr refreshes in each process", "a fix that works half",
               "swr: origin queries per expiry ≤ 1.5 queries", flaws=("swr acts as singleflight",)),
        Mutant("swr makes its readers wait", "a fix that works half", "swr: waited ≤ 0.5 redirects",
               flaws=("swr acts as lock",)),
        Mutant("swr serves stale slowly", "a fix that works half",
               "swr: p99 after expiry ≤ 100 ms", flaws=("swr is slow",)),
        Mutant("one request a segment fails", "an error page", "no arm has any failed",
               flaws=("requests fail",)),
        Mutant("about an arm that does not exist", "a name misspelt", "no such arm", claim=STRAY),
        Mutant("never well after the heal", "a failure that outlasts its cause",
               "careful: recovery ≤ 1 s",
               changed("requests", "segment = 3 AND intended_s > (SELECT max(intended_s) - 1 FROM"
                       " {0} WHERE segment = 3)", done_s="done_s + 0.2"), of="busy"),
        Mutant("tried as often as the naive arm", "a fix that does not work",
               "careful: tries per operation during ≤ 0.7 × careless's",
               flaws=("careful as careless",), of="busy"),
    ],
    "Files": [
        *(Mutant(f"{name} {how}", "a disk that was full" if how == "cut in half" else "a slip",
                 NO_RUN if (name, how) == ("plan.json", "missing") else name, alter)
          for name in ("plan.json", "events.jsonl", "requests.parquet", "samples.parquet",
                       "look_ups.parquet", "clicks.parquet", "totals.parquet", "links.parquet",
                       "gateway.parquet")
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
