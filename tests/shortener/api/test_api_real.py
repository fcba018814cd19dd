"""The API and the redirects of a running stack, through nginx as a user meets them."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
import requests

from chaos.model.stack import Stack
from tests.support.shortener_process import eventually

pytestmark = pytest.mark.real

GOOD = "https://example.org/page"
CALLERS = 64
T = TypeVar("T")


@pytest.fixture
def api(stack: Stack) -> str:
    return f"{stack.endpoints.url}/api/links"


@pytest.fixture(params=["web-1", "nginx"])
def entrance(request: pytest.FixtureRequest, stack: Stack) -> str:
    """Bad input is tried on a web process itself too: nginx must not be what keeps it safe."""
    return stack.endpoints.web.get(request.param, stack.endpoints.url)


def create(api: str, key: str | None = None, **members: Any) -> requests.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return requests.post(api, json={"url": GOOD, **members}, headers=headers, timeout=10)


def follow(stack: Stack, code: str, **headers: str) -> requests.Response:
    url = f"{stack.endpoints.url}/{code}"
    return requests.get(url, headers=headers, allow_redirects=False, timeout=10)


def at_once(call: Callable[[], T]) -> list[T]:
    with ThreadPoolExecutor(CALLERS) as callers:
        return [future.result() for future in [callers.submit(call) for _ in range(CALLERS)]]


def test_a_new_link_can_be_followed_at_once_however_far_the_replica_is(
    stack: Stack, api: str
) -> None:
    for _ in range(20):
        link = create(api).json()
        answer = follow(stack, link["code"])
        assert answer.status_code == 302
        assert answer.headers["Location"] == GOOD
        assert answer.headers["X-Link-Version"] == "1"
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert answer.headers["X-Cache"] in ("hit", "wait", "miss")
        assert float(answer.headers["X-Cache-Age-Ms"]) >= 0
        assert len(answer.headers["X-Click-Id"]) == 32


def test_codes_are_long_random_and_unlike_each_other(api: str) -> None:
    codes = [create(api).json()["code"] for _ in range(20)]
    assert len(set(codes)) == 20
    assert all(len(code) == 10 and code.isalnum() for code in codes)


def test_of_64_with_the_same_key_all_get_the_same_link(api: str) -> None:
    key = secrets.token_hex(16)
    answers = at_once(lambda: create(api, key=key))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert create(api, key=key).text == answers[0].text


def test_a_key_is_for_one_request_only(api: str) -> None:
    key = secrets.token_hex(16)
    assert create(api, key=key).status_code == 201
    assert create(api, key=key, url="https://example.org/other").status_code == 422


def test_a_create_that_failed_does_not_use_up_its_key(api: str) -> None:
    taken, key = secrets.token_hex(8), secrets.token_hex(16)
    create(api, alias=taken)
    assert create(api, key=key, alias=taken).status_code == 409
    assert create(api, key=key).status_code == 201


def test_each_change_is_a_version_that_the_next_redirect_has(stack: Stack, api: str) -> None:
    code = create(api).json()["code"]
    for version in range(2, 12):
        follow(stack, code)
        target = f"https://example.org/{version}"
        changed = requests.patch(f"{api}/{code}", json={"url": target}, timeout=10).json()
        assert changed["version"] == version
        answer = follow(stack, code)
        assert (answer.headers["X-Link-Version"], answer.headers["Location"]) == (
            str(version),
            target,
        )


def test_a_slash_behind_a_code_is_nothing_and_another_case_another_code(
    entrance: str, api: str
) -> None:
    alias = f"aB{secrets.token_hex(8)}"
    create(api, alias=alias)
    for path, status in [
        (f"/{alias}", 302),
        (f"/{alias}/", 302),
        (f"/{alias}/?utm_source=x", 302),
        (f"/%61{alias[1:]}", 302),
        (f"/{alias}//", 404),
        (f"/{alias}/x", 404),
        (f"/{alias}.", 404),
        (f"/{alias}%20", 404),
        (f"/{alias.lower()}", 404),
        (f"/{alias.upper()}", 404),
    ]:
        for method in ("GET", "HEAD"):
            assert ask(entrance, method, path, {}, b"")[0] == status, path


def test_what_a_visitor_adds_to_a_short_link_does_not_reach_the_target(
    stack: Stack, api: str
) -> None:
    target = "https://example.org/page?from=owner#part"
    code = create(api, url=target).json()["code"]
    for query in ("", "?", "?utm_source=x", "?from=visitor&next=//evil.example", "?%0d%0aX:y"):
        assert follow(stack, f"{code}{query}").headers["Location"] == target


def test_a_location_has_nothing_that_may_not_stand_in_an_address(stack: Stack, api: str) -> None:
    link = create(api, url="https://example.org/100%|^`{a}[b]?q=5%&r=ü").json()
    encoded = "https://example.org/100%25%7C%5E%60%7Ba%7D%5Bb%5D?q=5%25&r=%C3%BC"
    assert link["url"] == encoded
    assert follow(stack, link["code"]).headers["Location"] == encoded


def test_a_hundred_links_of_the_longest_kind_are_made_in_one_request(entrance: str) -> None:
    url = f"{GOOD}/".ljust(2048, "a")
    links = [
        {"url": url, "alias": secrets.token_hex(32), "expires_at": "2099-12-31T23:59:59Z"}
        for _ in range(100)
    ]
    made = requests.post(f"{entrance}/api/links/bulk", json={"links": links}, timeout=30)
    assert made.status_code == 201, made.text
    assert [link["code"] for link in made.json()["links"]] == [link["alias"] for link in links]


def test_who_comes_from_forty_ports_behind_a_proxy_is_one_visitor(stack: Stack, api: str) -> None:
    code = create(api).json()["code"]
    browser = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
    for port in range(40_000, 40_040):
        requests.get(
            f"{stack.endpoints.web['web-1']}/{code}",
            headers={"X-Forwarded-For": f"203.0.113.8:{port}", "User-Agent": browser},
            allow_redirects=False,
            timeout=10,
        )

    def stats() -> Any:
        return requests.get(f"{api}/{code}/stats", timeout=10).json()

    eventually(lambda: stats()["total"] == 40)
    assert stats()["visitors"] == 1


def test_a_disabled_link_is_gone_until_it_is_enabled(stack: Stack, api: str) -> None:
    code = create(api).json()["code"]
    for disabled, status in [(True, 410), (False, 302)]:
        requests.patch(f"{api}/{code}", json={"disabled": disabled}, timeout=10)
        assert follow(stack, code).status_code == status


def test_an_expired_link_is_gone_until_its_expiry_is_cleared(stack: Stack, api: str) -> None:
    soon = datetime.now(UTC) + timedelta(days=1)
    code = create(api, expires_at=soon.isoformat()).json()["code"]
    assert follow(stack, code).status_code == 302
    for expires_at, status in [("2001-01-01T00:00:00Z", 410), (None, 302)]:
        requests.patch(f"{api}/{code}", json={"expires_at": expires_at}, timeout=10)
        assert follow(stack, code).status_code == status


def test_a_deleted_link_is_unknown_and_its_alias_is_never_given_again(
    stack: Stack, api: str
) -> None:
    alias = secrets.token_hex(8)
    create(api, alias=alias)
    assert follow(stack, alias).status_code == 302
    assert requests.delete(f"{api}/{alias}", timeout=10).status_code == 204
    assert follow(stack, alias).status_code == 404
    assert requests.get(f"{api}/{alias}", timeout=10).status_code == 404
    assert requests.delete(f"{api}/{alias}", timeout=10).status_code == 404
    assert requests.patch(f"{api}/{alias}", json={"disabled": True}, timeout=10).status_code == 404
    assert create(api, alias=alias).status_code == 409


def test_a_code_that_was_unknown_is_known_as_soon_as_it_is_made(stack: Stack, api: str) -> None:
    alias = secrets.token_hex(8)
    assert follow(stack, alias).status_code == 404
    create(api, alias=alias)
    assert follow(stack, alias).status_code == 302


JSON = {"content-type": "application/json"}
BAD = [
    ("POST", "/api/links", JSON, b"{", 400),
    ("POST", "/api/links", JSON, b"\xff\xfe", 400),
    ("POST", "/api/links", JSON, b"[" * 10_000, 400),
    ("POST", "/api/links", JSON, b"[]", 422),
    ("POST", "/api/links", JSON, b"{}", 422),
    ("POST", "/api/links", JSON, b'{"url":"javascript:alert(1)"}', 422),
    ("POST", "/api/links", JSON, b'{"url":"https://a.example/\\r\\nX: y"}', 422),
    ("POST", "/api/links", JSON, b'{"url":"https://a.example/","alias":"a\\u0000b"}', 422),
    ("POST", "/api/links", JSON, b'{"url":"https://a.example/\\ud800"}', 422),
    ("POST", "/api/links", JSON, b"x" * 20_000, 413),
    ("POST", "/api/links", JSON, b"x" * 70_000, 413),
    ("POST", "/api/links", {}, b"{}", 415),
    ("POST", "/api/links", {"content-type": "text/plain"}, b"{}", 415),
    ("POST", "/api/links", {**JSON, "idempotency-key": "with space"}, b"{}", 422),
    ("PUT", "/api/links", JSON, b"{}", 405),
    ("DELETE", "/api/links", {}, b"", 405),
    ("GET", "/api/links?limit=0", {}, b"", 422),
    ("GET", "/api/links/bulk/x", {}, b"", 404),
    ("GET", "/docs/x", {}, b"", 404),
    ("POST", "/docs", JSON, b"{}", 405),
    ("POST", "/api/links/bulk", JSON, b'{"links":[{}]}', 422),
    ("PATCH", "/api/links/x", {**JSON, "if-match": "1"}, b"{}", 400),
    ("PUT", "/api/links/x", JSON, b"{}", 405),
    ("POST", "/api/links/x/stats", JSON, b"{}", 405),
    ("POST", "/x", JSON, b"{}", 405),
    ("GET", "/api/links/nobody", {}, b"", 404),
    ("GET", "/api/links/nobody/stats", {}, b"", 404),
    ("GET", "/api/links/%00", {}, b"", 404),
    ("GET", "/api/links/%ff%fe", {}, b"", 404),
    ("GET", "/api/links/", {}, b"", 404),
    ("GET", "/", {}, b"", 404),
    ("GET", "/no/such/page", {}, b"", 404),
    ("GET", "/nobody", {}, b"", 404),
    ("GET", "/nobody/", {}, b"", 404),
    ("GET", "/nobody.", {}, b"", 404),
    ("GET", "/50%", {}, b"", 404),
    ("TRACE", "/nobody", {}, b"", 405),
    ("GET", "/%ff", {}, b"", 404),
    ("GET", "/%e2%80%a8", {}, b"", 404),
    ("GET", "/a%0d%0aSet-Cookie:x", {}, b"", 404),
    ("GET", "/%27%3bDROP%20TABLE%20links", {}, b"", 404),
    ("GET", "/" + "a" * 65, {}, b"", 404),
]


@pytest.mark.parametrize(("method", "path", "headers", "body", "status"), BAD)
def test_bad_input_gets_a_problem_with_what_is_wrong(
    entrance: str, method: str, path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    answered, kind, text = ask(entrance, method, path, headers, body)
    odd = "%00" in path or path.endswith("%")  # nginx refuses a zero byte and a stray percent sign
    assert answered in (status, 400 if odd else status)
    assert "Traceback" not in text
    assert kind == "application/problem+json"
    assert json.loads(text)["status"] == answered
    assert json.loads(text)["detail"]


def test_what_nginx_refuses_by_itself_is_a_problem_too(stack: Stack) -> None:
    answered, kind, text = ask(stack.endpoints.url, "GET", "/" + "a" * 20_000, {}, b"")
    assert (answered, kind) == (414, "application/problem+json")
    assert json.loads(text)["status"] == 414


def ask(
    url: str, method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[int, str, str]:
    """Ask with the path as it stands: clients would tidy it up."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        return answer.status, answer.headers.get_content_type(), text
    finally:
        connection.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
def test_what_is_hardly_http_gets_a_4xx(stack: Stack, request_bytes: bytes) -> None:
    address = urlsplit(stack.endpoints.web["web-1"])
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(request_bytes)
        assert connection.recv(1000).split()[1].startswith(b"4")


def test_a_body_that_never_ends_is_cut_off_at_the_limit(stack: Stack) -> None:
    endless = (b'{"url":"' + b"a" * 4096 for _ in range(100))
    answer = requests.post(
        f"{stack.endpoints.web['web-1']}/api/links", data=endless, headers=JSON, timeout=10
    )
    assert answer.status_code == 413


def test_head_is_answered_like_get_but_is_no_click(stack: Stack, api: str) -> None:
    code = create(api).json()["code"]
    answer = requests.head(f"{stack.endpoints.url}/{code}", allow_redirects=False, timeout=10)
    assert answer.status_code == 302
    assert "X-Click-Id" not in answer.headers
