"""Access checks, headers of every response, and the format of errors."""

from __future__ import annotations

import json

import pytest

from stack.shortener.api.access import HEADERS_MAX_BYTES
from stack.shortener.api.rate_limit import RateLimit
from stack.shortener.http.asgi import ADDRESS_MAX_BYTES
from stack.shortener.infra.client_address import TrustedProxies, networks
from tests.support.asgi_client import AsgiAnswer, ask
from tests.support.fake_links import FakeApi, fake_api

JSON = {"Content-Type": "application/json"}
LINK = b'{"url": "https://example.org/"}'
RIGHT = {"Authorization": "Bearer right"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def api() -> FakeApi:
    return fake_api()


@pytest.fixture
def guarded() -> FakeApi:
    return fake_api(require_api_key=True)


def problem(answer: AsgiAnswer) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == answer.status
    return str(told["detail"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/links", LINK, 201),
        ("GET", "/api/links", b"", 200),
        ("GET", "/api/links/known", b"", 200),
        ("DELETE", "/api/links/known", b"", 204),
        ("GET", "/api/links/known/qr", b"", 200),
        ("GET", "/docs", b"", 200),
        ("GET", "/openapi.json", b"", 200),
        ("GET", "/api/links/nobody", b"", 404),
        ("PUT", "/api/links", b"", 405),
        ("GET", "/elsewhere/too", b"", 404),
    ],
)
def test_every_answer_has_what_a_browser_may_do_with_it(
    api: FakeApi, method: str, path: str, body: bytes, status: int
) -> None:
    answer = ask(api.app, method, path, JSON, body)
    assert answer.status == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    if status < 400:
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/links", "GET, HEAD, POST"),
        ("/api/links/bulk", "POST"),
        ("/api/links/known", "DELETE, GET, HEAD, PATCH"),
        ("/api/links/known/qr", "GET, HEAD"),
        ("/docs", "GET, HEAD"),
    ],
)
def test_a_405_names_the_allowed_methods(api: FakeApi, path: str, allowed: str) -> None:
    answer = ask(api.app, "PUT", path)
    assert answer.status == 405
    assert answer.headers["allow"] == allowed


def test_a_browser_gets_a_page_and_a_program_a_document(api: FakeApi) -> None:
    page = ask(api.app, "GET", "/api/links/nobody", BROWSER)
    assert page.status == 404
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["vary"] == "accept"
    assert "<h1>There is no such link</h1>" in page.body.decode()
    assert "<script" not in page.body.decode()
    for accept in ("*/*", "application/json", ""):
        assert problem(ask(api.app, "GET", "/api/links/nobody", {"Accept": accept}))


def test_text_of_a_request_is_escaped_on_the_page(api: FakeApi) -> None:
    page = ask(api.app, "POST", "/api/links", JSON | BROWSER, b'{"<b>x</b>": 1}')
    assert b"<b>" not in page.body
    half = b'{"links": [{"\\ud800": 1}]}'
    for headers in (JSON, JSON | BROWSER):
        assert ask(api.app, "POST", "/api/links/bulk", headers, half).status == 422


