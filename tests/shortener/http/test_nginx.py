"""nginx in front of a web process without databases: routing, limits and error messages."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import pytest
import requests
from annotated_types import Le

from chaos.runtimes.embedded import binaries
from chaos.runtimes.embedded.part_commands import nginx_globals
from stack.shortener.http.asgi import ADDRESS_MAX_BYTES
from stack.shortener.http.fast_path import HEAD_MAX_BYTES
from stack.shortener.settings import WebSettings
from tests.support.shortener_process import eventually, process

CONF = Path(__file__).parents[3] / "stack" / "nginx" / "nginx.conf"
HEAD = b"Host: s.example\r\nConnection: close\r\n"
END = HEAD + b"\r\n"
JSON = {"Content-Type": "application/json"}
FIELDS = WebSettings.model_fields


@dataclass(frozen=True)
class Answered:
    """A whole answer, as it came from the socket."""

    status: int
    headers: dict[str, str]
    body: bytes

    def detail(self) -> str:
        """The detail of the problem document, which any error must be."""
        assert self.headers["content-type"] == "application/problem+json", self.body
        told = json.loads(self.body)
        assert set(told) >= {"type", "title", "status", "detail"}
        assert told["status"] == self.status
        assert told["title"]
        return str(told["detail"])


@dataclass(frozen=True)
class Entrance:
    """An address that requests are sent to."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, request: bytes) -> Answered:
        """The answer to these very bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request)
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        line, *headers = head.decode("latin-1").split("\r\n")
        pairs = (header.split(": ", 1) for header in headers)
        return Answered(int(line.split()[1]), {name.lower(): value for name, value in pairs}, body)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def web() -> Iterator[Entrance]:
    with process("web", {"SHORTENER_API_RATE_PER_S": "0"}) as started:
        eventually(started.serves)
        yield Entrance(int(started.url.rpartition(":")[2]), Path())


def nginx_before(address: str, folder: Path) -> Iterator[Entrance]:
    port = free_port()
    conf = Template(CONF.read_text(encoding="utf-8")).safe_substitute(
        LISTEN=f"127.0.0.1:{port}", WEB_1=address, WEB_2=address
    )
    (folder / "nginx.conf").write_text(conf)
    log = folder / "log"
    command = [str(binaries.nginx()), "-p", str(folder), "-c", "nginx.conf", "-g", nginx_globals()]
    with log.open("wb") as told, subprocess.Popen(command, stderr=told) as popen:
        try:
            entrance = Entrance(port, log)
            eventually(lambda: listens(port))
            yield entrance
        finally:
            popen.terminate()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def nginx(web: Entrance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entrance]:
    yield from nginx_before(f"127.0.0.1:{web.port}", tmp_path_factory.mktemp("nginx"))


@pytest.fixture(params=["nginx", "web"])
def entrance(request: pytest.FixtureRequest) -> Entrance:
    found: Entrance = request.getfixturevalue(request.param)
    return found


# --- errors of nginx's own ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /50% HTTP/1.1", 400),
        (b"GET /a%zzb HTTP/1.1", 400),
        (b"GET /%00 HTTP/1.1", 400),
        (b"GET /../a HTTP/1.1", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"get /a HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET http://[ HTTP/1.1", 400),
        (b"nonsense", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET /a HTTP/1.1\r\nHo st: x", 400),
        (b"GET /a HTTP/1.1\r\nHost: t.example", 400),
        (b"GET /a HTTP/1.1\r\nContent-Length: x", 400),
        (b"POST /api/links HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", 400),
        (b"TRACE /abc HTTP/1.1", 405),
        (b"CONNECT s.example:443 HTTP/1.1", 405),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1", 414),
        (b"GET /a HTTP/1.1\r\nCookie: " + b"x" * 40_000, 431),
        (b"POST /api/links HTTP/1.1\r\nTransfer-Encoding: gzip", 501),
        (b"GET /abc HTTP/3.0", 505),
        (b"GET /abc HTTP/2.0", 505),
    ],
)
def test_what_nginx_refuses_is_a_problem_with_what_is_wrong(
    nginx: Entrance, request_line: bytes, status: int
) -> None:
    answer = nginx.ask(request_line + b"\r\n" + END)
    assert answer.status == status
    assert answer.detail()
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("request_line", "status", "said"),
    [
        (b"GET /abc?q=\xc3\xbc HTTP/1.1", 400, "percent-encoded"),
        (b"GET /gr\xc3\xbcn HTTP/1.1", 400, "percent-encoded"),
        (b"GET /abc#\xff HTTP/1.1", 400, "percent-encoded"),
        (b"GET / HTTP/1.1", 404, "/docs"),
        (b"GET /api/nothing HTTP/1.1", 404, "/docs"),
        (b"GET /docs/ HTTP/1.1", 404, "/docs"),
        (b"GET /abc. HTTP/1.1", 404, "a code is 1 to 64 of A-Z a-z 0-9 _ -"),
        (b"GET /abc// HTTP/1.1", 404, "nothing here"),
        (b"GET /" + b"a" * 8_200 + b" HTTP/1.1", 414, "8192 bytes"),
        (b"GET /abc?" + b"a" * 8_200 + b" HTTP/1.1", 414, "8192 bytes"),
        (b"GET /docs HTTP/1.1\r\nCookie: " + b"x" * 20_000, 431, "16384 bytes"),
        (b"PUT /abc HTTP/1.1", 405, "PUT is not allowed on short links"),
    ],
)
def test_what_a_web_process_refuses_reads_the_same_through_nginx(
    entrance: Entrance, request_line: bytes, status: int, said: str
) -> None:
    answer = entrance.ask(request_line + b"\r\n" + END)
    assert answer.status == status
    assert said in answer.detail()


@pytest.mark.parametrize("request_line", [b"GET /abc HTTP/3.0", b"PRI * HTTP/2.0\r\n\r\nSM\r\n"])
def test_another_version_of_http_is_told_from_nonsense(web: Entrance, request_line: bytes) -> None:
    answer = web.ask(request_line + b"\r\n" + END)
    assert answer.status == 505
    assert "HTTP/1.1" in answer.detail()


@pytest.mark.parametrize("name", ["malformed", "too-long", "problem", "nothing"])
def test_pages_of_errors_are_no_addresses(nginx: Entrance, name: str) -> None:
    answer = nginx.ask(b"GET /-/%b HTTP/1.1\r\n" % name.encode() + END)
    assert answer.status == 404
    assert "there is nothing here" in answer.detail()


@pytest.mark.parametrize("path", ["/metrics", "//metrics", "/x/../metrics", "/%6detrics"])
def test_metrics_are_not_for_users_however_they_are_spelt(nginx: Entrance, path: str) -> None:
    answer = nginx.ask(b"GET %b HTTP/1.1\r\n" % path.encode() + END)
    assert (answer.status, answer.detail()) == (404, "there is nothing here")


def test_a_web_process_that_is_away_is_a_problem_with_retry_after(tmp_path: Path) -> None:
    for nginx in nginx_before(f"127.0.0.1:{free_port()}", tmp_path):
        answer = nginx.ask(b"GET /abc HTTP/1.1\r\n" + END)
        assert (answer.status, answer.headers["retry-after"]) == (502, "1")
        assert "cannot be reached" in answer.detail()


# --- limits ------------------------------------------------------------------------------------


def nginx_bytes(directive: str, location: str = "") -> int:
    """A size in nginx's configuration: in a location, or for all of them."""
    text = CONF.read_text(encoding="utf-8")
    if location:
        text = text[text.index(f"location {location} {{") :]
    found = re.search(rf"^\s*{directive}\s(?:.*\s)?(\d+)([km])\b", text, re.MULTILINE)
    assert found is not None, f"{directive} is not there"
    return int(found[1]) * {"k": 1024, "m": 1024**2}[found[2]]


