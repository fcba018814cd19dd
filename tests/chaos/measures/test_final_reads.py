"""Accounts of writes against a final read: a slow reference, sound histories, and broken ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.measures.final_reads import Held, WriteAccount, changed_links, created_links
from tests.support.histories import PREPARED, Row, held, requests, sound_history
from tests.support.history_reference import begun, told

SEEDS = st.integers(0, 2**32)
EVER_S = 1e9
Links = list[tuple[int, int, bool]]
Account = tuple[int, int, int, list[int], list[int], list[int], list[int]]


def plain(account: WriteAccount | None) -> Account:
    assert account is not None
    lists = (account.lost, account.recovered, account.unexpected, account.duplicated)
    lost, recovered, unexpected, duplicated = (sorted(ranks.tolist()) for ranks in lists)
    counts = (account.attempted, account.acknowledged, account.held)
    return (*counts, lost, recovered, unexpected, duplicated)


# --- the reference --------------------------------------------------------------------------------


def links_reference(rows: Sequence[Row], links: Links, prepared: int) -> Account:
    ranks = {row.rank for row in rows} | {link[0] for link in links} | set(range(prepared))
    acked = {r for r in ranks if r < prepared or told(rows, "create", r)}
    tried = {r for r in ranks if r < prepared or begun(rows, "create", r, EVER_S)}
    there, live = {link[0] for link in links}, {link[0] for link in links if not link[2]}
    removable = {r for r in ranks if begun(rows, "delete", r, EVER_S)}
    doubled = Counter(link[0] for link in links) - Counter(there)
    return (
        *(len(tried), len(acked), len(there)),
        sorted(r for r in acked if r not in live and r not in removable),
        sorted(r for r in there if r in tried and r not in acked),
        sorted(r for r in there if r not in tried),
        sorted(doubled.elements()),
    )


def changes_reference(rows: Sequence[Row], links: Links) -> Account:
    lost: list[int] = []
    recovered: list[int] = []
    unexpected: list[int] = []
    doubled: list[int] = []
    attempted = acknowledged = held_changes = 0
    for rank in sorted({row.rank for row in rows} | {link[0] for link in links}):
        own = [link for link in links if link[0] == rank]
        edits, deletes = told(rows, "edit", rank), told(rows, "delete", rank)
        all_edits, all_deletes = (begun(rows, w, rank, EVER_S) for w in ("edit", "delete"))
        attempted += len(all_edits) + len(all_deletes)
        acknowledged += len(edits) + len(deletes)
        version = max((version - deleted for _, version, deleted in own), default=0)
        version = max(version, 0)
        gone = bool(own) and all(deleted for _, _, deleted in own)
        held_changes += max(version - 1, 0) + gone
        if own or not all_deletes:
            lost += [rank for edit in edits if edit.version > version]
        if deletes and own and not gone:
            lost.append(rank)
        versions = [edit.version for edit in edits if edit.version > 0]
        doubled += [rank] * (len(versions) - len(set(versions)))
        unexplained = version - 1 - sum(v <= version for v in set(versions))
        unknown = len(all_edits) - len(versions)
        for number in range(unexplained):
            (recovered if number < unknown else unexpected).append(rank)
        if gone and not deletes:
            (recovered if all_deletes else unexpected).append(rank)
    counts = attempted, acknowledged, held_changes
    return (*counts, sorted(lost), sorted(recovered), sorted(unexpected), sorted(doubled))


@st.composite
def any_row(draw: st.DrawFn) -> Row:
    return Row(
        operation=draw(st.sampled_from(["create", "edit", "edit", "delete", "follow"])),
        sent_s=0,
        done_s=1,
        version=draw(st.integers(-1, 5)),
        rank=draw(st.integers(0, 4)),
        outcome=draw(st.sampled_from(["ok", "ok", "unknown", "fail", "absent"])),
        status=draw(st.sampled_from([0, 503])),
    )


HISTORIES = st.lists(any_row(), max_size=15)
LINKS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5), st.booleans()), max_size=6)


@given(HISTORIES, LINKS, st.integers(0, 2))
def test_the_account_of_links_is_that_of_sets(rows: list[Row], links: Links, prepared: int) -> None:
    account = created_links(requests(rows), held(*links), prepared)
    assert plain(account) == links_reference(rows, links, prepared)


@given(HISTORIES, LINKS)
def test_the_account_of_changes_is_that_of_sets(rows: list[Row], links: Links) -> None:
    account = changed_links(requests(rows), held(*links))
    assert plain(account) == changes_reference(rows, links)


# --- a sound shortener is never accused -----------------------------------------------------------


@given(SEEDS)
def test_the_accounts_of_a_sound_history_are_sound(seed: int) -> None:
    history = sound_history(seed)
    links = created_links(history.requests, history.held, PREPARED)
    changes = changed_links(history.requests, history.held)
    assert links is not None
    assert links.sound
    assert changes is not None
    assert changes.sound


@given(SEEDS)
def test_deleted_links_may_be_left_out(seed: int) -> None:
    history = sound_history(seed)
    live = ~history.held.deleted
    left = Held(history.held.rank[live], history.held.version[live], history.held.deleted[live])
    links = created_links(history.requests, left, PREPARED)
    changes = changed_links(history.requests, left)
    assert links is not None
    assert links.sound
    assert changes is not None
    assert changes.sound


def test_without_a_final_read_there_is_no_verdict() -> None:
    assert created_links(requests([CREATE]), None, 0) is None
    assert changed_links(requests([CREATE]), None) is None


def test_a_final_read_that_finds_nothing_is_a_verdict() -> None:
    account = created_links(requests([CREATE]), held(), 1)
    assert account is not None
    assert account.lost.tolist() == [0, OWN]


# --- violations, each with a neighbour that is legal ----------------------------------------------

OWN = 7  # the rank of a link that a session creates
CREATE = Row("create", 0, 1, 1, OWN)
EDIT, NEXT = Row("edit", 2, 3, 2, OWN), Row("edit", 4, 5, 3, OWN)
DELETE = Row("delete", 6, 7, -1, OWN)
Case = tuple[list[Row], Held]


def unanswered(row: Row) -> Row:
    return replace(row, version=-1, outcome="unknown")


def broken(row: Row, status: int) -> Row:
    return replace(row, version=-1, outcome="fail", status=status)


LINK_CASES: dict[str, tuple[Case, str, Case]] = {
    "a created link is lost": (
        ([CREATE], held()),
        "lost",
        ([unanswered(CREATE)], held()),
    ),
    "a created link is lost although another was deleted": (
        ([CREATE, replace(DELETE, rank=8)], held()),
        "lost",
        ([CREATE, unanswered(DELETE)], held()),
    ),
    "a link is deleted by nobody": (
        ([CREATE], held((OWN, 2, True))),
        "lost",
        ([CREATE, broken(DELETE, 503)], held((OWN, 2, True))),
    ),
    "a link is held that was refused": (
        ([broken(CREATE, 409)], held((OWN, 1))),
        "unexpected",
        ([broken(CREATE, 500)], held((OWN, 1))),
    ),
    "a link is held that nobody created": (
        ([CREATE], held((OWN, 1), (8, 1))),
        "unexpected",
        ([CREATE, unanswered(replace(CREATE, rank=8))], held((OWN, 1), (8, 1))),
    ),
    "a link is held twice": (
        ([CREATE, CREATE], held((OWN, 1), (OWN, 1))),
        "duplicated",
        ([CREATE, CREATE], held((OWN, 1))),
    ),
}
CHANGE_CASES: dict[str, tuple[Case, str, Case]] = {
    "an edit is lost": (
        ([CREATE, EDIT], held((OWN, 1))),
        "lost",
        ([CREATE, unanswered(EDIT)], held((OWN, 1))),
    ),
    "the last edit is lost": (
        ([CREATE, EDIT, NEXT], held((OWN, 2))),
        "lost",
        ([CREATE, EDIT, broken(NEXT, 502)], held((OWN, 2))),
    ),
    "an edit is lost with its link": (
        ([CREATE, EDIT], held()),
        "lost",
        ([CREATE, EDIT, unanswered(DELETE)], held()),
    ),
    "an edit is lost before the deletion": (
        ([CREATE, EDIT, DELETE], held((OWN, 2, True))),
        "lost",
        ([CREATE, EDIT, DELETE], held((OWN, 3, True))),
    ),
    "a delete is lost": (
        ([CREATE, DELETE], held((OWN, 1))),
        "lost",
        ([CREATE, unanswered(DELETE)], held((OWN, 1))),
    ),
    "a version is higher than edits explain": (
        ([CREATE, EDIT], held((OWN, 3))),
        "unexpected",
        ([CREATE, EDIT, unanswered(NEXT)], held((OWN, 3))),
    ),
    "a refused edit is held": (
        ([CREATE, broken(EDIT, 412)], held((OWN, 2))),
        "unexpected",
        ([CREATE, broken(EDIT, 504)], held((OWN, 2))),
    ),
    "a link is deleted by nobody": (
        ([CREATE], held((OWN, 2, True))),
        "unexpected",
        ([CREATE, unanswered(DELETE)], held((OWN, 2, True))),
    ),
    "a version is acknowledged twice": (
        ([CREATE, EDIT, replace(NEXT, version=2)], held((OWN, 2))),
        "duplicated",
        ([CREATE, EDIT, NEXT], held((OWN, 3))),
    ),
}


def faults(account: WriteAccount | None) -> set[str]:
    """The names of what is wrong, each of which is wrong with the one link."""
    assert account is not None
    names = {name for name in ("lost", "unexpected", "duplicated") if len(getattr(account, name))}
    assert account.sound == (not names)
    return names


def of_links(case: Case) -> WriteAccount | None:
    return created_links(requests(case[0]), case[1], 0)


def of_changes(case: Case) -> WriteAccount | None:
    return changed_links(requests(case[0]), case[1])


@pytest.mark.parametrize(
    ("judge", "case"),
    [
        *(pytest.param(of_links, case, id=f"links: {name}") for name, case in LINK_CASES.items()),
        *(pytest.param(of_changes, case, id=name) for name, case in CHANGE_CASES.items()),
    ],
)
def test_a_violation_is_caught_and_its_neighbour_is_not(
    judge: Callable[[Case], WriteAccount | None], case: tuple[Case, str, Case]
) -> None:
    wrong, fault, legal = case
    assert faults(judge(wrong)) == {fault}
    assert faults(judge(legal)) == set()


@given(SEEDS, SEEDS)
def test_a_dropped_link_is_caught(seed: int, draw: int) -> None:
    history = sound_history(seed)
    rows = [row for row in history.rows if row.operation != "delete"]
    keep = history.held.rank != draw % 5
    left = Held(history.held.rank[keep], history.held.version[keep], history.held.deleted[keep])
    links = created_links(requests(rows), left, PREPARED)
    assert links is not None
    assert draw % 5 in links.lost


# --- figures --------------------------------------------------------------------------------------


def test_unknown_writes_that_are_held_are_recovered() -> None:
    rows = [unanswered(CREATE), EDIT, unanswered(NEXT), unanswered(DELETE)]
    final = held((OWN, 4, True))
    assert plain(created_links(requests(rows), final, 0)) == (1, 0, 1, [], [OWN], [], [])
    assert plain(changed_links(requests(rows), final)) == (3, 1, 3, [], [OWN, OWN], [], [])


def test_every_lost_edit_counts() -> None:
    account = changed_links(requests([CREATE, EDIT, NEXT]), held((OWN, 1)))
    assert plain(account) == (2, 2, 0, [OWN, OWN], [], [], [])
