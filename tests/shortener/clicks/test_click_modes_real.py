"""Guarantees of a click id in each click mode, and the privacy of visitors."""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import psycopg
import pytest
import redis
import requests

from chaos.model.stack import Link, Stack
from tests.support.patience import PATIENT
from tests.support.shortener_process import eventually, scraped, value

pytestmark = pytest.mark.real

ADDRESS, BROWSER = "203.0.113.77", "Mozilla/5.0 (X11; a browser of its own)"
WRITES_TO = {"sync": "queue", "outbox": "primary"}
WAIT_S = 2.0


@pytest.fixture
def undo(stack: Stack) -> Iterator[list[Callable[[], None]]]:
    """Undo functions, which run in the end in any case."""
    undos: list[Callable[[], None]] = []
    yield undos
    for undo in undos:
        undo()


@pytest.fixture(scope="module", autouse=True)
def restored(stack: Stack) -> Iterator[None]:
    yield
    stack.configure(PATIENT)


@pytest.fixture(scope="module", params=["sync", "outbox"])
def mode(stack: Stack, request: pytest.FixtureRequest) -> str:
    """Configure a mode in which redirects wait for their clicks."""
    chosen: str = request.param
    stack.configure({**PATIENT, "CLICK_MODE": chosen, "CLICK_WAIT_S": str(WAIT_S)})
    return chosen


def new_code(stack: Stack, **members: object) -> str:
    """Create a link once the API works: after an outage a breaker is open for a moment."""
    wanted, made = {"url": "https://example.org/", **members}, list[str]()

    def is_made() -> bool:
        answer = requests.post(f"{stack.endpoints.url}/api/links", json=wanted, timeout=10)
        if answer.status_code == 201:
            made.append(answer.json()["code"])
        return bool(made)

    eventually(is_made)
    return made[0]


def clicked(url: str, **headers: str) -> requests.Response:
    asked = {"User-Agent": BROWSER, **headers}
    return requests.get(url, headers=asked, allow_redirects=False, timeout=10)


def stats(stack: Stack, code: str) -> dict[str, int]:
    answer = requests.get(f"{stack.endpoints.url}/api/links/{code}/stats", timeout=10)
    found: dict[str, int] = answer.json()
    return found


def stored(stack: Stack, code: str) -> Counter[str]:
    with psycopg.connect(stack.endpoints.primary) as database:
        rows = database.execute("SELECT click_id FROM clicks WHERE code = %s", (code,))
        return Counter(click_id for (click_id,) in rows)


def ids_until_killed(stack: Stack, code: str) -> list[str]:
    """Return the ids that a web process returned until it was killed under load; restart it."""
    url, ids = f"{stack.endpoints.web['web-1']}/{code}", list[str]()

    def ask_until_it_is_gone() -> None:
        with requests.Session() as session:
            while True:
                try:
                    answer = session.get(url, allow_redirects=False, timeout=5)
                except requests.RequestException:
                    return
                ids.append(answer.headers["X-Click-Id"])

    with ThreadPoolExecutor(8) as crowd:
        asking = [crowd.submit(ask_until_it_is_gone) for _ in range(8)]
        time.sleep(0.5)
        stack.kill("web-1")
    stack.start("web-1")
    for one in asking:
        one.result()
    return ids


def test_no_click_that_was_answered_is_lost_with_the_web_process(stack: Stack, mode: str) -> None:
    code = new_code(stack)
    ids = ids_until_killed(stack, code)
    assert len(ids) > 50
    eventually(lambda: stored(stack, code).keys() >= set(ids))
    assert set(stored(stack, code).values()) == {1}
    eventually(lambda: stats(stack, code)["total"] == len(stored(stack, code)))


def test_a_redirect_goes_on_without_an_id_when_its_click_cannot_be_written(
    stack: Stack, undo: list[Callable[[], None]], mode: str
) -> None:
    web = stack.endpoints.web["web-1"]
    url = f"{web}/{new_code(stack)}"
    assert "X-Click-Id" in clicked(url).headers
    before, link = dropped(web), cast(Link, WRITES_TO[mode])
    undo.append(stack.toxic(link, "timeout", "downstream", timeout=0))
    started_s = time.monotonic()
    answer = clicked(url)
    assert WAIT_S <= time.monotonic() - started_s < 2 * WAIT_S
    assert (answer.status_code, answer.headers.get("X-Click-Id")) == (302, None)
    assert dropped(web) == before + 1


