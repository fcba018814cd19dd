"""Targets: every accepted one is a web address that all clients resolve alike."""

from __future__ import annotations

import re
import string
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stack.shortener.http.problems import Problem
from stack.shortener.http.public_url import checked
from stack.shortener.http.targets import LONGEST, PATTERN, TargetRules

ANYWHERE = TargetRules()
ELSEWHERE = TargetRules(refuse_private=True, public_url="https://s.example")
LOCALHOST_IN_OTHER_WORDS = [
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0X7F.1",
    "0177.0.0.1",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "0",
    "0x",
    "256.0.0.1",
    "1.2.3.4.5",
    "01.2.3.4",
    "example.1",
    "example.0x7f",
]


def refusal(targets: TargetRules, url: object, base: str = "") -> str:
    with pytest.raises(Problem) as refused:
        targets.checked(url, base)
    assert refused.value.status == 422
    return refused.value.detail


@pytest.mark.parametrize("host", LOCALHOST_IN_OTHER_WORDS)
def test_a_number_that_clients_read_differently_is_no_host(host: str) -> None:
    assert "four decimal numbers" in refusal(ANYWHERE, f"http://{host}:80/")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.org/", "must begin with http"),
        ("https:/example.org/", "must begin with http"),
        (" https://example.org/", "must begin with http"),
        ("https://example.org/a b", "not allowed"),
        ("https://example.org/\ud800", "half a character"),
        ("https://user@example.org/", "user or password"),
        ("https://user:secret@example.org/", "user or password"),
        ("https://bücher.example/", "punycode"),
        ("https://example.org:0/", "host and port"),
        ("https://example.org:65536/", "host and port"),
        ("https://example.org:/", "host and port"),
        ("https://-a.example/", "host and port"),
        ("https://a..example/", "host and port"),
        ("https://%65xample.org/", "host and port"),
        ("https://[1::2::3]/", "host and port"),
        ("https://[fe80::1%25eth0]/", "host and port"),
        (f"https://{'a' * 64}.example/", "host and port"),
        (f"https://{'a.' * 128}example/", "host and port"),
        ("https://example.org/" + "a" * 2048, "longer than"),
        ("https://example.org/" + "ü" * 400, "when percent-encoded"),
        ("https://example.org\n", "not allowed"),
        (" https://example.org/", "not with space (U+0020)"),
        ("\n\thttp://example.org/", "not with line feed (U+000A)"),
        ("\ufeffhttps://example.org/", "not with zero width no-break space (U+FEFF)"),
        ("\u200bhttps://example.org/", "not with zero width space (U+200B)"),
        ("<https://example.org/>", "not with less-than sign (U+003C)"),
        ("“https://example.org/”", "not with left double quotation mark (U+201C)"),
        ("https://example.org/a b", "has space (U+0020) as character 22"),
        ("https://example.org/a\tb", "has tab (U+0009) as character 22"),
        ("https://example.org/\x00", "has zero byte (U+0000) as character 21"),
        ("https://example.org/\x1b", "has control character (U+001B) as character 21"),
        ("https://example.org/\xa0", "has no-break space (U+00A0) as character 21"),
        ("https://example.org/\u2028", "has line separator (U+2028) as character 21"),
        ("https://example.org\\@evil.example/", "has reverse solidus (U+005C) as character 20"),
        ('https://example.org/"', "has quotation mark (U+0022) as character 21"),
        ("https://example.org/\ud800", "half a character (U+D800)"),
    ],
)
def test_what_is_wrong_with_a_target_is_said(url: str, why: str) -> None:
    assert why in refusal(ANYWHERE, url)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[::7f00:1]",
        "[::ffff:7f00:1]",
        "[::FFFF:a9fe:a9fe]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[fc00::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
        "localhost",
        "LOCALHOST.",
        "any.localhost",
        "intranet",
        "db7",
        "printer.local",
        "metadata.google.internal",
        "nas.home.arpa",
    ],
)
def test_private_places_can_be_refused(host: str) -> None:
    assert ANYWHERE.checked(f"http://{host}/x") == f"http://{host}/x"
    assert "private" in refusal(ELSEWHERE, f"http://{host}/x")


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "[2606:4700::1111]", "[2002:808:808::]", "example.org", "a.b1.example"]
)
def test_public_places_are_never_refused(host: str) -> None:
    assert ELSEWHERE.checked(f"http://{host}/") == f"http://{host}/"


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://s.example/abc", "http://10.0.0.7:8000"),
        ("http://S.EXAMPLE./abc", ""),
        ("https://s.example:80/abc", ""),
        ("http://other.example:8000/abc", "http://other.example:8000"),
        ("https://other.example/abc", "http://other.example"),
        ("http://[::1]:8000/abc", "http://[::1]:8000"),
        ("http://[0:0::0:1]:8000/abc", "http://[::1]:8000"),
        ("http://[::ffff:7f00:1]/abc", "http://127.0.0.1"),
    ],
)
def test_a_link_to_ourselves_would_lead_in_a_circle(url: str, base: str) -> None:
    targets = TargetRules(public_url="https://s.example")
    assert "leads back here" in refusal(targets, url, base)


