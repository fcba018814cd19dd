"""Clicks between the redirect and the queue, with a client that stands in for Redis."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError

from stack.shortener.clicks import FIELD, Clicks
from stack.shortener.enqueue import Enqueue
from stack.shortener.metrics import Metrics
from stack.shortener.settings import WebSettings
from stack.shortener.tally import Refused, unpack

BROWSER = b"Mozilla/5.0 (X11; Linux x86_64)"


class Queue:
    """Takes entries, after refusing the first few; says how much memory they take."""

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
    queue: Queue, work: Callable[[Clicks], Awaitable[None]], **changed: Any
) -> tuple[Metrics, list[dict[bytes, bytes]]]:
    metrics = Metrics()

    async def main() -> None:
        clicks = Clicks(Enqueue(cast(Redis, queue), 1), metrics, settings(**changed))
        await work(clicks)
        await clicks.close()

    asyncio.run(main())
    return metrics, queue.entries


def adding(count: int) -> Callable[[Clicks], Awaitable[None]]:
    async def add(clicks: Clicks) -> None:
        for _ in range(count):
            clicks.add("code", b"https://news.example/x", BROWSER)

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


def test_a_full_buffer_drops_and_says_so() -> None:
    metrics, entries = run(Queue(), adding(12), click_buffer=10)
    assert len(unpack(entries[0])) == 10
    assert metrics.clicks == {"minted": 12, "queued": 10, "dropped": 2}


def test_two_processes_never_mint_the_same_id() -> None:
    ids: set[str] = set()

    async def mint(clicks: Clicks) -> None:
        ids.update(clicks.add("code", b"", b"") for _ in range(100))

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
    with pytest.raises(Refused):
        unpack({FIELD: batch.encode()})


def test_an_entry_without_its_field_is_refused() -> None:
    with pytest.raises(Refused):
        unpack({})


def test_a_batch_is_plain_json() -> None:
    _, (entry,) = run(Queue(), adding(1))
    ((click_id, code, at_ms, referrer, bot, visitor),) = json.loads(entry[FIELD])
    assert (code, referrer, bot, visitor) == ("code", "news.example", False, 0)
    assert len(click_id) == 32
    assert at_ms > 1_600_000_000_000