@pytest.mark.parametrize("mode", ["outbox"], indirect=True)
def test_clicks_in_the_outbox_are_counted_though_the_queue_is_down(
    stack: Stack, undo: list[Callable[[], None]], mode: str
) -> None:
    code = new_code(stack)
    undo.append(stack.cut("queue"))
    ids = [clicked(f"{stack.endpoints.url}/{code}").headers["X-Click-Id"] for _ in range(10)]
    eventually(lambda: stats(stack, code)["total"] == 10)
    assert stored(stack, code) == Counter(ids)


def test_a_stream_that_nobody_reads_takes_its_share_of_memory_and_no_more(stack: Stack) -> None:
    stack.configure({**PATIENT, "CLICK_STREAM_MB": "1", "CLICK_ATTEMPTS": "1"})
    code, web = new_code(stack), stack.endpoints.web["web-1"]
    stack.kill("worker")
    try:
        with redis.Redis.from_url(stack.endpoints.redis) as queue:
            now_ms = time.time_ns() // 1_000_000
            for _ in range(300):
                ids = [secrets.token_hex(16) for _ in range(100)]
                batch = [[one, "someone-else", now_ms, "", False, 0] for one in ids]
                queue.xadd("clicks", {"clicks": json.dumps(batch)})
            before = queue.xlen("clicks")
            assert clicked(f"{web}/{code}").status_code == 302
            eventually(lambda: dropped(web) == 1)
            assert queue.xlen("clicks") == before
    finally:
        stack.start("worker")
    eventually(lambda: clicked(f"{web}/{code}").ok and stats(stack, code)["total"] > 0)


def dropped(web: str) -> float:
    return value(scraped(web), "shortener_clicks_total", state="dropped")


def test_visitors_are_counted_and_not_known(stack: Stack, logs: Path) -> None:
    stack.configure(PATIENT)
    code, web = new_code(stack), stack.endpoints.web["web-1"]
    stack.kill("worker")
    try:
        for _ in range(3):
            clicked(f"{web}/{code}", **{"X-Forwarded-For": ADDRESS})
        clicked(f"{web}/{code}", **{"X-Forwarded-For": "203.0.113.78"})
        with redis.Redis.from_url(stack.endpoints.redis) as queue:
            eventually(lambda: int(queue.xlen("clicks")) > 0)
            assert not holds_traces(str(queue.xrange("clicks")))
    finally:
        stack.start("worker")
    eventually(lambda: stats(stack, code)["total"] == 4)
    assert stats(stack, code)["visitors"] == 2
    with psycopg.connect(stack.endpoints.primary) as database:
        tables = database.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in tables.fetchall():
            rows = database.execute(f'SELECT one::text FROM "{table}" AS one'.encode())
            assert not any(holds_traces(row) for (row,) in rows)
    assert not any(holds_traces(path.read_text()) for path in logs.glob("w*.log"))


def holds_traces(text: str) -> bool:
    return ADDRESS in text or BROWSER in text


def test_a_link_that_expired_long_ago_is_ended_and_its_code_is_never_given_again(
    stack: Stack,
) -> None:
    stack.configure(
        {
            **PATIENT,
            "EXPIRED_LINK_RETENTION_S": "1",
            "SWEEP_INTERVAL_S": "0.1",
            "CACHE_TTL_S": "0.2",
        }
    )
    alias = f"short-{secrets.token_hex(4)}"
    soon = datetime.now(UTC) + timedelta(seconds=2)
    new_code(stack, alias=alias, expires_at=soon.isoformat())
    url = f"{stack.endpoints.url}/{alias}"
    eventually(lambda: clicked(url).status_code == 410)
    eventually(lambda: clicked(url).status_code == 404)
    again = {"url": "https://example.org/", "alias": alias}
    answer = requests.post(f"{stack.endpoints.url}/api/links", json=again, timeout=10)
    assert answer.status_code == 409
    with psycopg.connect(stack.endpoints.primary) as database:
        row = database.execute("SELECT url, deleted FROM links WHERE code = %s", [alias])
        assert row.fetchone() == ("", True)
