"""The observer on a real stack: what it counts, and what it leaves to others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from chaos.model import Stack
from chaos.observe import Eyes

pytestmark = pytest.mark.real


@pytest.fixture
def eyes(stack: Stack) -> Iterator[Eyes]:
    seen = Eyes(stack)
    yield seen
    seen.close()


def new_link(stack: Stack) -> str:
    made = requests.post(
        f"{stack.endpoints.url}/api/links", json={"url": "https://example.org/"}, timeout=5
    )
    return str(made.json()["code"])


def follow(stack: Stack, code: str) -> str:
    answer = requests.get(f"{stack.endpoints.url}/{code}", allow_redirects=False, timeout=5)
    return answer.headers["X-Click-Id"]


def test_only_clicks_on_the_links_asked_for_are_read_back(stack: Stack, eyes: Eyes) -> None:
    ours, another = new_link(stack), new_link(stack)
    clicks = [follow(stack, ours) for _ in range(3)]
    follow(stack, another)
    seen = eyes.read_back([ours])
    assert sorted(seen.clicks) == sorted((click_id, ours) for click_id in clicks)
    assert seen.totals == {ours: 3}
    assert eyes.read_back([]).clicks == []


def test_every_request_of_a_user_is_counted_and_none_of_the_labs_own(
    stack: Stack, eyes: Eyes
) -> None:
    before = eyes.counters()
    code = new_link(stack)
    for _ in range(5):
        follow(stack, code)
    requests.get(f"{stack.endpoints.url}/no-such-link", timeout=5)
    requests.get(f"{stack.endpoints.url}/no/such/page", timeout=5)
    for url in stack.endpoints.web.values():
        requests.get(f"{url}/readyz", timeout=5)
    after = eyes.counters()
    assert after.web_requests - before.web_requests == 7
    assert after.web_starts == before.web_starts


def test_the_count_goes_on_when_a_web_process_starts_again(stack: Stack, eyes: Eyes) -> None:
    code = new_link(stack)
    before = eyes.counters()
    stack.kill("web-1")
    stack.start("web-1")
    for _ in range(4):
        follow(stack, code)
    after = eyes.counters()
    assert after.web_requests - before.web_requests == 4
    assert after.web_starts - before.web_starts == 1