@pytest.mark.parametrize(
    "target",
    [
        "https://example.com/s",
        "https://example.com/s/",
        "https://example.com/s/abc?q#f",
        "http://EXAMPLE.com.:80/s/abc",
        "https://example.com//s//abc",
        "https://example.com/%73/abc",
        "https://example.com/s%2Fabc",
        "https://example.com/blog/../s/abc",
        "https://example.com/./s/abc",
        "https://example.com/%2e/s",
    ],
)
def test_of_a_host_that_we_share_only_our_path_leads_back(target: str) -> None:
    targets = TargetRules(public_url="https://example.com/s")
    for base in ("", "https://example.com", "http://10.0.0.7:8000"):
        assert "leads back here" in refusal(targets, target, base)


@pytest.mark.parametrize(
    "target",
    [
        "https://example.com",
        "https://example.com/",
        "https://example.com/blog",
        "https://example.com/sale",
        "https://example.com/blog/s/abc",
        "https://example.com/s/../blog",
        "https://example.com/?s/abc",
        "https://example.com#/s/abc",
        "https://example.com:8443/s/abc",
        "https://www.example.com/s/abc",
    ],
)
def test_of_a_host_that_we_share_the_rest_is_not_ours(target: str) -> None:
    targets = TargetRules(public_url="https://example.com/s")
    for base in ("", "https://example.com", "http://10.0.0.7:8000"):
        assert targets.checked(target, base) == target


def test_where_the_request_went_is_ours_wholly_unless_it_is_the_host_that_we_share() -> None:
    targets = TargetRules(public_url="https://example.com/s")
    assert "leads back" in refusal(targets, "http://10.0.0.7:8000/x", "http://10.0.0.7:8000")


