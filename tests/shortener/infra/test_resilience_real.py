"""Redirects while dependencies are down: served from the rest, without long waits, and recovered.

Tests that allow no waits accept as many slow redirects as are in flight at once, for a busy
machine; without a breaker all of them would be slow.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from typing import NamedTuple

import pytest
import redis
import requests

from chaos.model.stack import Link, Stack
from tests.support.patience import PATIENT
from tests.support.shortener_process import eventually, scraped, value

pytestmark = pytest.mark.real

READERS, MOST = 8, 24
TTL_S, STALE_S, TIMEOUT_S = 0.4, 0.2, 1.0
SETTINGS = {
    "CACHE_TTL_S": str(TTL_S),
    "STALE_WHILE_REVALIDATE_S": str(STALE_S),
    "CACHE_TIMEOUT_S": str(TIMEOUT_S),
    "REPLICA_TIMEOUT_S": str(TIMEOUT_S),
    "BREAKER_OPEN_S": "0.3",
    "MAX_IN_FLIGHT": str(MOST),
    "API_RATE_PER_S": "0",
}
QUICK_S = 0.8 * TIMEOUT_S  # of a redirect that waits for no timeout


class Seen(NamedTuple):
    """Status, source and duration of an answer."""

    status: int
    served: str
    took_s: float


@pytest.fixture(scope="module")
def set_up(stack: Stack) -> Iterator[Stack]:
    stack.configure(SETTINGS)
    yield stack
    stack.configure(PATIENT)


@pytest.fixture
def down(set_up: Stack) -> Iterator[Callable[[Link], None]]:
    """Make a link a black hole: connections are accepted and never answered."""
    undos: list[Callable[[], None]] = []
    yield lambda link: undos.append(set_up.toxic(link, "timeout", "downstream", timeout=0))
    for undo in undos:
        undo()
    eventually(lambda: not any(breakers(set_up)))


def breakers(stack: Stack) -> list[float]:
    """Return the states of all breakers in all web processes."""
    return [
        state
        for web in stack.endpoints.web.values()
        for state in scraped(web, "shortener_breaker_state").values()
    ]


def new_codes(stack: Stack, count: int) -> list[str]:
    body = {"links": [{"url": "https://example.org/"}] * count}
    made = requests.post(f"{stack.endpoints.url}/api/links/bulk", json=body, timeout=10)
    assert made.status_code == 201, made.text
    return [link["code"] for link in made.json()["links"]]


def read(session: requests.Session, stack: Stack, code: str) -> Seen:
    began_s = time.monotonic()
    answer = session.get(f"{stack.endpoints.url}/{code}", allow_redirects=False, timeout=10)
    served = answer.headers.get("X-Cache", "")
    return Seen(answer.status_code, served, time.monotonic() - began_s)


def read_all(stack: Stack, codes: list[str]) -> list[Seen]:
    """Request each code once, by `READERS` at once; return the answers in order."""
    with ThreadPoolExecutor(READERS) as readers, requests.Session() as session:
        return list(readers.map(lambda code: read(session, stack, code), codes))


def served(seen: list[Seen]) -> Counter[str]:
    return Counter(each.served for each in seen)


def slow(seen: list[Seen]) -> int:
    return sum(each.took_s > QUICK_S for each in seen)


def test_with_a_silent_redis_redirects_go_on_and_only_the_first_wait(
    set_up: Stack, down: Callable[[Link], None]
) -> None:
    (code,) = new_codes(set_up, 1)
    read_all(set_up, [code] * 10)
    down("cache")
    seen = read_all(set_up, [code] * 600)
    assert {each.status for each in seen} == {302}
    assert served(seen).keys() <= {"hit", "stale", "miss", "wait"}
    assert slow(seen) <= 4 * READERS
    assert slow(seen[200:]) <= READERS
    assert any(breakers(set_up))


def test_with_redis_killed_redirects_go_on_and_when_it_is_back_it_is_used(set_up: Stack) -> None:
    (code,) = new_codes(set_up, 1)
    read_all(set_up, [code] * 10)
    set_up.kill("redis")
    try:
        seen = read_all(set_up, [code] * 300)
    finally:
        set_up.start("redis")
    assert {each.status for each in seen} == {302}
    assert slow(seen) <= READERS
    eventually(lambda: served(read_all(set_up, [code] * 20)).keys() == {"hit"})


def test_an_invalidation_that_redis_missed_is_sent_when_it_is_back(stack: Stack) -> None:
    (code,) = new_codes(stack, 1)
    assert read_all(stack, [code])[0].status == 302
    undo = stack.cut("cache")
    try:
        url = f"{stack.endpoints.url}/api/links/{code}"
        assert requests.patch(url, json={"disabled": True}, timeout=10).ok
    finally:
        undo()
    eventually(lambda: not any(breakers(stack)))
    with redis.Redis.from_url(stack.endpoints.redis) as cache:
        eventually(lambda: cache.get(f"floor:1:{code}") == b"2", within_s=3)
    assert {each.status for each in read_all(stack, [code] * 4)} == {410}


def test_with_the_replica_gone_the_primary_answers_and_only_the_first_wait(
    set_up: Stack, down: Callable[[Link], None]
) -> None:
    codes = new_codes(set_up, 90)
    down("replica")
    seen = read_all(set_up, codes)
    assert {each.status for each in seen} == {302}
    assert served(seen).keys() == {"miss"}
    assert slow(seen) <= 4 * READERS
    assert slow(seen[60:]) <= READERS


def test_with_both_databases_gone_cached_links_redirect_even_old_ones(
    set_up: Stack, down: Callable[[Link], None]
) -> None:
    known, unknown = new_codes(set_up, 1)[0], secrets.token_hex(8)
    read_all(set_up, [known] * 4)
    down("replica")
    down("primary")
    assert read_all(set_up, [known])[0].status == 302
    time.sleep(TTL_S * 1.1 + STALE_S)
    began_s = time.monotonic()
    while 2 not in breakers(set_up):  # until then some requests time out
        assert served(read_all(set_up, [known] * READERS)).keys() <= {"stale"}
        assert time.monotonic() - began_s < 30
    eventually(lambda: min(breakers_of(set_up, "primary", "replica")) > 0)
    seen = read_all(set_up, [known] * 300)
    assert {(each.status, each.served) for each in seen} == {(302, "stale")}
    assert slow(seen) <= READERS
    answer = requests.get(f"{set_up.endpoints.url}/{unknown}", timeout=10)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def breakers_of(stack: Stack, *parts: str) -> list[float]:
    found = []
    for web in stack.endpoints.web.values():
        session = requests.Session()
        codes = [secrets.token_hex(8) for _ in range(4)]  # so that each process opens its breakers
        for code in codes:
            session.get(f"{web}/{code}", timeout=10)
        samples = scraped(web, "shortener_breaker_state")
        found += [value(samples, "shortener_breaker_state", dependency=part) for part in parts]
    return found


class Answer(NamedTuple):
    """Status, the header Retry-After, and the text of an answer."""

    status: int
    retry_after: str | None
    text: str


def asked_at_once(web: str, codes: Sequence[str]) -> list[Answer]:
    """The answers to redirects that are all sent before the first answer is read."""
    with ExitStack() as closed:
        each = [HTTPConnection(web.removeprefix("http://"), timeout=10) for _ in codes]
        for connection, code in zip(each, codes, strict=True):
            closed.callback(connection.close)
            connection.connect()
            connection.request("GET", f"/{code}")
        answers = [connection.getresponse() for connection in each]
        return [Answer(a.status, a.headers["Retry-After"], a.read().decode()) for a in answers]


def test_too_many_at_once_are_refused_and_nothing_piles_up(set_up: Stack) -> None:
    """Admitted requests may still time out at the database, on a busy machine."""
    web = set_up.endpoints.web["web-1"]
    undo = set_up.toxic("replica", "latency", "downstream", latency=300)
    codes = [secrets.token_hex(8) for _ in range(4 * MOST)]
    before = value(scraped(web), "shortener_admission_refused_total")
    try:
        answers = asked_at_once(web, codes)
    finally:
        undo()
    refused = [answer for answer in answers if "too many requests in flight" in answer.text]
    assert {(each.status, each.retry_after) for each in refused} == {(503, "1")}
    assert {each.status for each in answers} == {404, 503}
    assert len(answers) - len(refused) >= MOST
    assert len(refused) >= MOST
    assert value(scraped(web), "shortener_admission_refused_total") - before == len(refused)
    eventually(lambda: value(scraped(web), "shortener_requests_in_flight") == 0)
