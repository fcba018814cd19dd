"""What a request may say: everything else is a 4xx before it reaches a database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from stack.shortener import inputs
from stack.shortener.agents import is_bot, referrer_host
from stack.shortener.problems import Problem

NOW = datetime(2030, 1, 1, tzinfo=UTC)
GOOD = "https://example.org/"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://example.org", "http://example.org"),
        ("https://example.org:8443/a/b?c=d&e=%20#f", "https://example.org:8443/a/b?c=d&e=%20#f"),
        ("HTTPS://EXAMPLE.org/", "HTTPS://EXAMPLE.org/"),
        ("https://example.org/grün?q=猫", "https://example.org/gr%C3%BCn?q=%E7%8C%AB"),
        ("http://127.0.0.1:8000/x", "http://127.0.0.1:8000/x"),
        ("http://[::1]/x", "http://[::1]/x"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
    ],
)
def test_a_web_address_is_kept_safe_for_a_header(given: str, kept: str) -> None:
    target = inputs.new_link({"url": given}, NOW).url
    assert target == kept
    assert target.isascii()


@pytest.mark.parametrize(
    "url",
    [
        "",
        None,
        7,
        ["https://example.org"],
        "example.org",
        "//example.org",
        "/relative",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://example.org/",
        "https://",
        "https:///path",
        "https://exa mple.org/",
        "https://example.org/\r\nSet-Cookie: a=b",
        "https://example.org/\x00",
        "https://example.org/\x7f",
        "https://example.org/\u2028",
        "https://example.org/\ud800",
        "https://example.org\\@evil.example/",
        "https://user:secret@example.org/",
        "https://example.org:99999/",
        "https://example.org:port/",
        "https://[::1/",
        "https://bücher.example/",
        "https://-/..",
        "https://example.org/" + "a" * 2048,
        "https://example.org/" + "ü" * 400,
    ],
)
def test_anything_else_is_no_target(url: object) -> None:
    with pytest.raises(Problem) as refused:
        inputs.new_link({"url": url}, NOW)
    assert refused.value.status == 422
    assert [where for where, _ in refused.value.wrong] == ["#/url"]


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"url": GOOD, "alias": "ab"},
        {"url": GOOD, "alias": "a" * 65},
        {"url": GOOD, "alias": "with space"},
        {"url": GOOD, "alias": "with/slash"},
        {"url": GOOD, "alias": "nul\0"},
        {"url": GOOD, "alias": "API"},
        {"url": GOOD, "alias": "healthz"},
        {"url": GOOD, "alias": 5},
        {"url": GOOD, "expires_at": "tomorrow"},
        {"url": GOOD, "expires_at": "2031-01-01T00:00:00"},
        {"url": GOOD, "expires_at": "2029-12-31T23:59:59Z"},
        {"url": GOOD, "expires_at": "9999-12-31T23:59:59-23:00"},
        {"url": GOOD, "expires_at": 1893456000},
        {"url": GOOD, "unknown": 1},
    ],
)
def test_a_wrong_create_request_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(Problem) as refused:
        inputs.new_link(members, NOW)
    assert refused.value.status == 422


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"url": None},
        {"disabled": "yes"},
        {"disabled": None},
        {"disabled": 1},
        {"expires_at": "never"},
        {"alias": "another"},
    ],
)
def test_a_wrong_change_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(Problem) as refused:
        inputs.change(members)
    assert refused.value.status == 422


def test_an_expiry_can_be_cleared_and_can_lie_in_the_past() -> None:
    cleared = inputs.change({"expires_at": None})
    assert cleared.sets_expiry
    assert cleared.expires_at is None
    assert inputs.change({"expires_at": "2001-01-01T00:00:00+01:00"}).expires_at is not None
    assert not inputs.change({"disabled": True}).sets_expiry


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff{}", 400),
        (b'{"url": NaN}', 400),
        (b"[" * 16000, 400),
        (b"9" * 16000, 400),
        (b"[]", 422),
        (b'"text"', 422),
        (b"null", 422),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes, status: int) -> None:
    with pytest.raises(Problem) as refused:
        inputs.parse(body)
    assert refused.value.status == status


@pytest.mark.parametrize("key", ["", " ", "a b", "ü", "x" * 201, "a\x00"])
def test_a_strange_idempotency_key_is_refused(key: str) -> None:
    with pytest.raises(Problem):
        inputs.idempotency_key(key)


def test_programs_are_told_from_people_by_what_they_say() -> None:
    bots = [b"", b"Googlebot/2.1", b"curl/8.1", b"facebookexternalhit/1.1", b"python-requests/2"]
    assert all(map(is_bot, bots))
    assert not is_bot(b"Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0")


@pytest.mark.parametrize(
    ("referer", "site"),
    [
        (b"https://news.example/private/path?token=1", "news.example"),
        (b"https://user:secret@News.Example:8443/", "news.example"),
        (b"", ""),
        (b"no address", ""),
        (b"https://[::1", ""),
        (b"https://\xff\xfe/", ""),
        (b"https://" + b"a" * 300 + b"/", ""),
    ],
)
def test_of_a_referer_only_the_site_is_kept(referer: bytes, site: str) -> None:
    assert referrer_host(referer) == site
