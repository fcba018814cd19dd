"""Clicks between the redirect and the queue, with a fake Redis client."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import ConnectionError

from stack.shortener.clicks.buffer import FIELD, BufferedClick, ClickBuffer, NotWritten, pack
from stack.shortener.clicks.store import UnstorableClicks, moment, unpack
from stack.shortener.clicks.stream_writer import StreamWriter
from stack.shortener.clicks.unique_visitors import MAX_OBSERVATION, is_observation
from stack.shortener.infra.metrics import Metrics
from stack.shortener.settings import WebSettings


class Queue:
    """A stream that refuses the first few entries, with a given size."""

    def __init__(self, refusals: float = 0, size_bytes: int = 0) -> None:
        self.refusals = refusals
        self.size_bytes = size_bytes
        self.entries: list[dict[bytes, bytes]] = []

    async def memory_usage(self, _stream: str) -> int:
        return self.size_bytes

    async def xadd(self, _stream: str, fields: dict[bytes, str]) -> None:
        if self.refusals > 0:
            self.refusals -= 1
            raise ConnectionError("refused")
        self.entries.append({name: value.encode() for name, value in fields.items()})


def settings(**changed: Any) -> WebSettings:
    urls = {
        "primary_url": "postgresql://x",
        "replica_url": "postgresql://x",
        "cache_url": "redis://x",
        "queue_url": "redis://x",
    }
    return WebSettings(**{**urls, "click_flush_s": 0.001, **changed})


def run(
    queue: Queue, work: Callable[[ClickBuffer], Awaitable[None]], **changed: Any
) -> tuple[Metrics, list[dict[bytes, bytes]]]:
    metrics = Metrics()

    async def main() -> None:
        clicks = ClickBuffer(StreamWriter(cast(Redis, queue), 1), metrics, settings(**changed))
        await work(clicks)
        await clicks.close()

    asyncio.run(main())
    return metrics, queue.entries


def adding(count: int) -> Callable[[ClickBuffer], Awaitable[None]]:
    async def add(clicks: ClickBuffer) -> None:
        for _ in range(count):
            clicks.add("code", b"https://news.example/x", bot=False)

    return add


def test_clicks_of_a_moment_are_one_entry_that_the_worker_can_read() -> None:
    metrics, entries = run(Queue(), adding(5))
    (entry,) = entries
    clicks = unpack(entry)
    assert len({click.click_id for click in clicks}) == 5
    assert {(c.code, c.referrer, c.bot) for c in clicks} == {("code", "news.example", False)}
    assert metrics.clicks == {"minted": 5, "queued": 5, "dropped": 0}


def test_a_batch_has_a_bound_and_nothing_is_lost_at_it() -> None:
    _, entries = run(Queue(), adding(25), click_batch=10)
    assert [len(unpack(entry)) for entry in entries] == [10, 10, 5]


def test_closing_sends_what_is_left() -> None:
    metrics, _ = run(Queue(), adding(3), click_flush_s=0.5)
    assert metrics.clicks["queued"] == 3


def test_a_refused_batch_is_sent_again_with_the_same_ids() -> None:
    metrics, entries = run(Queue(refusals=2), adding(3))
    assert len(unpack(entries[0])) == 3
    assert metrics.clicks == {"minted": 3, "queued": 3, "dropped": 0}


def test_after_the_last_attempt_clicks_are_counted_as_dropped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    metrics, entries = run(Queue(refusals=float("inf")), adding(3), click_attempts=2)
    assert entries == []
    assert metrics.clicks == {"minted": 3, "queued": 0, "dropped": 3}
    assert capsys.readouterr().out.count("clicks_not_sent") == 2


def test_a_full_buffer_drops_and_counts_that() -> None:
    metrics, entries = run(Queue(), adding(12), click_buffer=10)
    assert len(unpack(entries[0])) == 10
    assert metrics.clicks == {"minted": 12, "queued": 10, "dropped": 2}


def test_two_processes_never_mint_the_same_id() -> None:
    ids: set[str] = set()

    async def mint(clicks: ClickBuffer) -> None:
        ids.update(clicks.add("code", b"", bot=False) for _ in range(100))

    run(Queue(), mint)
    run(Queue(), mint)
    assert len(ids) == 200


@pytest.mark.parametrize(
    "batch",
    [
        "no json",
        "5",
        '["not a click"]',
        '[["id","code",1,"",false,0,"one too many"]]',
        '[["id","code",1,"",false,-1]]',
        '[["id","code",1,"",false,true]]',
        '[["id","code",1,"",false,64]]',
        '[["id","no/code",1,"",false]]',
        '[["id","code",1,"two words",false]]',
        '[["id","code",1,"\\ud800",false]]',
        '[["id","code",true,"",false]]',
        '[["id","code","now","",false]]',
        '[["","code",1,"",false]]',
        '[["id","nul\\u0000",1,"",false]]',
        '[["id","code",1e30,"",false]]',
        '[["id","code",1,"",1]]',
        '[["' + "x" * 65 + '","code",1,"",false]]',
    ],
)
def test_an_entry_that_holds_no_clicks_is_refused(batch: str) -> None:
    with pytest.raises(UnstorableClicks):
        unpack({FIELD: batch.encode()})


def test_an_entry_without_its_field_is_refused() -> None:
    with pytest.raises(UnstorableClicks):
        unpack({})


def test_a_batch_is_plain_json() -> None:
    _, (entry,) = run(Queue(), adding(1))
    ((click_id, code, at_ms, referrer, bot, visitor),) = json.loads(entry[FIELD])
    assert (code, referrer, bot, visitor) == ("code", "news.example", False, 0)
    assert len(click_id) == 32
    assert at_ms > 1_600_000_000_000


visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
minted: st.SearchStrategy[BufferedClick] = st.tuples(
    st.text(visible, min_size=1, max_size=64),
    st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    st.integers(0, 4_000_000_000_000),
    st.from_regex(r"[a-z0-9.-]{0,253}", fullmatch=True),
    st.booleans(),
    st.integers(0, MAX_OBSERVATION).filter(is_observation),
)


@given(st.lists(minted))
def test_what_is_packed_is_unpacked_as_it_was(clicks: list[BufferedClick]) -> None:
    unpacked = unpack({FIELD: pack(clicks).encode()})
    assert unpacked == [(*click[:2], moment(click[2]), *click[3:]) for click in clicks]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


@given(st.lists(st.lists(anything, min_size=4, max_size=7) | minted.map(list), max_size=4))
def test_an_entry_is_read_as_clicks_or_refused_whatever_is_in_it(batch: list[Any]) -> None:
    try:
        clicks = unpack({FIELD: json.dumps(batch).encode()})
    except UnstorableClicks:
        return
    assert len(clicks) == len(batch)


@given(st.binary())
def test_an_entry_of_any_bytes_is_refused_or_empty(packed: bytes) -> None:
    with contextlib.suppress(UnstorableClicks):
        assert len(unpack({FIELD: packed})) == 0


class Sink:
    """A sink that takes `takes_s` for a batch, after some failures."""

    def __init__(self, takes_s: float = 0.0, failures: int = 0) -> None:
        self.takes_s = takes_s
        self.failures = failures
        self.batches: list[list[BufferedClick]] = []

    async def write(self, clicks: Sequence[BufferedClick]) -> None:
        await asyncio.sleep(self.takes_s)
        if self.failures:
            self.failures -= 1
            raise NotWritten("not this time")
        self.batches.append(list(clicks))


def accepted(sink: Sink, count: int, **changed: Any) -> tuple[list[str | None], Metrics]:
    """Return the ids that concurrent redirects got for their clicks."""
    metrics = Metrics()

    async def main() -> list[str | None]:
        clicks = ClickBuffer(
            sink, metrics, settings(**{"click_mode": "sync", "click_wait_s": 5, **changed})
        )
        assert clicks.waits
        ids = await asyncio.gather(*(clicks.accept("code", b"", False, 65) for _ in range(count)))
        await clicks.close()
        return ids

    return asyncio.run(main()), metrics


def test_a_redirect_that_waits_gets_the_id_of_the_written_click() -> None:
    sink = Sink()
    ids, metrics = accepted(sink, 1)
    assert ids == [sink.batches[0][0][0]]
    assert sink.batches[0][0][5] == 65
    assert metrics.clicks == {"minted": 1, "queued": 1, "dropped": 0}


def test_clicks_that_are_waited_for_are_written_together() -> None:
    sink = Sink(takes_s=0.01)
    ids, _ = accepted(sink, 100)
    assert len(sink.batches) == 1
    assert sorted(id for id in ids if id) == sorted(click[0] for click in sink.batches[0])


def test_a_batch_that_is_waited_for_has_a_bound_too() -> None:
    sink = Sink()
    accepted(sink, 25, click_batch=10)
    assert [len(batch) for batch in sink.batches] == [10, 10, 5]


def test_a_write_that_fails_is_tried_again_while_somebody_waits() -> None:
    sink = Sink(failures=2)
    ids, metrics = accepted(sink, 3)
    assert None not in ids
    assert metrics.clicks == {"minted": 3, "queued": 3, "dropped": 0}


def test_a_redirect_does_not_wait_for_ever_and_then_has_no_id() -> None:
    for sink in (Sink(takes_s=5), Sink(failures=1000)):
        ids, metrics = accepted(sink, 3, click_wait_s=0.05, shutdown_timeout_s=0.1)
        assert ids == [None] * 3
        assert metrics.clicks == {"minted": 3, "queued": 0, "dropped": 3}


def test_nobody_waits_behind_a_crowd_that_cannot_be_served() -> None:
    ids, metrics = accepted(
        Sink(takes_s=5), 12, click_buffer=10, click_wait_s=0.05, shutdown_timeout_s=0.1
    )
    assert ids == [None] * 12
    assert metrics.clicks["dropped"] == 12


def test_a_full_stream_takes_no_more_clicks(capsys: pytest.CaptureFixture[str]) -> None:
    metrics, entries = run(Queue(size_bytes=1_000_000), adding(3), click_attempts=1)
    assert entries == []
    assert metrics.clicks["dropped"] == 3
    assert "the stream is full" in capsys.readouterr().out
