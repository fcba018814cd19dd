"""Metrics of web and worker while a running stack is used, slowed and cut."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
import requests

from chaos.model.stack import Stack
from tests.support.patience import PATIENT
from tests.support.shortener_process import Samples, eventually, scraped, value

pytestmark = pytest.mark.real


@pytest.fixture
def web(stack: Stack) -> str:
    """One web process, past the balancer."""
    return stack.endpoints.web["web-1"]


@pytest.fixture
def undo(stack: Stack) -> Iterator[list[Callable[[], None]]]:
    """Undo functions, called at the end in any case."""
    undos: list[Callable[[], None]] = []
    yield undos
    for undo in undos:
        undo()


def requests_of(samples: Samples, route: str, status: str) -> float:
    return value(samples, "shortener_requests_total", route=route, status=status)


def test_each_route_counts_what_it_answers(web: str) -> None:
    api, alias = f"{web}/api/links", secrets.token_hex(8)
    before = scraped(web)

    def ask(method: str, address: str, **content: object) -> int:
        answer = requests.request(method, address, timeout=10, allow_redirects=False, json=content)
        return answer.status_code

    statuses = [
        ask("POST", api, url="https://example.org/", alias=alias),
        ask("POST", api, url="https://example.org/", alias=alias),
        ask("GET", f"{api}/{alias}"),
        ask("GET", f"{web}/{alias}"),
        ask("HEAD", f"{web}/{alias}"),
        ask("PATCH", f"{api}/{alias}", disabled=True),
        ask("GET", f"{web}/{alias}"),
        ask("GET", f"{api}/{alias}/stats"),
        ask("DELETE", f"{api}/{alias}"),
        ask("DELETE", f"{api}/{alias}"),
        ask("GET", f"{web}/{alias}"),
    ]
    assert statuses == [201, 409, 200, 302, 302, 200, 410, 200, 204, 404, 404]
    after = scraped(web)
    grown = {
        (labels["route"], labels["status"]): after[name, pairs] - before[name, pairs]
        for name, pairs in after
        if name == "shortener_requests_total" and (labels := dict(pairs))
    }
    assert {key: count for key, count in grown.items() if count} == {
        ("create", "2xx"): 1,
        ("create", "4xx"): 1,
        ("read", "2xx"): 1,
        ("redirect", "3xx"): 2,
        ("change", "2xx"): 1,
        ("redirect", "4xx"): 2,
        ("stats", "2xx"): 1,
        ("delete", "2xx"): 1,
        ("delete", "4xx"): 1,
    }


def test_redirects_are_the_same_however_they_are_counted(web: str) -> None:
    requests.get(f"{web}/nobody", timeout=10)
    samples = scraped(web)
    by_status = sum(requests_of(samples, "redirect", f"{first}xx") for first in range(1, 6))
    assert by_status == value(samples, "shortener_redirect_seconds_count")
    assert by_status == value(samples, "shortener_request_seconds_count", route="redirect")
    outcomes = ("found", "unknown", "gone", "error")
    assert by_status == sum(
        value(samples, "shortener_redirects_total", outcome=outcome) for outcome in outcomes
    )


def test_a_pool_too_small_shows_as_connections_used_and_waits(
    stack: Stack, web: str, undo: list[Callable[[], None]]
) -> None:
    stack.configure({**PATIENT, "POOL_SIZE": "2"})
    undo.append(lambda: stack.configure(PATIENT))

    def pool(state: str) -> float:
        return value(scraped(web), "shortener_pool_connections", db="replica", state=state)

    assert (pool("idle"), pool("used")) == (2, 0)
    undo.insert(0, stack.toxic("replica", "latency", "downstream", latency=300))
    waited_s = value(scraped(web), "shortener_pool_wait_seconds_sum", db="replica")
    codes = [secrets.token_hex(8) for _ in range(6)]
    with ThreadPoolExecutor(len(codes)) as readers:
        asking = readers.map(lambda code: requests.get(f"{web}/{code}", timeout=10), codes)
        eventually(lambda: (pool("idle"), pool("used")) == (0, 2), within_s=3)
        assert {answer.status_code for answer in asking} == {404}
    eventually(lambda: (pool("idle"), pool("used")) == (2, 0))
    samples = scraped(web)
    assert value(samples, "shortener_pool_wait_seconds_count", db="replica") >= 6
    # two at once, 0.3 s each: the second pair waits for one turn, the third for two
    waited_s = value(samples, "shortener_pool_wait_seconds_sum", db="replica") - waited_s
    assert 1.2 < waited_s < 4.5


def test_waiting_in_vain_for_a_connection_is_timed_too(
    stack: Stack, web: str, undo: list[Callable[[], None]]
) -> None:
    stack.configure(
        {**PATIENT, "POOL_SIZE": "1", "POOL_TIMEOUT_S": "0.5", "REPLICA_TIMEOUT_S": "0.5"}
    )
    undo.append(lambda: stack.configure(PATIENT))
    undo.insert(0, stack.toxic("replica", "timeout", "downstream", timeout=0))
    before = value(scraped(web), "shortener_pool_wait_seconds_count", db="replica")
    codes = [secrets.token_hex(8) for _ in range(4)]
    with ThreadPoolExecutor(len(codes)) as readers:
        list(readers.map(lambda code: requests.get(f"{web}/{code}", timeout=10), codes))
    samples = scraped(web)
    assert value(samples, "shortener_pool_wait_seconds_count", db="replica") == before + 4
    assert value(samples, "shortener_pool_wait_seconds_sum", db="replica") > 1


def lag(stack: Stack) -> tuple[float, float, float]:
    """Reachability of the queue (0 or 1), and its lag in entries and seconds."""
    samples = scraped(stack.endpoints.worker)
    return (
        value(samples, "shortener_stream_reachable"),
        value(samples, "shortener_stream_lag_entries"),
        value(samples, "shortener_stream_lag_seconds"),
    )


def click(stack: Stack, times: int) -> None:
    """Clicks far enough apart to be an entry each."""
    code = requests.post(
        f"{stack.endpoints.url}/api/links", json={"url": "https://example.org/"}, timeout=10
    ).json()["code"]
    for _ in range(times):
        requests.get(f"{stack.endpoints.url}/{code}", allow_redirects=False, timeout=10)
        time.sleep(0.05)


def test_the_lag_is_what_waits_in_the_stream_and_the_age_of_its_oldest(
    stack: Stack, undo: list[Callable[[], None]]
) -> None:
    eventually(lambda: lag(stack) == (1, 0, 0))
    undo.append(stack.toxic("worker-primary", "timeout", "downstream", timeout=0))
    click(stack, 10)
    began_s = time.monotonic()
    with redis.Redis.from_url(stack.endpoints.redis) as queue:
        waiting = queue.xlen("clicks")
    assert waiting > 3
    eventually(lambda: lag(stack)[:2] == (1, waiting))
    time.sleep(2)
    _, _, age_s = lag(stack)
    waited_s = time.monotonic() - began_s
    assert waited_s - 2 < age_s < waited_s + 2  # it is up to a second old; clicking took one
    undo.pop()()
    eventually(lambda: lag(stack) == (1, 0, 0), within_s=30)


def test_the_lag_of_a_queue_that_cannot_be_reached_is_said_to_be_unknown(
    stack: Stack, undo: list[Callable[[], None]]
) -> None:
    eventually(lambda: lag(stack) == (1, 0, 0))
    undo.append(stack.toxic("queue", "timeout", "downstream", timeout=0))
    eventually(lambda: lag(stack)[0] == 0, within_s=4)
    assert all(math.isnan(figure) for figure in lag(stack)[1:])
    undo.pop()()
    eventually(lambda: lag(stack) == (1, 0, 0), within_s=10)
