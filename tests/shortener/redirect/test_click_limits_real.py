"""Links with a limit of clicks; that 64 at once get exactly as many, `claims` shows."""

from __future__ import annotations

import secrets

import pytest
import requests

from chaos.model.stack import Stack

pytestmark = pytest.mark.real


@pytest.fixture
def api(stack: Stack) -> str:
    return f"{stack.endpoints.url}/api/links"


@pytest.fixture
def code(api: str) -> str:
    """A link for two clicks."""
    alias = secrets.token_hex(8)
    link = {"url": "https://example.org/", "alias": alias, "max_clicks": 2}
    made = requests.post(api, json=link, timeout=10)
    assert made.status_code == 201, made.text
    return alias


def ask(stack: Stack, code: str, method: str = "GET") -> int:
    url = f"{stack.endpoints.url}/{code}"
    return requests.request(method, url, allow_redirects=False, timeout=10).status_code


def test_a_look_without_a_click_uses_nothing_up(stack: Stack, code: str) -> None:
    assert [ask(stack, code, "HEAD") for _ in range(4)] == [302] * 4
    assert [ask(stack, code) for _ in range(4)] == [302, 302, 410, 410]
    assert ask(stack, code, "HEAD") == 410


def test_a_higher_limit_lets_so_many_more_through_and_none_lets_all(
    stack: Stack, api: str, code: str
) -> None:
    assert [ask(stack, code) for _ in range(3)] == [302, 302, 410]
    assert requests.patch(f"{api}/{code}", json={"max_clicks": 3}, timeout=10).ok
    assert [ask(stack, code) for _ in range(3)] == [302, 410, 410]
    assert requests.patch(f"{api}/{code}", json={"max_clicks": None}, timeout=10).ok
    assert [ask(stack, code) for _ in range(5)] == [302] * 5


def test_a_used_up_link_is_not_queried_again_and_again(stack: Stack, code: str) -> None:
    web = stack.endpoints.web["web-1"]
    for _ in range(6):
        requests.get(f"{web}/{code}", allow_redirects=False, timeout=10)
    undo = stack.toxic("primary", "timeout", "downstream", timeout=0)
    try:
        answer = requests.get(f"{web}/{code}", allow_redirects=False, timeout=10)
    finally:
        undo()
    assert answer.status_code == 410


def test_without_the_primary_there_are_no_permits(stack: Stack, code: str) -> None:
    assert ask(stack, code) == 302
    undo = stack.cut("primary")
    try:
        answer = requests.get(f"{stack.endpoints.url}/{code}", allow_redirects=False, timeout=10)
    finally:
        undo()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert ask(stack, code) == 302
    assert ask(stack, code) == 410


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Purpose": "prefetch"},
        {"Sec-Purpose": "prefetch;prerender"},
        {"Purpose": "prefetch"},
        {"X-Moz": "prefetch"},
        {"X-Purpose": "preview"},
        {"User-Agent": "WhatsApp/2.23.20.0"},
        {"User-Agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"},
    ],
)
def test_what_only_looks_neither_uses_a_click_up_nor_gets_the_target(
    stack: Stack, api: str, headers: dict[str, str]
) -> None:
    alias = secrets.token_hex(8)
    link = {"url": "https://example.org/", "alias": alias, "max_clicks": 1}
    assert requests.post(api, json=link, timeout=10).status_code == 201
    url = f"{stack.endpoints.url}/{alias}"
    for _ in range(3):
        looked = requests.get(url, headers=headers, allow_redirects=False, timeout=10)
        assert (looked.status_code, looked.headers.get("Location")) == (403, None)
        assert looked.headers["Cache-Control"] == "private, no-store"
    assert [ask(stack, alias) for _ in range(2)] == [302, 410]
    gone = requests.get(url, headers=headers, allow_redirects=False, timeout=10)
    assert gone.status_code == 410