def test_addresses_and_headers_are_bounded(api: FakeApi) -> None:
    long = "x" * (ADDRESS_MAX_BYTES // 2)
    assert ask(api.app, "GET", f"/{long}/{long}").status == 414
    assert ask(api.app, "GET", f"/api/links?{long}={long}").status == 414
    assert ask(api.app, "GET", "/docs", {"X-Long": "x" * HEADERS_MAX_BYTES}).status == 431


def test_a_body_is_bounded_in_length_form_and_time() -> None:
    api = fake_api(api_body_timeout_s=0.05).app
    compressed = JSON | {"Content-Encoding": "gzip"}
    chunk = {"type": "http.request", "body": b"{", "more_body": True}
    gone = {"type": "http.disconnect"}
    assert ask(api, "POST", "/api/links", JSON, b"x" * 20_000).status == 413
    assert ask(api, "POST", "/api/links/bulk", JSON, b"x" * 20_000).status == 400
    assert ask(api, "POST", "/api/links/bulk", JSON, b"x" * 300_000).status == 413
    assert ask(api, "POST", "/api/links", {}, LINK).status == 415
    assert ask(api, "POST", "/api/links", compressed, LINK).status == 415
    assert ask(api, "POST", "/api/links", JSON, [chunk]).status == 408
    assert ask(api, "POST", "/api/links", JSON, [chunk, gone]).status == 400
    assert ask(api, "POST", "/api/links", JSON, b'{"url": 1, "url": 2}').status == 400


def test_a_strange_host_is_not_repeated(api: FakeApi) -> None:
    for host in ("a b", 's.example"', "s.example/x", "user@s.example"):
        assert "Host" in problem(ask(api.app, "GET", "/api/links/known", {"Host": host}))


def test_the_short_url_is_where_the_request_went_as_a_trusted_proxy_forwards_it(
    api: FakeApi,
) -> None:
    def short_url(peer: str, **headers: str) -> str:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return str(ask(api.app, "GET", "/api/links/known", given, peer=peer).json()["short_url"])

    assert short_url("10.0.0.1") == "http://s.example/known"
    assert short_url("10.0.0.1", x_forwarded_proto="https") == "https://s.example/known"
    assert short_url("203.0.113.9", x_forwarded_proto="https") == "http://s.example/known"
    assert short_url("10.0.0.1", x_forwarded_proto="gopher") == "http://s.example/known"


@pytest.mark.parametrize(
    ("told", "scheme"),
    [
        ("https,http", "https"),
        ("https, http", "https"),
        (" HTTPS ,http,http", "https"),
        ("http,https", "http"),
        (",https", "http"),
        ("wss,https", "http"),
    ],
)
def test_of_several_proxies_the_first_has_the_scheme_of_the_client(
    api: FakeApi, told: str, scheme: str
) -> None:
    given = {"X-Forwarded-Proto": told}
    answer = ask(api.app, "GET", "/api/links/known", given, peer="10.0.0.1")
    assert answer.json()["short_url"] == f"{scheme}://s.example/known"


def test_only_an_alias_invalidates_the_cache(api: FakeApi) -> None:
    ask(api.app, "POST", "/api/links", JSON, LINK)
    assert api.cache.forgotten == []
    ask(api.app, "POST", "/api/links", JSON, LINK.replace(b"}", b', "alias": "mine"}'))
    assert api.cache.forgotten == [("mine", 1)]
    links = [{"url": "https://example.org/", "alias": alias} for alias in ("one", "two", None)]
    ask(api.app, "POST", "/api/links/bulk", JSON, json.dumps({"links": links}).encode())
    assert sorted(api.cache.forgotten) == [("mine", 1), ("one", 1), ("two", 1)]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic right"},
        {"Authorization": "Bearer right right"},
        {"Authorization": "right"},
    ],
)
def test_without_a_valid_key_nothing_in_the_api_answers(
    guarded: FakeApi, headers: dict[str, str]
) -> None:
    for path in ("/api/links", "/api/links/known", "/api/links/known/qr", "/api/nothing"):
        answer = ask(guarded.app, "GET", path, headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "API key" in problem(answer)


def test_with_a_valid_key_it_does_and_the_docs_need_none(guarded: FakeApi) -> None:
    assert ask(guarded.app, "GET", "/api/links/known", RIGHT).status == 200
    assert (
        ask(guarded.app, "GET", "/api/links/known", {"Authorization": "bearer  right"}).status
        == 200
    )
    assert ask(guarded.app, "GET", "/docs").status == 200
    assert ask(guarded.app, "GET", "/openapi.json").status == 200


def test_a_key_in_use_is_not_looked_up_each_time(guarded: FakeApi) -> None:
    for _ in range(5):
        ask(guarded.app, "GET", "/api/links/known", RIGHT)
    assert guarded.keys.asked == 1


def test_a_429_has_retry_after() -> None:
    api = fake_api(RateLimit(10, 2, clock=lambda: 1.0))
    first, second, third = (ask(api.app, "GET", "/api/links/known") for _ in range(3))
    assert first.headers["ratelimit-policy"] == '"api";q=2;w=1'
    assert first.headers["ratelimit"] == '"api";r=1;t=1'
    assert second.headers["ratelimit"] == '"api";r=0;t=1'
    assert third.status == 429
    assert third.headers["retry-after"] == "1"
    assert third.headers["ratelimit"] == '"api";r=0;t=1'
    assert problem(third)
    assert api.metrics.rate_limited == 1


def test_a_rejected_request_has_rate_limit_headers() -> None:
    api = fake_api(RateLimit(10, 2, clock=lambda: 1.0))
    assert ask(api.app, "GET", "/api/links/nobody").headers["ratelimit"] == '"api";r=1;t=1'


def test_each_address_and_each_key_has_a_rate_of_its_own() -> None:
    api = fake_api(RateLimit(10, 1, clock=lambda: 1.0), require_api_key=True)

    def statuses(*requests: tuple[str, dict[str, str]]) -> list[int]:
        return [
            ask(api.app, "GET", "/api/links/known", headers, peer=peer).status
            for peer, headers in requests
        ]

    assert statuses(("203.0.113.1", RIGHT), ("203.0.113.1", {})) == [200, 429]
    assert statuses(("203.0.113.2", RIGHT), ("203.0.113.3", RIGHT)) == [200, 429]
    assert statuses(("2001:db8::1", {}), ("2001:db8::2", {}), ("2001:db8:0:1::1", {})) == [
        401,
        429,
        401,
    ]


def test_guessing_keys_is_bounded_before_the_database_is_queried() -> None:
    api = fake_api(RateLimit(10, 3, clock=lambda: 1.0), require_api_key=True)
    for guess in range(10):
        ask(api.app, "GET", "/api/links/known", {"Authorization": f"Bearer {guess}"})
    assert api.keys.asked == 3


def test_many_links_in_one_request_count_as_many_requests() -> None:
    api = fake_api(RateLimit(10, 5, clock=lambda: 1.0))
    links = json.dumps({"links": [{"url": "https://example.org/"}] * 20}).encode()
    assert ask(api.app, "POST", "/api/links/bulk", JSON, links).status == 201
    answer = ask(api.app, "GET", "/api/links/known")
    assert (answer.status, answer.headers["retry-after"]) == (429, "2")


def test_a_picture_counts_as_ten() -> None:
    api = fake_api(RateLimit(10, 5, clock=lambda: 1.0))
    assert ask(api.app, "GET", "/api/links/known/qr").status == 200
    assert ask(api.app, "GET", "/api/links/known").status == 429


def test_forwarded_addresses_are_trusted_only_from_a_trusted_proxy() -> None:
    peers = TrustedProxies("127.0.0.0/8, 10.0.0.0/8,::1/128")
    assert peers.address("10.1.1.1", b"198.51.100.7") == "198.51.100.7"
    assert peers.address("10.1.1.1", b"6.6.6.6, 198.51.100.7") == "198.51.100.7"
    assert peers.address("10.1.1.1", b"") == "10.1.1.1"
    assert peers.address("203.0.113.9", b"198.51.100.7") == "203.0.113.9"
    assert peers.address("::1", b"2001:db8::5") == "2001:db8::5"
    assert peers.address("", b"198.51.100.7") == ""
    assert TrustedProxies("").address("127.0.0.1", b"198.51.100.7") == "127.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("203.0.113.8:40001", "203.0.113.8"),
        ("6.6.6.6:1, 203.0.113.8:40001", "203.0.113.8"),
        ("203.0.113.8:_port", "203.0.113.8"),
        ('"203.0.113.8:40001"', "203.0.113.8"),
        ("203.0.113.8, ", "203.0.113.8"),
        ("2001:DB8:0:0::5", "2001:db8::5"),
        ("[2001:db8::5]", "2001:db8::5"),
        ("[2001:db8::5]:40001", "2001:db8::5"),
        ('"[2001:db8::5]:40001"', "2001:db8::5"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:40001", "fe80::1"),
        ("::ffff:203.0.113.8", "203.0.113.8"),
        ("[::ffff:203.0.113.8]:40001", "203.0.113.8"),
        ("unknown", "10.1.1.1"),
        ("_hidden", "10.1.1.1"),
        ("_hidden:40001", "10.1.1.1"),
        ("203.0.113.8, unknown", "10.1.1.1"),
        ("203.0.113.999", "10.1.1.1"),
        ("[2001:db8::5", "2001:db8::5"),
        ("[", "10.1.1.1"),
        (":", "10.1.1.1"),
        (",", "10.1.1.1"),
        ("2030.0.113.8\xff", "10.1.1.1"),
    ],
)
def test_a_forwarded_address_is_the_same_in_every_notation(forwarded: str, address: str) -> None:
    assert TrustedProxies("10.0.0.0/8").address("10.1.1.1", forwarded.encode("latin-1")) == address


