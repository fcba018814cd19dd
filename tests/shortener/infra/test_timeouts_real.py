"""Redirects while Redis hangs: without timeouts, with them, and with the breaker."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from chaos.model.stack import Stack
from tests.support.shortener_process import scraped
from tests.support.shortener_webs import OwnWeb, webs

pytestmark = [pytest.mark.real, pytest.mark.alone]

PAUSE_S, TIMEOUT_S = 2.5, 0.4
MARGIN_S = 0.35  # of a busy machine
ENDLESS = {
    "CACHE_TIMEOUT_S": "3600",
    "REPLICA_TIMEOUT_S": "3600",
    "PRIMARY_TIMEOUT_S": "3600",
    "FILL_LOCK_TTL_S": "10800",
    "FILL_WAIT_S": "3600",
    "POOL_TIMEOUT_S": "3600",
    "REQUEST_DEADLINE_S": "86400",
    "MAX_IN_FLIGHT": "1000000",
    "BREAKER": "false",
}


@contextmanager
def hanging(stack: Stack) -> Iterator[None]:
    """Stop Redis for `PAUSE_S`."""
    stack.pause("redis")
    resume = threading.Timer(PAUSE_S, stack.resume, ["redis"])
    resume.start()
    try:
        yield
    finally:
        resume.join()


def cached_link(web: OwnWeb) -> str:
    made = requests.post(f"{web.url}/api/links", json={"url": "https://a.example/"}, timeout=20)
    code: str = made.json()["code"]
    read(web, code)
    return code


def read(web: OwnWeb, code: str) -> float:
    """Follow a link, and return how long it took."""
    began_s = time.monotonic()
    answer = requests.get(f"{web.url}/{code}", allow_redirects=False, timeout=20)
    assert answer.status_code == 302
    return time.monotonic() - began_s


def read_while_hanging(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory, settings: dict[str, str]
) -> tuple[list[float], bool]:
    """Times of redirects one after the other, and whether a breaker opened."""
    with webs(stack, tmp_path_factory.mktemp("hanging"), 1, settings) as (web,):
        code = cached_link(web)
        times: list[float] = []
        with hanging(stack):
            end_s = time.monotonic() + PAUSE_S - TIMEOUT_S
            while time.monotonic() < end_s:
                times.append(read(web, code))
            opened = any(scraped(web.url, "shortener_breaker_state").values())
    return times, opened


def test_with_endless_timeouts_a_redirect_takes_as_long_as_the_pause(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    times, opened = read_while_hanging(stack, tmp_path_factory, ENDLESS)
    assert len(times) == 1
    assert PAUSE_S - MARGIN_S < times[0] < PAUSE_S + 4 * MARGIN_S
    assert not opened


def test_with_a_timeout_and_no_breaker_each_redirect_takes_that_long(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = {"CACHE_TIMEOUT_S": str(TIMEOUT_S), "BREAKER": "false"}
    times, opened = read_while_hanging(stack, tmp_path_factory, settings)
    assert min(times) >= TIMEOUT_S - 0.05
    assert max(times) < TIMEOUT_S + MARGIN_S
    assert not opened


def test_with_the_breaker_most_redirects_do_not_wait_at_all(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = {"CACHE_TIMEOUT_S": str(TIMEOUT_S), "BREAKER_FAILURES": "2"}
    times, opened = read_while_hanging(stack, tmp_path_factory, settings)
    assert max(times) < TIMEOUT_S + MARGIN_S
    assert sum(time_s >= TIMEOUT_S - 0.05 for time_s in times) == 2
    assert len(times) > 20
    assert opened