@pytest.mark.parametrize("public_url", ["https://bücher.example", "https://xn--bcher-kva.example"])
@pytest.mark.parametrize(
    "target",
    [
        "https://xn--bcher-kva.example/abc",
        "https://XN--BCHER-KVA.Example./abc",
        "http://xn--bcher-kva.example:443/abc",
    ],
)
def test_a_host_of_ours_in_another_script_is_recognised(public_url: str, target: str) -> None:
    assert "leads back" in refusal(TargetRules(public_url=checked(public_url)), target)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://a.example/x|y^z", "https://a.example/x%7Cy%5Ez"),
        ("https://a.example/?q={x}`y`[z]", "https://a.example/?q=%7Bx%7D%60y%60%5Bz%5D"),
        ("https://a.example/100%", "https://a.example/100%25"),
        ("https://a.example/100%?a=5%&b=%zz%2", "https://a.example/100%25?a=5%25&b=%25zz%252"),
        ("https://a.example/%41%2f%E4", "https://a.example/%41%2f%E4"),
        ("https://a.example/%%41", "https://a.example/%25%41"),
        ("https://a.example/grün?a|b#ü", "https://a.example/gr%C3%BCn?a%7Cb#%C3%BC"),
        ("https://a.example#/f[0]=50%|{x}^#`", "https://a.example#/f[0]=50%|{x}^#`"),
        ("https://a.example?a|b", "https://a.example?a%7Cb"),
        ("http://[::1]:80/[x]", "http://[::1]:80/%5Bx%5D"),
        ("https://a.example/~a!$&'()*+,;=:@/?/?", "https://a.example/~a!$&'()*+,;=:@/?/?"),
    ],
)
def test_what_may_not_stand_in_an_address_is_percent_encoded(given: str, kept: str) -> None:
    assert ANYWHERE.checked(given) == kept
    assert ANYWHERE.checked(kept) == kept


@pytest.mark.parametrize("host", ["a-.example", "r3---sn-4g5e-.example.org", "a.b_-.example"])
def test_a_name_may_have_labels_that_end_in_a_hyphen(host: str) -> None:
    assert ANYWHERE.checked(f"https://{host}/") == f"https://{host}/"


@pytest.mark.parametrize("host", ["-a.example", "-.example", "a.example-", "a.-b.example"])
def test_no_label_begins_with_a_hyphen_and_the_last_does_not_end_in_one(host: str) -> None:
    assert "host and port" in refusal(ANYWHERE, f"https://{host}/")


def test_another_port_of_our_host_is_another_service() -> None:
    targets = TargetRules(public_url="https://s.example")
    assert targets.checked("https://s.example:8443/", "http://s.example")


HOSTILE = st.text(
    st.one_of(
        st.sampled_from(list('htps:/\\@?#[].%&=-_01239xXfa \t\r\n\0\x7f"<>')),
        st.characters(),
    ),
    max_size=80,
)
SPLICED = st.builds(
    "{}://{}{}{}{}".format,
    st.sampled_from(["http", "https", "HTTP", "javascript", "http:", "ｈttp"]),
    st.one_of(HOSTILE, st.sampled_from([*LOCALHOST_IN_OTHER_WORDS, "example.org", "[::1]"])),
    st.sampled_from(["", ":80", ":0", ":99999", "@evil.example", "\\@evil.example", "%00", "。"]),
    st.sampled_from(["", "/", "?", "#", "\\", "/\r\nSet-Cookie: a=b"]),
    HOSTILE,
)


@settings(max_examples=1_500, deadline=None)
@given(st.one_of(HOSTILE, SPLICED, st.from_regex(PATTERN)))
@example("https://example.org/\u2028")
@example("http://１２７.0.0.1/")
def test_whatever_is_accepted_is_safe_and_whatever_the_pattern_has_is_accepted(url: str) -> None:
    target = accepted(url)
    fits = re.fullmatch(PATTERN[1:-1], url) is not None
    assert (target is not None) == (fits and encodes(url))
    if target is None:
        return
    assert target.isascii()
    assert target.isprintable()
    assert not set(target) & set(' "<>\\')
    parts = urlsplit(target)
    assert parts.scheme in ("http", "https")
    assert "@" not in parts.netloc
    assert parts.hostname
    assert parts.port is None or 0 < parts.port < 65_536
    if not parts.hostname.rstrip(".").rpartition(".")[2][0].isalpha():
        ip_address(parts.hostname)


def accepted(url: str) -> str | None:
    try:
        return ANYWHERE.checked(url)
    except Problem as problem:
        if problem.status != 422:
            raise
        return None


def encodes(url: str) -> bool:
    """True without lone surrogates and short enough for a header."""
    try:
        return len(quote(url, safe=string.printable)) <= LONGEST
    except UnicodeEncodeError:
        return False
