"""Clicks from the redirect to the counts: each once, through failures of worker and queue."""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable

import psycopg
import pytest
import redis
import requests

from chaos.model.stack import Stack
from tests.support.patience import PATIENT

pytestmark = pytest.mark.real

BROWSER = {"User-Agent": "Mozilla/5.0 (X11)", "Referer": "https://news.example/secret"}
CRAWLER = {"User-Agent": "Examplebot/1.0"}


def new_code(stack: Stack) -> str:
    answer = requests.post(
        f"{stack.endpoints.url}/api/links", json={"url": "https://example.org/"}, timeout=10
    )
    code: str = answer.json()["code"]
    return code


def click(stack: Stack, code: str, times: int, headers: dict[str, str] = BROWSER) -> list[str]:
    with requests.Session() as session:
        url = f"{stack.endpoints.url}/{code}"
        answers = [
            session.get(url, headers=headers, allow_redirects=False, timeout=10)
            for _ in range(times)
        ]
    return [answer.headers["X-Click-Id"] for answer in answers]


def stored(stack: Stack, code: str) -> Counter[str]:
    with psycopg.connect(stack.endpoints.primary) as database:
        rows = database.execute("SELECT click_id FROM clicks WHERE code = %s", (code,))
        return Counter(click_id for (click_id,) in rows)


def stats(stack: Stack, code: str) -> dict[str, object]:
    answer = requests.get(f"{stack.endpoints.url}/api/links/{code}/stats", timeout=10)
    found: dict[str, object] = answer.json()
    return found


def eventually(true: Callable[[], bool], within_s: float = 30) -> None:
    deadline_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline_s, "it did not come true in time"
        time.sleep(0.05)


def drained(stack: Stack) -> bool:
    with redis.Redis.from_url(stack.endpoints.redis) as queue:
        return int(queue.xlen("clicks")) == 0


def test_every_click_is_counted_once_by_day_site_and_kind(stack: Stack) -> None:
    code = new_code(stack)
    ids = click(stack, code, 30) + click(stack, code, 5, CRAWLER)
    eventually(lambda: stats(stack, code)["total"] == 35)
    assert stored(stack, code) == Counter(ids)
    found = stats(stack, code)
    assert found["bots"] == 5
    assert found["referrers"] == [
        {"referrer": "news.example", "total": 30},
        {"referrer": "", "total": 5},
    ]
    days = found["days"]
    assert isinstance(days, list)
    assert sum(day["total"] for day in days) == 35
    assert sum(day["bots"] for day in days) == 5


@pytest.mark.parametrize("name", ["Sec-Purpose", "Purpose", "X-Moz"])
def test_a_page_that_is_fetched_ahead_counts_for_no_person(stack: Stack, name: str) -> None:
    code = new_code(stack)
    ids = click(stack, code, 3, {**BROWSER, name: "prefetch"})
    assert len(set(ids)) == 3
    eventually(lambda: stats(stack, code)["total"] == 3)
    assert (stats(stack, code)["bots"], stats(stack, code)["visitors"]) == (3, 0)
    click(stack, code, 1)
    eventually(lambda: stats(stack, code)["total"] == 4)
    assert (stats(stack, code)["bots"], stats(stack, code)["visitors"]) == (3, 1)


def test_clicks_outlive_a_worker_that_is_killed(stack: Stack) -> None:
    code = new_code(stack)
    ids = click(stack, code, 50)
    stack.kill("worker")
    ids += click(stack, code, 50)
    stack.start("worker")
    eventually(lambda: drained(stack) and stats(stack, code)["total"] == 100)
    assert stored(stack, code) == Counter(ids)


def test_a_batch_that_is_delivered_again_counts_nothing(stack: Stack) -> None:
    code, click_id = new_code(stack), secrets.token_hex(16)
    batch = json.dumps([[click_id, code, int(time.time() * 1000), "", False]] * 3)
    with redis.Redis.from_url(stack.endpoints.redis) as queue:
        for _ in range(3):
            queue.xadd("clicks", {"clicks": batch})
            eventually(lambda: drained(stack))
    assert stored(stack, code) == Counter([click_id])
    assert stats(stack, code)["total"] == 1


def test_what_a_dead_worker_was_given_is_taken_over(stack: Stack) -> None:
    stack.configure({**PATIENT, "WORKER_CLAIM_IDLE_S": "0.5"})
    code, click_id = new_code(stack), secrets.token_hex(16)
    stack.kill("worker")
    with redis.Redis.from_url(stack.endpoints.redis) as queue:
        batch = json.dumps([[click_id, code, int(time.time() * 1000), "", False]])
        queue.xadd("clicks", {"clicks": batch})
        queue.xreadgroup("workers", "somebody-else", {"clicks": ">"})
    stack.start("worker")
    eventually(lambda: drained(stack))
    assert stored(stack, code) == Counter([click_id])


def test_a_poisoned_entry_is_dead_lettered_and_blocks_no_other(stack: Stack) -> None:
    code, click_id = new_code(stack), secrets.token_hex(16)
    far = 253_402_300_800_000  # the year 10000, which no datetime holds; 1970 is long over
    with redis.Redis.from_url(stack.endpoints.redis, decode_responses=True) as queue:
        queue.delete("clicks:dead")
        queue.xadd("clicks", {"clicks": "no json"})
        queue.xadd("clicks", {"clicks": json.dumps([["id", code, far, "", False]])})
        queue.xadd("clicks", {"clicks": json.dumps([["id", code, 1, "", False]])})
        now_ms = int(time.time() * 1000)
        queue.xadd("clicks", {"clicks": json.dumps([[click_id, code, now_ms, "", False]])})
        eventually(lambda: drained(stack))
        dead = queue.xrange("clicks:dead")
    assert len(list(dead)) == 3
    assert stored(stack, code) == Counter([click_id])


def test_clicks_wait_out_a_database_that_is_down(stack: Stack) -> None:
    code = new_code(stack)
    ids = click(stack, code, 10)
    undo = stack.toxic("worker-primary", "timeout", "downstream", timeout=0)
    try:
        ids += click(stack, code, 40)
        time.sleep(0.5)
    finally:
        undo()
    eventually(lambda: drained(stack) and stats(stack, code)["total"] == 50)
    assert stored(stack, code) == Counter(ids)


def test_clicks_wait_out_a_queue_that_does_not_answer(stack: Stack) -> None:
    code = new_code(stack)
    undo = stack.toxic("queue", "timeout", "downstream", timeout=0)
    try:
        ids = click(stack, code, 40)
        time.sleep(1.5)
    finally:
        undo()
    eventually(lambda: drained(stack) and stats(stack, code)["total"] == 40)
    assert stored(stack, code) == Counter(ids)


def test_a_web_process_that_gets_sigterm_sends_its_clicks_first(stack: Stack) -> None:
    code = new_code(stack)
    ids = click(stack, code, 20)
    stack.configure(PATIENT)  # which restarts it with SIGTERM
    eventually(lambda: drained(stack) and stats(stack, code)["total"] == 20)
    assert stored(stack, code) == Counter(ids)
