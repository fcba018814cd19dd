"""Workers that are stopped or killed in the middle of a batch, under load."""

from __future__ import annotations

import json
import random
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest
import redis

from chaos.model.stack import Stack
from tests.support.shortener_process import ShortenerProcess, eventually, process, scraped, value

pytestmark = pytest.mark.real

CLICKS_IN_AN_ENTRY, PAUSE_S = 10, 0.004


class Feed(threading.Thread):
    """Adds entries to the stream until stopped, and records the ids of their clicks."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.code = f"fed-{secrets.token_hex(4)}"
        self.ids: list[str] = []
        self._url = stack.endpoints.redis
        self._stopped = threading.Event()

    def run(self) -> None:
        with redis.Redis.from_url(self._url) as queue:
            while not self._stopped.wait(PAUSE_S):
                ids = [secrets.token_hex(16) for _ in range(CLICKS_IN_AN_ENTRY)]
                now_ms = time.time_ns() // 1_000_000
                batch = [[one, self.code, now_ms, "", False, 0] for one in ids]
                queue.xadd("clicks", {"clicks": json.dumps(batch)})
                self.ids += ids

    def stop(self) -> None:
        self._stopped.set()
        self.join()


@pytest.fixture
def feed(stack: Stack) -> Iterator[Feed]:
    """Start a feed of clicks, with the stack's own worker killed."""
    stack.kill("worker")
    feeding = Feed(stack)
    feeding.start()
    try:
        yield feeding
    finally:
        feeding.stop()
        stack.start("worker")


def environment(stack: Stack, name: str) -> dict[str, str]:
    return {
        "SHORTENER_NAME": name,
        "SHORTENER_PRIMARY_URL": stack.endpoints.links["worker-primary"],
        "SHORTENER_QUEUE_URL": stack.endpoints.links["queue"],
        "SHORTENER_WORKER_BATCH": "3",  # small, so that one is always in flight
        "SHORTENER_WORKER_CLAIM_IDLE_S": "0.5",
    }


def counted(worker: ShortenerProcess) -> float:
    if not worker.serves():
        return 0
    return value(scraped(worker.url), "shortener_clicks_counted_total")


def end_in_the_middle(stack: Stack, name: str, how: signal.Signals) -> int:
    with process("worker", environment(stack, name)) as worker:
        eventually(lambda: counted(worker) > 0)
        time.sleep(random.uniform(0, 0.1))
        worker.popen.send_signal(how)
        return worker.popen.wait(timeout=10)


def drain(stack: Stack, feed: Feed) -> None:
    """Drain the stream by one more worker, pending entries of the dead ones included."""
    feed.stop()
    with (
        process("worker", environment(stack, "last")),
        redis.Redis.from_url(stack.endpoints.redis) as queue,
    ):
        eventually(lambda: int(queue.xlen("clicks")) == 0)


def check_each_once(stack: Stack, feed: Feed) -> None:
    with psycopg.connect(stack.endpoints.primary) as database:
        rows = database.execute("SELECT click_id FROM clicks WHERE code = %s", [feed.code])
        stored = Counter(click_id for (click_id,) in rows)
        total = database.execute("SELECT total FROM link_clicks WHERE code = %s", [feed.code])
        assert total.fetchone() == (len(feed.ids),)
    assert stored == Counter(feed.ids)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_workers_that_end_again_and_again_lose_and_double_no_click(
    stack: Stack, feed: Feed, how: signal.Signals
) -> None:
    for name in ("same", "same", "another"):
        assert end_in_the_middle(stack, name, how) == (0 if how is signal.SIGTERM else -how)
    drain(stack, feed)
    check_each_once(stack, feed)


def test_a_worker_that_gets_sigterm_finishes_what_it_holds(stack: Stack, feed: Feed) -> None:
    end_in_the_middle(stack, "tidy", signal.SIGTERM)
    with redis.Redis.from_url(stack.endpoints.redis, decode_responses=True) as queue:
        held = queue.xpending_range("clicks", "workers", "-", "+", 10, consumername="tidy")
    assert len(list(held)) <= 3  # the read in flight at the signal
