"""Checkers of histories: against a slow reference, on sound histories, and on broken ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chaos.measures.histories import redirect_window, session_order, visibility
from tests.support import history_reference as reference
from tests.support.histories import PREPARED, Row, requests, sound_history

MOMENTS = st.integers(0, 9)
SEEDS = st.integers(0, 2**32)


@st.composite
def any_row(draw: st.DrawFn) -> Row:
    """A request as no shortener need have answered it."""
    sent_s = draw(MOMENTS)
    return Row(
        operation=draw(st.sampled_from(["follow", "follow", "edit", "edit", "create", "delete"])),
        sent_s=sent_s,
        done_s=sent_s + draw(st.integers(0, 4)),
        version=draw(st.integers(-1, 5)),
        rank=draw(st.integers(0, 3)),
        session=draw(st.integers(0, 1)),
        outcome=draw(st.sampled_from(["ok", "ok", "ok", "absent", "unknown", "fail"])),
        status=draw(st.sampled_from([0, 0, 503])),
    )


HISTORIES = st.lists(any_row(), max_size=25)


def windows(rows: Sequence[Row], prepared: int = 1) -> list[reference.Judged]:
    window = redirect_window(requests(rows), prepared)
    columns = (
        *(window.row, window.staleness_s, window.versions_behind),
        *(window.false_absent, window.impossible),
    )
    return [reference.Judged(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]


def orders(rows: Sequence[Row]) -> list[tuple[bool, bool]]:
    order = session_order(requests(rows))
    return list(zip(order.forgets.tolist(), order.goes_back.tolist(), strict=True))


# --- against the reference ------------------------------------------------------------------------


@given(HISTORIES, st.integers(0, 4))
def test_the_window_is_that_of_all_pairs(rows: list[Row], prepared: int) -> None:
    assert windows(rows, prepared) == reference.window(rows, prepared)


@given(HISTORIES)
def test_sessions_are_those_of_all_pairs(rows: list[Row]) -> None:
    assert orders(rows) == reference.sessions(rows)


@given(HISTORIES)
def test_visibility_is_that_of_all_pairs(rows: list[Row]) -> None:
    seen = visibility(requests(rows))
    pairs = list(zip(seen.t_s.tolist(), seen.fresh.tolist(), strict=True))
    assert pairs == reference.visible(rows)


@given(SEEDS)
def test_the_window_of_a_simulated_history_is_that_of_all_pairs(seed: int) -> None:
    rows = sound_history(seed).rows
    assert windows(rows, PREPARED) == reference.window(rows, PREPARED)


def test_nothing_followed_is_nothing_judged() -> None:
    assert windows([]) == []
    assert orders([]) == []
    assert len(visibility(requests([])).t_s) == 0


# --- a sound shortener is never accused -----------------------------------------------------------


@given(SEEDS)
def test_a_sound_history_is_legal(seed: int) -> None:
    history = sound_history(seed)
    assert redirect_window(history.requests, PREPARED).legal.all()
    order = session_order(history.requests)
    assert not order.forgets.any()
    assert not order.goes_back.any()
    assert visibility(history.requests).fresh.all()


# --- a sound history with one answer changed ------------------------------------------------------


def known_before(rows: Sequence[Row], read: Row) -> int:
    """The highest version that anybody was told of before a read was sent."""
    return max(
        (
            1 if row.operation == "create" else row.version
            for row in rows
            if row.operation in ("create", "edit") and row.outcome == "ok"
            if row.rank == read.rank and row.done_s < read.sent_s
        ),
        default=int(read.rank < PREPARED),
    )


def one_follow(rows: Sequence[Row], draw: int, least: int) -> int:
    """The place of some follow before which a version of at least `least` was known."""
    found = [
        place
        for place, row in enumerate(rows)
        if (row.operation, row.outcome) == ("follow", "ok") and known_before(rows, row) >= least
    ]
    assume(found)
    return found[draw % len(found)]


@given(SEEDS, SEEDS)
def test_an_older_version_than_was_acknowledged_is_caught(seed: int, draw: int) -> None:
    rows = list(sound_history(seed).rows)
    place = one_follow(rows, draw, least=2)
    rows[place] = replace(rows[place], version=known_before(rows, rows[place]) - 1)
    window = redirect_window(requests(rows), PREPARED)
    assert window.stale[window.row == place].all()


@given(SEEDS, SEEDS)
def test_a_version_beyond_all_edits_is_caught(seed: int, draw: int) -> None:
    rows = list(sound_history(seed).rows)
    place = one_follow(rows, draw, least=1)
    edits = sum(row.operation == "edit" and row.rank == rows[place].rank for row in rows)
    rows[place] = replace(rows[place], version=edits + 2)
    window = redirect_window(requests(rows), PREPARED)
    assert window.row[window.impossible].tolist() == [place]
    assert not window.stale.any()  # it is no evidence against the others


@given(SEEDS, SEEDS)
def test_an_existing_link_that_is_absent_is_caught(seed: int, draw: int) -> None:
    rows = [row for row in sound_history(seed).rows if row.operation != "delete"]
    rows = [row for row in rows if row.outcome != "absent"]
    place = one_follow(rows, draw, least=1)
    rows[place] = replace(rows[place], version=0, outcome="absent")
    window = redirect_window(requests(rows), PREPARED)
    assert window.row[window.false_absent].tolist() == [place]


# --- violations, each with a neighbour that is legal ----------------------------------------------

OWN = 7  # the rank of a link that a session creates
CREATE = Row("create", 0, 1, 1, rank=OWN)
EDIT = Row("edit", 10, 12, 2)
UNKNOWN = replace(EDIT, version=-1, outcome="unknown")
BROKEN = replace(EDIT, version=-1, outcome="fail", status=502)
REFUSED = replace(BROKEN, status=412)
DELETE = Row("delete", 10, 12)
OTHER = 5  # another session


def follow(
    sent_s: float, done_s: float, version: int, *, rank: int = 0, session: int = OTHER
) -> Row:
    return Row("follow", sent_s, done_s, version, rank, session)


def missing(
    sent_s: float, done_s: float, *, version: int = 0, rank: int = 0, session: int = OTHER
) -> Row:
    return Row("follow", sent_s, done_s, version, rank, session, "absent")


CASES = {
    "an older version after the acknowledgement": (
        [EDIT, follow(13, 14, 1)],
        {"stale"},
        [EDIT, follow(11, 14, 1)],
    ),
    "an older version, two edits ago": (
        [EDIT, Row("edit", 13, 14, 3), follow(15, 16, 1)],
        {"stale"},
        [EDIT, Row("edit", 13, 15, 3), follow(15, 16, 2)],
    ),
    "an older version than another read has shown of an unanswered edit": (
        [UNKNOWN, follow(13, 14, 2), follow(15, 16, 1, session=6)],
        {"stale"},
        [UNKNOWN, follow(13, 15, 2), follow(15, 16, 1, session=6)],
    ),
    "an older version than a later acknowledgement implies": (
        [UNKNOWN, Row("edit", 13, 14, 3), follow(15, 16, 2)],
        {"stale"},
        [UNKNOWN, Row("edit", 13, 14, 2), follow(15, 16, 2)],
    ),
    "a version nobody has begun": (
        [follow(8, 9, 2), EDIT, follow(8, 9, 2)],
        {"impossible"},
        [EDIT, follow(8, 10, 2)],
    ),
    "a version that a refused edit would have made": (
        [REFUSED, follow(13, 14, 2)],
        {"impossible"},
        [BROKEN, follow(13, 14, 2)],
    ),
    "a version that an edit would have made that was never sent": (
        [replace(REFUSED, status=0), follow(13, 14, 2)],
        {"impossible"},
        [UNKNOWN, follow(13, 14, 2)],
    ),
    "more versions than there were edits": (
        [UNKNOWN, follow(20, 21, 3)],
        {"impossible"},
        [UNKNOWN, replace(UNKNOWN, sent_s=13), follow(20, 21, 3)],
    ),
    "a link that nobody has created": (
        [follow(2, 3, 1, rank=OWN)],
        {"impossible"},
        [CREATE, follow(0.5, 0.6, 1, rank=OWN)],
    ),
    "a redirect without a version": (
        [follow(2, 3, 0)],
        {"impossible", "stale"},
        [follow(2, 3, 1)],
    ),
    "a created link that is absent": (
        [CREATE, missing(2, 3, rank=OWN)],
        {"stale", "false_absent"},
        [CREATE, missing(0.5, 3, rank=OWN)],
    ),
    "a link from before that is absent": (
        [missing(2, 3)],
        {"stale", "false_absent"},
        [replace(DELETE, outcome="unknown"), missing(9, 10)],
    ),
    "an edited link that is absent before its delete": (
        [EDIT, Row("delete", 20, 21), missing(13, 19)],
        {"stale", "false_absent"},
        [EDIT, Row("delete", 20, 21), missing(13, 20)],
    ),
    "a deleted link that redirects": (
        [DELETE, follow(13, 14, 1)],
        {"stale"},
        [DELETE, follow(12, 14, 1)],
    ),
    "a link that redirects after another read has shown its deletion": (
        [
            replace(DELETE, outcome="unknown"),
            missing(13, 14, version=2),
            follow(15, 16, 1, session=6),
        ],
        {"stale"},
        [replace(DELETE, outcome="unknown"), missing(13, 14), follow(15, 16, 1, session=6)],
    ),
    "a link that redirects after its writer has found it deleted": (
        [
            replace(DELETE, outcome="unknown"),
            replace(DELETE, sent_s=13, done_s=14, outcome="absent"),
            follow(15, 16, 1),
        ],
        {"stale"},
        [replace(DELETE, outcome="unknown"), follow(15, 16, 1)],
    ),
    "a session that does not see its edit": (
        [EDIT, follow(12, 14, 1, session=0)],
        {"forgets"},
        [EDIT, follow(11, 14, 1, session=0)],
    ),
    "a session that does not see its own unanswered edit, but had one acknowledged": (
        [EDIT, follow(13, 14, 1, session=0)],
        {"forgets", "stale"},
        [UNKNOWN, follow(13, 14, 1, session=0)],
    ),
    "a session that does not see its new link": (
        [CREATE, missing(1, 2, rank=OWN, session=0)],
        {"forgets"},
        [CREATE, missing(1, 2, rank=OWN + 1, session=0)],
    ),
    "a session that sees its deleted link": (
        [DELETE, follow(12, 14, 1, session=0)],
        {"forgets"},
        [DELETE, missing(12, 14, session=0)],
    ),
    "reads of a session in the wrong order": (
        [UNKNOWN, follow(10, 11, 2), follow(11, 12, 1)],
        {"goes_back"},
        [UNKNOWN, follow(10, 11, 1), follow(11, 12, 2)],
    ),
    "reads of a session that find a link again": (
        [replace(DELETE, done_s=20), missing(11, 12, version=2), follow(12, 13, 1)],
        {"goes_back"},
        [replace(DELETE, done_s=20), missing(11, 12, version=2), follow(12, 13, 1, session=6)],
    ),
    "reads of a session that lose a link": (
        [replace(CREATE, done_s=9), follow(1, 2, 1, rank=OWN), missing(3, 4, rank=OWN)],
        {"goes_back"},
        [replace(CREATE, done_s=9), follow(1, 3, 1, rank=OWN), missing(2, 4, rank=OWN)],
    ),
}


def faults_of_last(rows: Sequence[Row]) -> set[str]:
    """The names of what is wrong with the last read of a history."""
    window, order = redirect_window(requests(rows), 1), session_order(requests(rows))
    masks = {
        "stale": window.stale,
        "false_absent": window.false_absent,
        "impossible": window.impossible,
        "forgets": order.forgets,
        "goes_back": order.goes_back,
    }
    return {name for name, mask in masks.items() if mask[-1]}


@pytest.mark.parametrize("name", CASES)
def test_a_violation_is_caught_and_its_neighbour_is_not(name: str) -> None:
    broken, faults, legal = CASES[name]
    assert faults_of_last(broken) == faults
    assert faults_of_last(legal) == set()


# --- figures --------------------------------------------------------------------------------------


def test_staleness_counts_from_the_first_newer_version_and_all_versions_since() -> None:
    edits = [EDIT, Row("edit", 13, 14, 3), replace(UNKNOWN, sent_s=14), Row("edit", 15, 16, 5)]
    window = redirect_window(requests([*edits, follow(20, 21, 1)]), 1)
    assert window.staleness_s.tolist() == [8.0]
    assert window.versions_behind.tolist() == [4]  # one of them was never seen


def test_a_deletion_is_one_version_more() -> None:
    rows = [EDIT, Row("delete", 13, 14), follow(20, 21, 1)]
    window = redirect_window(requests(rows), 1)
    assert (window.staleness_s.tolist(), window.versions_behind.tolist()) == ([8.0], [2])


def test_a_link_from_before_the_segment_that_is_absent_is_infinitely_stale() -> None:
    assert redirect_window(requests([missing(2, 3)]), 1).staleness_s.tolist() == [math.inf]


def test_a_version_that_was_given_twice_is_possible_from_the_first_time() -> None:
    """After a failover, an edit may get the version of one that was lost."""
    rows = [EDIT, Row("edit", 30, 31, 2), follow(13, 14, 2)]
    assert redirect_window(requests(rows), 1).legal.all()


def test_links_are_judged_apart() -> None:
    rows = [EDIT, follow(13, 14, 1, rank=1), follow(13, 14, 1)]
    assert redirect_window(requests(rows), 2).stale.tolist() == [False, True]


def test_what_was_not_answered_is_not_judged() -> None:
    lost = replace(follow(13, 14, -1), outcome="unknown")
    rows = [
        lost,
        replace(lost, outcome="fail", status=503),
        Row("stats", 13, 14),
        follow(15, 16, 1),
    ]
    assert redirect_window(requests(rows), 1).row.tolist() == [3]
    assert session_order(requests(rows)).row.tolist() == [3]


def test_visibility_counts_from_the_newest_own_write() -> None:
    rows = [
        EDIT,
        follow(12.5, 13, 1, session=0),
        follow(14, 15, 2, session=0),
        Row("edit", 16, 17, 3),
        follow(18, 19, 2, session=0),
        follow(20, 21, 4, session=0),  # somebody else's is newer still
        follow(20, 21, 1),  # has written nothing
    ]
    seen = visibility(requests(rows))
    assert seen.t_s.tolist() == [0.5, 2.0, 1.0, 3.0]
    assert seen.fresh.tolist() == [False, True, False, True]
