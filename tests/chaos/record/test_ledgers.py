"""Ledgers are what their words say, asked of each click, link and edit one by one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.engine.run import HostClock
from chaos.model.evidence import Generator, Ledger, ReadBack
from chaos.model.request_record import REQUEST_COLUMNS
from chaos.record.reader import read_evidence
from chaos.record.writer import RecordWriter
from tests.support.thorough import times

SEGMENTS = (1, 2)
SHARED = {1: ("a", "b"), 2: ("c", "d")}
OWN = {1: "own1", 2: "own2"}
FOLLOWS = {1: 1, 2: 0}
SETTINGS = {1: {}, 2: {"CLICK_MODE": "outbox"}}
GOOD = {"ok": (200,), "absent": (404,), "fail": (400, 503), "unknown": (0,)}


@dataclass(frozen=True)
class Row:
    """One request on record."""

    segment: int
    operation: str
    outcome: str
    status: int
    key: str
    version: int = -1
    target: str = ""
    click_id: str = ""

    @property
    def unsure(self) -> bool:
        """True if nobody knows what became of it."""
        return self.outcome == "unknown" or self.status >= 500


@dataclass(frozen=True)
class World:
    """Requests, and what the primary holds."""

    rows: tuple[Row, ...] = ()
    clicks: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, int, str, bool], ...] = ()
    totals: tuple[tuple[str, int], ...] = ()
    forks: tuple[tuple[str, str, int], ...] = ()  # kind, id and version on a server before


# --- the record ----------------------------------------------------------------------------------


def ledgers(world: World) -> Mapping[int, Mapping[str, Ledger]]:
    """The ledgers as they are read from a record."""
    with TemporaryDirectory() as parent:
        directory = Path(parent) / "run"
        writer = RecordWriter(directory, PLAN, HostClock())
        for segment in SEGMENTS:
            codes, follows = [*SHARED[segment]], FOLLOWS[segment]
            writer.event("links", segment=segment, codes=codes, follows=follows, targets=codes)
            writer.event("segment", **_ended(segment))
        lines = [_line(place, row) for place, row in enumerate(world.rows)]
        header = ",".join(REQUEST_COLUMNS)
        text = "\n".join([header, *(",".join(map(str, line)) for line in lines)]) + "\n"
        (directory / "requests-0.csv").write_text(text, encoding="utf-8")
        writer.fork(SEGMENTS[0], world.forks)
        writer.read_back(ReadBack(world.clicks, world.links, dict(world.totals), {}))
        writer.event("finished")
        writer.close()
        return {s.number: dict(s.ledgers) for s in read_evidence(directory).segments}


PLAN: Mapping[str, Any] = {
    **dict.fromkeys(("experiment", "question", "runtime", "command", "began", "linkstorm"), ""),
    **{"seed": 1, "arms": {}, "began_s": 0.0, "commit": None, "machine": {}},
    "mode": {"name": "quick", "rounds": 1, "segment_s": 1.0, "events": 1, "control_s": 1.0},
}


def _ended(segment: int) -> dict[str, Any]:
    end: dict[str, Any] = {
        "segment": segment,
        "arm": "lock",
        "round": 0,
        "settings": SETTINGS[segment],
    }
    end |= {"web_processes": 2, "settled_s": None, "counted": {}, "acts": [], "in_force": []}
    end["states"] = []
    end |= {"from_s": 0.0, "to_s": 9.0, "started_s": 0.0, "ended_s": 9.0}
    return json.loads(json.dumps(end | {"generator": asdict(Generator(0, 0, 0, 0, 0.0, 0.0))}))  # type: ignore[no-any-return]


def _line(place: int, row: Row) -> list[object]:
    known = asdict(row) | {"op_id": f"o{place}", "session": f"s{place}", "attempt": 1, "last": True}
    known |= {"rank": 0, "intended_s": 1.0, "sent_s": 1.0, "done_s": 1.0, "served_from": "hit"}
    return [known.get(name, "") for name in REQUEST_COLUMNS]


# --- the same, slowly ----------------------------------------------------------------------------


def keys_of(world: World) -> dict[str, int]:
    """Every link of the run with its segment: shared ones, and those that requests name."""
    keys = {key: segment for segment, own in SHARED.items() for key in own}
    for row in world.rows:
        if row.key:
            keys.setdefault(row.key, row.segment)
    return keys


def forked(world: World, kind: str, name: str, version: int = 0) -> bool:
    """A server that lost its role held it, at that version or a later one."""
    return any((k, n) == (kind, name) and v >= version for k, n, v in world.forks)


def slow_clicks(world: World, segment: int) -> Ledger:
    keys, held = keys_of(world), Counter(world.clicks)
    follows = [r for r in world.rows if r.operation == "follow"]
    told = Counter((r.click_id, r.key) for r in follows if r.outcome == "ok" and r.click_id)
    here = [pair for pair in {*told, *held} if keys.get(pair[1], 1) == segment]
    own = [r for r in follows if r.segment == segment]
    strangers = sum(1 for pair in here if not told[pair])
    gave_up = [r for r in own if r.outcome == "ok" and not r.click_id and SETTINGS[segment]]
    unsure = sum(r.unsure for r in own) + len(gave_up)
    totals, rows = dict(world.totals), Counter(key for _, key in world.clicks)
    off_keys = [
        key for key in {*totals, *rows, *(r.key for r in follows)} if keys.get(key, 1) == segment
    ]
    return Ledger(
        attempted=sum(r.outcome == "ok" for r in own),
        acknowledged=sum(told[pair] for pair in here),
        held=sum(1 for pair in here if told[pair] and held[pair]),
        lost=sum(told[pair] - min(held[pair], 1) for pair in here if told[pair])
        + max(0, FOLLOWS[segment] - strangers),
        duplicated=sum(max(0, held[pair] - 1) for pair in here),
        unexpected=max(0, strangers - FOLLOWS[segment] - unsure),
        miscounted=sum(abs(totals.get(key, 0) - rows[key]) for key in off_keys),
        found=sum(
            told[pair] for pair in here if not held[pair] and forked(world, "clicks", pair[0])
        ),
    )


def slow_links(world: World, segment: int) -> Ledger:
    keys = keys_of(world)
    here = [key for key, own in keys.items() if own == segment]
    held = {key: deleted for key, _, _, deleted in world.links}

    def created(key: str) -> list[Row]:
        return [r for r in world.rows if r.key == key and r.operation == "create"]

    def removed(key: str) -> bool:
        deletes = [r for r in world.rows if r.key == key and r.operation == "delete"]
        return any(r.outcome != "fail" or r.unsure for r in deletes)

    told = [key for key in here if not created(key) or any(r.outcome == "ok" for r in created(key))]
    kept = [key for key in told if key in held and (removed(key) or not held[key])]
    unknown = [r for r in world.rows if r.operation == "create" and not r.key and r.unsure]
    strangers = sum(key not in keys for key in held) if segment == min(SEGMENTS) else 0
    copies = {target: slow_copies(world, target) for target in ("t", "u")}
    return Ledger(
        attempted=len(here),
        acknowledged=len(told),
        held=len(kept),
        lost=len(told) - len(kept),
        duplicated=sum(count for first, count in copies.values() if first == segment),
        unexpected=max(0, strangers - sum(count for _, count in copies.values()) - len(unknown)),
        found=sum(key not in held and forked(world, "links", key) for key in told),
    )


def slow_copies(world: World, target: str) -> tuple[int, int]:
    """First segment that made a link of this target, and links of it beyond one for each create."""
    keys, held = keys_of(world), {key for key, *_ in world.links}
    creates = [r for r in world.rows if r.operation == "create" and r.target == target]
    missing = sum(r.key not in held for r in creates)
    strangers = sum(key not in keys and seen == target for key, _, seen, _ in world.links)
    first = min((r.segment for r in creates), default=0)
    return first, max(0, strangers - missing) if creates else 0


def slow_edits(world: World, segment: int) -> Ledger:
    keys, held = keys_of(world), {key: (v, t, d) for key, v, t, d in world.links}
    writes = [r for r in world.rows if r.operation in ("edit", "delete")]
    edits = [r for r in writes if r.operation == "edit" and r.segment == segment]
    told = [r for r in edits if r.outcome == "ok"]
    kept = [r for r in told if held.get(r.key, (0, "", False))[0] >= r.version]
    other = [
        r
        for r in told
        if r.key in held
        and held[r.key] == (r.version, held[r.key][1], False)
        and held[r.key][1] != r.target
    ]
    duplicated = beyond = 0
    for key in (key for key, own in keys.items() if own == segment):
        own = [r for r in writes if r.key == key]
        versions = [r.version for r in own if r.outcome == "ok"]
        duplicated += len(versions) - len(set(versions))
        could = sum(r.outcome == "ok" or r.unsure for r in own)
        beyond += key in held and held[key][0] > 1 + could
    found = sum(
        held.get(r.key, (0, "", False))[0] < r.version and forked(world, "links", r.key, r.version)
        for r in told
    )
    return Ledger(len(edits), len(told), len(kept), len(told) - len(kept), duplicated,
                  len(other) + beyond, found=found)  # fmt: skip


# --- random worlds -------------------------------------------------------------------------------


@st.composite
def rows(draw: st.DrawFn) -> Row:
    segment = draw(st.sampled_from(SEGMENTS))
    operation = draw(st.sampled_from(["follow", "follow", "create", "edit", "edit", "delete"]))
    outcome = draw(st.sampled_from([*GOOD, "ok", "ok"]))
    key = (
        OWN[segment]
        if operation == "create"
        else draw(st.sampled_from([*SHARED[segment], OWN[segment]]))
    )
    if operation == "create" and outcome != "ok" and draw(st.booleans()):
        key = ""
    good = outcome == "ok"
    return Row(
        segment=segment,
        operation=operation,
        outcome=outcome,
        status=draw(st.sampled_from(GOOD[outcome])),
        key=key,
        version=draw(st.integers(1, 4)) if good else -1,
        target=draw(st.sampled_from(["t", "u"])) if good or operation == "create" else "",
        click_id=draw(st.sampled_from(["", "i", "j", "k"]))
        if good and operation == "follow"
        else "",
    )


KEYS = st.sampled_from(["a", "b", "c", "d", *OWN.values(), "stranger", "other"])
WORLDS = st.builds(
    World,
    rows=st.lists(rows(), max_size=10).map(tuple),
    clicks=st.lists(st.tuples(st.sampled_from("ijkx"), KEYS), max_size=6).map(tuple),
    links=st.lists(
        st.tuples(KEYS, st.integers(1, 4), st.sampled_from(["t", "u"]), st.booleans()),
        max_size=8,
        unique_by=lambda link: link[0],
    ).map(tuple),
    totals=st.dictionaries(KEYS, st.integers(0, 3), max_size=4).map(lambda d: tuple(d.items())),
    forks=st.lists(
        st.one_of(
            st.tuples(st.just("links"), KEYS, st.integers(1, 4)),
            st.tuples(st.just("clicks"), st.sampled_from("ijkx"), st.just(0)),
        ),
        max_size=4,
    ).map(tuple),
)


@pytest.mark.timeout(600)
@settings(max_examples=times(60, 3000), deadline=None)
@given(WORLDS)
def test_the_ledgers_of_any_record_are_those_of_a_slow_reader(world: World) -> None:
    read = ledgers(world)
    assert read == {
        segment: {
            "clicks": slow_clicks(world, segment),
            "links": slow_links(world, segment),
            "edits": slow_edits(world, segment),
        }
        for segment in SEGMENTS
    }


# --- what the words mean -------------------------------------------------------------------------

FINE = World(
    rows=(
        Row(1, "follow", "ok", 302, "a", 1, "t", "i"),
        Row(1, "create", "ok", 201, "own1", 1, "made"),
        Row(1, "edit", "ok", 200, "own1", 2, "u"),
    ),
    clicks=(("i", "a"), ("filled", "b")),
    links=(("a", 1, "t", False), ("b", 1, "t", False), ("own1", 2, "u", False),
           ("c", 1, "t", False), ("d", 1, "t", False)),
    totals=(("a", 1), ("b", 1)),
)  # fmt: skip


def wrong(world: World) -> Sequence[str]:
    """What is wrong in some ledger, in words."""
    return [
        f"{segment} {kind} {name} {count}"
        for segment, books in ledgers(world).items()
        for kind, ledger in books.items()
        for name, count in asdict(ledger).items()
        if count and name in ("lost", "duplicated", "unexpected", "miscounted")
    ]


def with_link(key: str, version: int, target: str = "t", deleted: bool = False) -> World:
    others = [link for link in FINE.links if link[0] != key]
    return replace(FINE, links=(*others, (key, version, target, deleted)))


def with_row(*rows: Row) -> World:
    return replace(FINE, rows=(*FINE.rows, *rows))


GATEWAY = Row(1, "edit", "fail", 502, "own1")
TIMED_OUT = Row(1, "follow", "unknown", 0, "a")
UNTOLD = Row(2, "follow", "ok", 302, "c", 1, "t")  # without a click id, in outbox mode


@pytest.mark.parametrize(
    ("world", "words"),
    [
        (FINE, []),
        (replace(FINE, clicks=FINE.clicks[1:], totals=(("b", 1),)), ["1 clicks lost 1"]),
        (replace(FINE, totals=(("a", 3), ("b", 1))), ["1 clicks miscounted 2"]),
        (
            replace(FINE, clicks=(*FINE.clicks, ("i", "a")), totals=(("a", 2), ("b", 1))),
            ["1 clicks duplicated 1"],
        ),
        (
            replace(FINE, clicks=(("i", "c"), FINE.clicks[1]), totals=(("c", 1), ("b", 1))),
            ["1 clicks lost 1", "2 clicks unexpected 1"],
        ),
        (
            replace(with_row(TIMED_OUT), clicks=(*FINE.clicks, ("?", "a")),
                    totals=(("a", 2), ("b", 1))),
            [],
        ),
        (
            replace(with_row(UNTOLD), clicks=(*FINE.clicks, ("?", "c")),
                    totals=(("a", 1), ("b", 1), ("c", 1))),
            [],
        ),
        (with_row(UNTOLD), []),
        (
            replace(with_row(UNTOLD), clicks=(*FINE.clicks, ("?", "c"), ("!", "c")),
                    totals=(("a", 1), ("b", 1), ("c", 2))),
            ["2 clicks unexpected 1"],
        ),
        (
            replace(with_row(replace(UNTOLD, segment=1, key="a")),
                    clicks=(*FINE.clicks, ("?", "a")), totals=(("a", 2), ("b", 1))),
            ["1 clicks unexpected 1"],
        ),
        (replace(FINE, links=FINE.links[1:]), ["1 links lost 1"]),
        (with_link("a", 1, deleted=True), ["1 links lost 1"]),
        (
            replace(with_link("a", 2, deleted=True),
                    rows=(*FINE.rows, Row(1, "delete", "unknown", 0, "a"))),
            [],
        ),
        (with_link("stranger", 1), ["1 links unexpected 1"]),
        (with_link("again", 1, "made"), ["1 links duplicated 1"]),
        (replace(with_link("?", 1), rows=(*FINE.rows, Row(2, "create", "unknown", 0, ""))), []),
        (with_link("own1", 1), ["1 edits lost 1"]),
        (with_link("own1", 2, "t"), ["1 edits unexpected 1"]),
        (with_link("own1", 3, "u"), ["1 edits unexpected 1"]),
        (with_link("c", 2), ["2 edits unexpected 1"]),
        (
            replace(with_link("own1", 3, "?"), rows=(*FINE.rows, GATEWAY)),
            [],
        ),
        (with_row(Row(1, "edit", "ok", 200, "own1", 2, "u")), ["1 edits duplicated 1"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_of_its_kind_in_its_segment(world: World, words: list[str]) -> None:
    assert wrong(world) == words
