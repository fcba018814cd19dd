"""PUBLIC_URL: validated at start, and the same in every notation."""

from __future__ import annotations

import pytest

from stack.shortener.http.public_url import checked
from stack.shortener.settings import WebSettings, read
from tests.support.asgi_client import ask
from tests.support.fake_links import ADDRESSES, fake_api

JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def _addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ADDRESSES.items():
        monkeypatch.setenv(f"SHORTENER_{name.upper()}", value)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://s.example", "https://s.example"),
        ("https://s.example/", "https://s.example"),
        ("HTTPS://S.Example", "https://s.example"),
        ("https://s.example:443/", "https://s.example"),
        ("http://s.example:80", "http://s.example"),
        ("https://s.example:80", "https://s.example:80"),
        ("https://s.example:8443/S/", "https://s.example:8443/S"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://[2001:DB8::1]:8000/s", "http://[2001:db8::1]:8000/s"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://BÜCHER.example.", "https://xn--bcher-kva.example."),
        ("https://faß.example", "https://xn--fa-hia.example"),
        ("https://例え。テスト/s", "https://xn--r8jz45g.xn--zckzah/s"),
        ("https://XN--BCHER-KVA.example", "https://xn--bcher-kva.example"),
        ("https://s.example/kürz", "https://s.example/k%C3%BCrz"),
    ],
)
def test_it_is_the_same_in_every_notation(given: str, kept: str) -> None:
    assert checked(given) == kept
    assert checked(kept) == kept


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("https://short.example:99999", "the port '99999' is not a number from 1 to 65535"),
        ("https://short.example:0", "the port '0'"),
        ("https://short.example:", "the port ''"),
        ("https://short.example:https", "the port 'https'"),
        ("https://short.example:+80", "the port '+80'"),
        ("https://short.example:٨٠", "the port '٨٠'"),
        ("short.example", "it must be http:// or https://"),
        ("ftp://short.example", "it must be http:// or https://"),
        ("https://user:secret@short.example", "it must be http:// or https://"),
        ("https://short.example/?code=", "it must be http:// or https://"),
        ("https://short.example/#", "it must be http:// or https://"),
        (" https://short.example", "it must be http:// or https://"),
        ("https://short.example/a b", "it must be http:// or https://"),
        ("https://", "'' is no valid host"),
        ("https:///s", "'' is no valid host"),
        ("https://a..example", "'a..example' is no valid host"),
        ("https://-a.example", "'-a.example' is no valid host"),
        ("https://-ü.example", "'-ü.example' is no valid host: Label must not"),
        ("https://127.1", "'127.1' is no valid host"),
        ("https://[::1", "it must be http:// or https://"),
        ("https://[::g]", "'[::g]' is no valid host"),
        ("https://short.example\n", "it must be http:// or https://"),
    ],
)
def test_a_wrong_one_is_refused_at_start_in_words(
    given: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHORTENER_PUBLIC_URL", given)
    with pytest.raises(SystemExit) as ended:
        read(WebSettings)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert f"SHORTENER_PUBLIC_URL={given!r}: {said}" in told
    assert "start of every short link" in told


@pytest.mark.parametrize("port", ["99999", "0"])
def test_a_port_to_listen_on_is_checked_at_start_too(
    port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHORTENER_LISTEN", f"127.0.0.1:{port}")
    with pytest.raises(SystemExit) as ended:
        read(WebSettings)
    assert ended.value.code == 2
    assert f"the port {port!r} is not a number from 1 to 65535" in capsys.readouterr().err


def test_short_links_and_pages_begin_with_it() -> None:
    api = fake_api(public_url="https://Bücher.example/s/").app
    link = b'{"url": "https://xn--bcher-kva.example/blog"}'
    made = ask(api, "POST", "/api/links", JSON, link)
    assert made.json()["short_url"] == "https://xn--bcher-kva.example/s/made"
    assert "/s/docs" in ask(api, "GET", "/").json()["detail"]
    back = ask(api, "POST", "/api/links", JSON, link.replace(b"/blog", b"/s/blog"))
    assert "leads back here" in back.json()["detail"]