def test_a_proxy_is_known_by_either_notation_of_its_address() -> None:
    peers = TrustedProxies("10.0.0.0/8")
    assert peers.address("::ffff:10.1.1.1", b"198.51.100.7") == "198.51.100.7"
    assert peers.address("::ffff:11.1.1.1", b"198.51.100.7") == "::ffff:11.1.1.1"


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ("203.0.113.8:40001", "203.0.113.8:40002", "203.0.113.9:40001"),
        ("[2001:db8::5]:1", "[2001:db8::6]:2", "[2001:db8:0:1::5]:1"),
        ("::ffff:203.0.113.8", "203.0.113.8", "::ffff:203.0.113.9"),
        ("unknown", "_hidden", "203.0.113.8"),
    ],
)
def test_another_port_or_notation_shares_the_rate(one: str, same: str, other: str) -> None:
    api = fake_api(RateLimit(10, 1, clock=lambda: 1.0))

    def status(forwarded: str) -> int:
        given = {"X-Forwarded-For": forwarded}
        return ask(api.app, "GET", "/api/links/known", given, peer="10.0.0.1").status

    assert [status(one), status(same), status(other)] == [200, 429, 200]


def test_a_list_of_networks_has_networks_in_it() -> None:
    assert networks(" 10.0.0.0/8 ,::1/128,") == ("10.0.0.0/8", "::1/128")
    for wrong in ("10.0.0.1/8", "nonsense", "10.0.0.0/8;::1"):
        with pytest.raises(ValueError, match=r"\w"):
            networks(wrong)
