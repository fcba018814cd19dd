"""Validation of requests: everything invalid is a 4xx before any query."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from stack.shortener.api import bodies, validation
from stack.shortener.clicks.user_agents import is_bot, referrer_host
from stack.shortener.http.problems import Problem

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
    target = bodies.new_link({"url": given}, NOW).url
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
        bodies.new_link({"url": url}, NOW)
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
        bodies.new_link(members, NOW)
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
        bodies.change(members)
    assert refused.value.status == 422


def test_an_expiry_can_be_cleared_and_can_lie_in_the_past() -> None:
    cleared = bodies.change({"expires_at": None})
    assert cleared.sets_expiry
    assert cleared.expires_at is None
    assert bodies.change({"expires_at": "2001-01-01T00:00:00+01:00"}).expires_at is not None
    assert not bodies.change({"disabled": True}).sets_expiry


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
        bodies.parse(body)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"{", "property name enclosed in double quotes, at line 1, column 2"),
        (b'{"url": "a",}', "at line 1, column 1"),
        (b'{\n"url" "a"}', "expecting ':' delimiter, at line 2, column 7"),
        (b"{'url': 1}", "double quotes, at line 1, column 2"),
        (b'{"url": "a"} x', "extra data, at line 1, column 14"),
        (b'{"url": "a\nb"}', "invalid control character at, at line 1, column 11"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"url": NaN}', "NaN"),
        (b'{"url": -Infinity}', "-Infinity"),
        (b"[" * 16_000, "nested too deeply"),
        (b"9" * 16_000, "4300 digits"),
        (b'{"url": "\xff"}', "not UTF-8: see its byte 10"),
        (b"\xff\xfe{\0}\0", "not UTF-8: see its byte 1"),
        (b'{"url": 1, "url": 2}', 'member "url" twice'),
        (b'{"links": [{"a": 1, "b": 2, "b": 3}]}', 'member "b" twice'),
    ],
)
def test_why_a_body_is_no_json_is_said_and_where(body: bytes, said: str) -> None:
    with pytest.raises(Problem) as refused:
        bodies.parse(body)
    assert refused.value.status == 400
    assert said in refused.value.detail


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"url": GOOD, "slug": "abc"}, 'there is no member "slug", but alias, expires_at, '),
        ({"ulr": GOOD}, "did you mean url?"),
        ({"url": GOOD, "maxClicks": 1}, "did you mean max_clicks?"),
        ({"url": GOOD, "\ud800\n": 1}, r'no member "\ud800\n"'),
        ({"url": GOOD, "x" * 5_000: 1}, "x" * 60 + r"\u2026"),
        ({"url": GOOD, "alias": "my link"}, "it has space (U+0020) as character 3"),
        ({"url": GOOD, "alias": "grün"}, "with diaeresis (U+00FC) as character 3"),
        ({"url": GOOD, "alias": "abc/"}, "it has solidus (U+002F) as character 4"),
        ({"url": GOOD, "alias": "ab"}, "it has 2 of them"),
        ({"url": GOOD, "alias": "a" * 65}, "it has 65 of them"),
    ],
)
def test_what_is_unwanted_is_named_and_placed(members: dict[str, Any], said: str) -> None:
    with pytest.raises(Problem) as refused:
        bodies.new_link(members, NOW)
    assert said in refused.value.detail
    assert len(refused.value.detail) < 250


def test_every_invalid_member_is_pointed_at() -> None:
    with pytest.raises(Problem) as refused:
        bodies.new_link({"alias": "ab", "max_clicks": True}, NOW)
    places = [where for where, _ in refused.value.wrong]
    assert places == ["#/url", "#/alias", "#/max_clicks"]
    assert refused.value.detail == "url is missing"


@pytest.mark.parametrize("name", ["a/b", "~", "", "\ud800"])
def test_an_unknown_member_is_pointed_at_whatever_its_name(name: str) -> None:
    with pytest.raises(Problem) as refused:
        bodies.new_links({"links": [{"url": GOOD}, {"url": GOOD, name: 1}]}, NOW, 2)
    pointer = "#/links/1/" + name.replace("~", "~0").replace("/", "~1")
    assert [where for where, _ in refused.value.wrong] == [pointer]


@pytest.mark.parametrize("count", [0, 3])
def test_the_limit_of_a_bulk_request_is_exact(count: int) -> None:
    bodies.new_links({"links": [{"url": GOOD}] * 2}, NOW, 2)
    with pytest.raises(Problem, match="links must be a list of 1 to 2 links") as refused:
        bodies.new_links({"links": [{"url": GOOD}] * count}, NOW, 2)
    assert [where for where, _ in refused.value.wrong] == ["#/links"]


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        (1, True),
        (bodies.CLICKS_MAX, True),
        (5.0, True),
        (None, True),
        (0, False),
        (bodies.CLICKS_MAX + 1, False),
        (1.5, False),
        (True, False),
        ("5", False),
        (1e308, False),
        (10**400, False),
    ],
)
def test_max_clicks_is_a_whole_number_within_its_limits(given: object, accepted: bool) -> None:
    if accepted:
        assert bodies.new_link({"url": GOOD, "max_clicks": given}, NOW).max_clicks == given
    else:
        with pytest.raises(Problem, match="max_clicks must be a whole number from 1 to"):
            bodies.new_link({"url": GOOD, "max_clicks": given}, NOW)


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(Problem, match=r'there is no parameter "limt", .* did you mean limit'):
        validation.page([("limt", "3")])


@pytest.mark.parametrize(
    ("key", "said"),
    [("a b", "space (U+0020) as character 2"), ("", "0 of them"), ("x" * 201, "201 of them")],
)
def test_what_is_wrong_with_an_idempotency_key_is_said(key: str, said: str) -> None:
    with pytest.raises(Problem) as refused:
        validation.idempotency_key(key)
    assert said in refused.value.detail


@pytest.mark.parametrize("key", ["", " ", "a b", "ü", "x" * 201, "a\x00"])
def test_a_strange_idempotency_key_is_refused(key: str) -> None:
    with pytest.raises(Problem):
        validation.idempotency_key(key)


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