def most(setting: str) -> int:
    (bound,) = [each.le for each in FIELDS[setting].metadata if isinstance(each, Le)]
    assert isinstance(bound, int)
    return bound


def test_nginx_lets_through_what_any_setting_may_allow() -> None:
    bulk = "= /api/links/bulk"
    assert nginx_bytes("client_max_body_size") >= most("api_body_max_bytes")
    assert nginx_bytes("client_max_body_size", bulk) >= most("bulk_body_max_bytes")
    assert nginx_bytes("client_body_buffer_size", bulk) >= FIELDS["bulk_body_max_bytes"].default
    assert nginx_bytes("large_client_header_buffers") >= max(HEAD_MAX_BYTES, ADDRESS_MAX_BYTES)


def links(count: int, target: int = 2048) -> bytes:
    """A bulk request of links that are as long as links can be."""
    url = "https://example.org/".ljust(target, "a")
    many = [
        {"url": url, "alias": f"{number:064}", "expires_at": "2099-12-31T23:59:59Z"}
        for number in range(count)
    ]
    return json.dumps({"links": many}).encode()


def post(entrance: Entrance, path: str, body: bytes) -> Any:
    return requests.post(f"{entrance.url}{path}", body, headers=JSON, timeout=20)


def test_as_many_links_as_the_settings_promise_get_as_far_as_the_database(
    entrance: Entrance,
) -> None:
    body = links(FIELDS["bulk_max_links"].default)
    assert 200_000 < len(body) <= FIELDS["bulk_body_max_bytes"].default
    answer = post(entrance, "/api/links/bulk", body)
    assert (answer.status_code, answer.json()["detail"]) == (
        503,
        "the database is unavailable",
    )


@pytest.mark.parametrize(
    ("path", "setting"),
    [("/api/links", "api_body_max_bytes"), ("/api/links/bulk", "bulk_body_max_bytes")],
)
def test_a_body_is_cut_off_at_the_setting_and_not_before(
    entrance: Entrance, path: str, setting: str
) -> None:
    longest = FIELDS[setting].default
    fits, too_long, far_too_long = (b" " * size for size in (longest, longest + 1, 900_000))
    assert post(entrance, path, fits).status_code == 400
    for _ in range(5):
        for body in (too_long, far_too_long):
            answer = post(entrance, path, body)
            assert (answer.status_code, answer.json()["detail"]) == (
                413,
                f"the body is longer than {longest} bytes",
            )


def test_a_body_longer_than_any_setting_allows_is_refused_by_nginx(nginx: Entrance) -> None:
    size = most("api_body_max_bytes") + 1
    request = b"POST /api/links HTTP/1.1\r\nContent-Length: %d\r\n" % size + END
    answer = nginx.ask(request)
    assert answer.status == 413
    assert "body is longer" in answer.detail()


def test_a_bulk_request_of_the_usual_size_is_nothing_to_log(nginx: Entrance) -> None:
    before = nginx.log.read_text()
    post(nginx, "/api/links/bulk", links(FIELDS["bulk_max_links"].default))
    assert nginx.log.read_text() == before


@pytest.mark.parametrize("cookie", [8_200, 16_000])
def test_one_long_cookie_is_taken_as_far_as_all_headers_together(
    entrance: Entrance, cookie: int
) -> None:
    request = b"GET /docs HTTP/1.1\r\nCookie: " + b"x" * cookie + b"\r\n" + END
    assert entrance.ask(request).status == 200
