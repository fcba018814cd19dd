"""Visits: several steps in one session, one writer a link at a time, retries within a budget."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise

import gevent  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.model.arrivals import arrivals
from chaos.model.evidence import Generator
from chaos.model.traffic import FOLLOW, Retries, Step, Traffic, Visit
from scenarios.generator.open_loop import Exchange
from scenarios.generator.visit_dispatcher import VisitDispatcher
from scenarios.generator.visits import Visits, Writers, is_plain
from stack.shortener.api import aliases
from tests.support.scripted_client import NO_SOCKET, NOT_SENT, UNKNOWN, ScriptedClient

DURATION_S = 0.06
REST_S = 0.25  # enough for what follows from the last arrival, even on a busy machine
OWN = Visit("author", (Step("create"), Step("follow"), Step("delete")), own_link=True)
EDITOR = Visit("editor", (Step("edit"), Step("follow", after_s=0.002)))
READER = Visit("reader", (Step("follow"), Step("stats", after_s=0.001)), weight=2.0)
STATUSES = (200, 302, 302, 404, 409, 410, 429, 503, UNKNOWN, NOT_SENT)


@dataclass(frozen=True)
class Sent:
    """What a segment sent."""

    rows: Sequence[Exchange]
    figures: Generator
    requests: Sequence[bytes]
    ends_s: float

    def operations(self) -> list[list[Exchange]]:
        """The tries of each operation, in order."""
        found: dict[tuple[int, int], list[Exchange]] = defaultdict(list)
        for row in sorted(self.rows, key=lambda row: row.attempt):
            found[row.session, row.step].append(row)
        return [found[name] for name in sorted(found)]

    def sessions(self) -> list[list[list[Exchange]]]:
        """The operations of each session, in order."""
        found: dict[int, list[list[Exchange]]] = defaultdict(list)
        for tries in self.operations():
            found[tries[0].session].append(tries)
        return list(found.values())


def send(
    traffic: Traffic,
    statuses: Sequence[int] = (200,),
    after_s: Sequence[float] = (0.0,),
    *,
    seed: int = 3,
    max_in_flight: int = 1000,
    rest_s: float = REST_S,
    killed_after_s: float | None = None,
    stream: int = 0,
    streams: int = 1,
) -> Sent:
    """Send a short segment to a client that answers as scripted."""
    rows: list[Exchange] = []
    client = ScriptedClient(statuses, after_s)
    codes = [f"code{rank}" for rank in range(traffic.keys)]
    visits = Visits(client, traffic, codes, seed, stream=stream, streams=streams)
    dispatcher = VisitDispatcher(client, visits, traffic.timeout_s, max_in_flight, [rows.append])
    batches = arrivals(traffic, DURATION_S, seed, stream=stream, streams=streams)
    started_s = time.monotonic()
    ends_s = started_s + DURATION_S + rest_s
    running = gevent.spawn(dispatcher.run, batches, started_s, ends_s)
    running.join(killed_after_s)
    running.kill()
    dispatcher.drain()
    return Sent(rows, dispatcher.counts.summary(), client.requests, ends_s)


def is_no_good(row: Exchange) -> bool:
    return row.answer.status in (0, 429) or row.answer.status >= 500


def goes_on(row: Exchange) -> bool:
    return row.answer.outcome == "ok" or (
        row.answer.outcome == "absent" and row.operation == "follow"
    )


# --- whatever the answers are ------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    statuses=st.lists(st.sampled_from((*STATUSES, NO_SOCKET)), min_size=1, max_size=40),
    after_s=st.lists(st.floats(0.0, 0.008), min_size=1, max_size=9),
    retries=st.builds(
        Retries,
        tries=st.integers(1, 5),
        pause_s=st.sampled_from((0.0, 0.001, 0.01)),
        budget=st.sampled_from((0.0, 0.1, 1.0)),
    ),
    keys=st.integers(1, 5),
    max_in_flight=st.sampled_from((3, 1000)),
    killed_after_s=st.sampled_from((None, None, 0.03)),
    seed=st.integers(0, 2**53),
)
def test_every_operation_has_its_tries_in_order_and_one_last(
    statuses: list[int],
    after_s: list[float],
    retries: Retries,
    keys: int,
    max_in_flight: int,
    killed_after_s: float | None,
    seed: int,
) -> None:
    traffic = Traffic(500.0, keys=keys, visits=(OWN, EDITOR, READER, FOLLOW), retries=retries)
    sent = send(
        traffic, statuses, after_s,
        seed=seed, max_in_flight=max_in_flight, rest_s=0.0, killed_after_s=killed_after_s,
    )  # fmt: skip
    every_request_is_accounted_for(sent)
    every_operation_is_tried_in_order(sent, retries)
    sessions_go_from_step_to_step(sent, {visit.name: visit for visit in traffic.visits})
    no_link_has_two_writers_at_a_time(sent)


def every_request_is_accounted_for(sent: Sent) -> None:
    told = sent.figures
    assert told.sent == len(sent.rows)
    assert told.offered == told.sent + told.unsent
    assert told.visits <= told.offered
    assert {row.session for row in sent.rows} <= set(range(1, told.visits + 1))
    assert all(row.intended_s <= sent.ends_s for row in sent.rows)
    assert all(row.intended_s <= row.sent_s <= row.done_s for row in sent.rows)


def every_operation_is_tried_in_order(sent: Sent, retries: Retries) -> None:
    operations = sent.operations()
    for tries in operations:
        assert [row.attempt for row in tries] == list(range(1, len(tries) + 1))
        assert [row.last for row in tries] == [False] * (len(tries) - 1) + [True]
        assert len(tries) <= retries.tries
        assert len({(row.rank, row.own_key, row.operation, row.written) for row in tries}) == 1
        for before, after in pairwise(tries):
            assert is_no_good(before)
            pause_s = after.intended_s - before.done_s
            assert 0.0 <= pause_s <= retries.pause_s * 2 ** (before.attempt - 1) + 1e-9
    further = sum(len(tries) - 1 for tries in operations)
    assert retries.budget >= 1.0 or further <= retries.budget * len(operations) + 10


def sessions_go_from_step_to_step(sent: Sent, visits: Mapping[str, Visit]) -> None:
    kinds = [visit.steps for visit in visits.values()]
    for operations in sent.sessions():
        assert [tries[0].step for tries in operations] == list(range(1, len(operations) + 1))
        done = [tries[0].operation for tries in operations]
        steps = [s for s in kinds if [step.operation for step in s][: len(done)] == done]
        assert steps
        assert len({tries[0].rank for tries in operations}) == 1
        for before, after in pairwise(operations):
            assert goes_on(before[-1])
            waits = {s[after[0].step - 1].after_s for s in steps}
            assert after[0].intended_s in {before[-1].done_s + wait_s for wait_s in waits}


def no_link_has_two_writers_at_a_time(sent: Sent) -> None:
    stretches: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for operations in sent.sessions():
        rows = [row for tries in operations for row in tries]
        if rows[0].operation == "edit":  # the editor's first step
            span = rows[0].sent_s, max(row.done_s for row in rows)
            stretches[rows[0].rank].append(span)
    for spans in stretches.values():
        for earlier, later in pairwise(sorted(spans)):
            assert earlier[1] <= later[0]


# --- steps -------------------------------------------------------------------------------------


def test_a_visit_to_a_link_of_its_own_creates_follows_and_deletes_it_under_its_alias() -> None:
    sent = send(Traffic(200.0, keys=7, visits=(OWN,)), (201, 302, 204))
    first = [request for request in sent.requests if request.startswith(b"POST /api/links ")]
    assert len(first) == sent.figures.visits == len(sent.sessions()) > 3
    keys = set()
    for number, operations in enumerate(sent.sessions()):
        (create,) = operations[0]
        keys.add(create.own_key)
        assert create.rank == 7 + number
        assert create.written == f"https://example.com/page/{create.own_key}/0"
        assert [tries[0].operation for tries in operations] == ["create", "follow", "delete"]
    assert len(keys) == sent.figures.visits
    head, _, body = first[0].partition(b"\r\n\r\n")
    told = json.loads(body)
    assert told["url"] == f"https://example.com/page/{told['alias']}/0"
    assert f"Idempotency-Key: {told['alias']}\r\n".encode() in head
    assert b"DELETE /api/links/" + told["alias"].encode() in b"".join(sent.requests)


def test_a_session_sends_the_token_of_its_last_write_with_its_reads() -> None:
    client = ScriptedClient([200], headers={b"x-read-token": b"1/0/5/9"})
    visits = Visits(client, Traffic(rate_per_s=100, visits=(EDITOR,)), ["code"] * 50, seed=3)
    dispatcher = VisitDispatcher(client, visits, 1.0, 1000, [])
    now_s = time.monotonic()
    batches = arrivals(Traffic(rate_per_s=100), DURATION_S, 3)
    dispatcher.run(batches, now_s, now_s + DURATION_S + REST_S)
    dispatcher.drain()
    edits = [request for request in client.requests if request.startswith(b"PATCH")]
    reads = [request for request in client.requests if request.startswith(b"GET")]
    assert reads
    assert all(b"X-Read-Token: 1/0/5/9\r\n" in request for request in reads)
    assert not any(b"X-Read-Token" in request for request in edits)


def test_own_links_have_aliases_that_the_api_takes_and_no_two_segments_share() -> None:
    own = Traffic(300.0, visits=(OWN,))
    once, again = ({row.own_key for row in send(own).rows} for _ in range(2))
    assert not once & again
    for alias in once | again:
        assert aliases.checked(alias) == alias


def test_own_links_of_several_processes_have_different_ranks() -> None:
    own = Traffic(600.0, keys=4, visits=(OWN,))
    ranks = [{row.rank for row in send(own, stream=n, streams=3).rows} for n in range(3)]
    assert not set.intersection(*ranks)
    assert min(min(each) for each in ranks) == 4


def test_an_edit_writes_a_value_that_no_other_edit_writes() -> None:
    sent = send(Traffic(400.0, keys=3, visits=(EDITOR,)))
    edits = [row for row in sent.rows if row.operation == "edit"]
    assert len({row.written for row in edits}) == len(edits) > 5
    assert all(f"/page/code{row.rank}/" in row.written for row in edits)
    assert all(not row.written for row in sent.rows if row.operation == "follow")
    patch = next(request for request in sent.requests if request.startswith(b"PATCH"))
    assert b"If-Match" not in patch


@pytest.mark.parametrize(
    ("status", "steps"), [(404, 2), (410, 2), (302, 2), (409, 1), (503, 1), (UNKNOWN, 1)]
)
def test_a_follower_who_finds_nothing_goes_on_and_one_who_fails_leaves(
    status: int, steps: int
) -> None:
    sent = send(Traffic(100.0, visits=(READER,)), (status,))
    assert {len(operations) for operations in sent.sessions()} == {steps}


def test_an_edit_of_a_link_that_is_gone_ends_the_visit() -> None:
    assert {row.step for row in send(Traffic(100.0, visits=(EDITOR,)), (404,)).rows} == {1}


def test_a_step_is_due_so_long_after_the_answer_before_and_late_answers_move_it() -> None:
    slow = Visit("slow", (Step("follow"), Step("stats", after_s=0.01)))
    sent = send(Traffic(200.0, visits=(slow,)), after_s=(0.012,))
    pairs = [tries for tries in sent.sessions() if len(tries) == 2]
    assert pairs
    for (follow,), (stats,) in pairs:
        assert stats.intended_s == follow.done_s + 0.01
        assert stats.sent_s >= stats.intended_s


def test_nothing_is_due_after_the_end_of_the_segment() -> None:
    late = Visit("late", (Step("follow"), Step("stats", after_s=DURATION_S)))
    sent = send(Traffic(200.0, visits=(late,)), rest_s=0.0)
    assert {row.operation for row in sent.rows} == {"follow"}
    assert sent.figures.offered == sent.figures.visits == len(sent.rows) > 5


# --- writers -----------------------------------------------------------------------------------


def test_a_writer_takes_the_next_link_that_is_free_and_none_if_all_are_taken() -> None:
    writers = Writers(keys=3, stream=0, streams=1)
    assert [writers.claim(1), writers.claim(1), writers.claim(1)] == [1, 2, 0]
    assert writers.claim(1) is None
    writers.release(2)
    assert writers.claim(0) == 2


@given(keys=st.integers(1, 30), streams=st.integers(1, 5), rank=st.integers(0, 29))
def test_processes_write_links_of_their_own(keys: int, streams: int, rank: int) -> None:
    claimed = []
    for stream in range(streams):
        writers = Writers(keys, stream, streams)
        first = writers.claim(rank % keys)
        own = [first, *(writers.claim(0) for _ in range(keys))]
        claimed += [free for free in own if free is not None]
        assert all(free is None or free % streams == stream for free in own)
        if rank % keys % streams == stream:
            assert first == rank % keys
    assert sorted(claimed) == list(range(keys))


def test_a_visit_that_finds_every_link_taken_is_unsent() -> None:
    sent = send(Traffic(500.0, keys=1, visits=(EDITOR,)), after_s=(0.02,))
    assert sent.figures.unsent > 5
    assert sent.figures.offered == len(sent.rows) + sent.figures.unsent


# --- retries -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 503, 429, UNKNOWN, NOT_SENT])
def test_what_has_no_good_answer_is_tried_again_with_the_same_bytes(status: int) -> None:
    author = replace(OWN, steps=OWN.steps[:1])
    sent = send(Traffic(100.0, visits=(author,), retries=Retries(tries=3)), (status,))
    assert {len(tries) for tries in sent.operations()} == {3}
    assert len(set(sent.requests)) == len(sent.requests) / 3 == sent.figures.visits


@pytest.mark.parametrize("status", [200, 302, 400, 404, 409, 410, 422])
def test_an_answer_that_will_not_change_is_not_asked_for_again(status: int) -> None:
    sent = send(Traffic(100.0, retries=Retries(tries=3)), (status,))
    assert {row.attempt for row in sent.rows} == {1}


def test_a_retry_that_succeeds_is_the_last() -> None:
    sent = send(Traffic(50.0, retries=Retries(tries=9)), (503, 302))
    for tries in sent.operations():
        *failed, last = [row.answer.status for row in tries]
        assert (set(failed), last) in [({503}, 302), (set(), 302)]
    assert len(sent.rows) > sent.figures.visits


def test_a_small_budget_allows_few_retries_and_a_large_one_all() -> None:
    def retried(budget: float) -> tuple[int, int]:
        traffic = Traffic(1500.0, retries=Retries(tries=4, budget=budget))
        sent = send(traffic, (503,))
        return len(sent.rows) - sent.figures.visits, sent.figures.visits

    few, visits = retried(0.1)
    assert few == pytest.approx(10 + 0.1 * visits, abs=1.0)
    every, visits = retried(1.0)
    assert every == 3 * visits


def test_pauses_are_drawn_from_zero_to_twice_the_last_longest() -> None:
    sent = send(Traffic(1500.0, retries=Retries(tries=3, pause_s=0.004)), (503,))
    shares = [
        (after.intended_s - before.done_s) / (0.004 * 2 ** (before.attempt - 1))
        for tries in sent.operations()
        for before, after in islice(pairwise(tries), 2)
    ]
    assert len(shares) > 50
    assert min(shares) < 0.15
    assert 0.85 < max(shares) <= 1.0
    assert 0.35 < sum(shares) / len(shares) < 0.65


def test_a_retry_that_cannot_leave_makes_the_try_before_the_last() -> None:
    sent = send(Traffic(300.0, retries=Retries(tries=5)), (503, 503, NO_SOCKET), max_in_flight=1000)
    assert sent.figures.no_socket > 3
    every_request_is_accounted_for(sent)
    assert all(sum(row.last for row in tries) == 1 for tries in sent.operations())


# --- plain -------------------------------------------------------------------------------------


def test_traffic_is_plain_if_it_sends_one_follow_a_visitor() -> None:
    assert is_plain(Traffic(1.0))
    assert not is_plain(Traffic(1.0, retries=Retries(tries=2)))
    assert not is_plain(Traffic(1.0, visits=(FOLLOW, READER)))
    assert not is_plain(Traffic(1.0, visits=(READER,)))


def test_one_follow_a_visitor_is_sent_as_plain_traffic_would_be() -> None:
    traffic = Traffic(400.0, visits=(FOLLOW, replace(FOLLOW, name="other")))
    sent = send(traffic)
    ranks = [int(rank) for _, batch in arrivals(Traffic(400.0), DURATION_S, 3) for rank in batch]
    assert [row.rank for row in sorted(sent.rows, key=lambda row: row.session)] == ranks
