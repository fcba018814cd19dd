"""Logs and request ids of the shortener."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from chaos.model.stack import Stack
from stack.shortener.http import asgi, request_ids
from stack.shortener.http.request_ids import identified, of
from stack.shortener.infra import log
from tests.support.shortener_process import ShortenerProcess, eventually, process

MINTED = re.compile(r"[0-9a-f]{12}-[0-9a-f]{8,}")


@pytest.fixture
def as_a_process() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    log.configure("web-9")
    yield
    root.handlers, level = before
    root.setLevel(level)


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in captured.readouterr().out.splitlines()]


@pytest.mark.usefixtures("as_a_process")
def test_a_line_has_time_level_event_and_process(capsys: pytest.CaptureFixture[str]) -> None:
    log.log("cache_not_told", level="warning", code="abc", error=ValueError("x"))
    (line,) = lines(capsys)
    assert abs(datetime.fromisoformat(line.pop("time")) - datetime.now(UTC)) < timedelta(seconds=5)
    assert line == {
        "level": "warning",
        "event": "cache_not_told",
        "process": "web-9",
        "code": "abc",
        "error": "x",
    }


@pytest.mark.usefixtures("as_a_process")
def test_what_a_library_logs_becomes_a_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        logging.getLogger("asyncio").exception("a task failed")
    logging.getLogger("asyncio").info("nothing of interest")
    (line,) = lines(capsys)
    assert (line["level"], line["event"], line["logger"]) == ("error", "library", "asyncio")
    assert line["message"] == "a task failed"
    assert "ZeroDivisionError" in line["trace"]


# --- ids ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [b"a", b"7f3c2e9a-4b1d-4d0e-9c55-2f6a1b3c4d5e", b"Root=1-67891233-abcdef012345678912345678"],
)
def test_a_sane_id_is_taken_over(given: bytes) -> None:
    assert of(given) == given


@pytest.mark.parametrize(
    "given", [None, b"", b" ", b"a b", b'x"y', b"x\ny", b"\xc3\xa4", b"<b>", b"x" * 129, b"-x"]
)
def test_any_other_is_replaced_by_one_that_nobody_else_has(given: bytes | None) -> None:
    first, second = of(given), of(given)
    assert MINTED.fullmatch(first.decode())
    assert first != second


async def logs_twice(_scope: asgi.Scope, _receive: asgi.Receive, send: asgi.Send) -> None:
    log.log("first")
    await asyncio.sleep(0.01)
    log.log("second")
    await asgi.text(send, 200, b"")


def test_each_line_carries_the_id_of_its_own_request(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[bytes, bytes]] = []

    async def send(message: asgi.Message) -> None:
        told.extend(message.get("headers", ()))

    async def ask(request_id: bytes) -> None:
        scope = {"type": "http", "headers": [(request_ids.HEADER, request_id)]}
        await identified(logs_twice)(scope, None, send)  # type: ignore[arg-type]

    async def ask_both() -> None:
        await asyncio.gather(ask(b"one"), ask(b"two"))
        log.log("afterwards")

    asyncio.run(ask_both())
    *both, afterwards = lines(capsys)
    assert [(line["event"], line["request_id"]) for line in both] == [
        ("first", "one"),
        ("first", "two"),
        ("second", "one"),
        ("second", "two"),
    ]
    assert "request_id" not in afterwards
    assert [value for name, value in told if name == request_ids.HEADER] == [b"one", b"two"]


ANSWERS = [
    ("GET", "/code", 503),
    ("POST", "/code", 405),
    ("GET", "/%ff", 404),
    ("GET", "/api/links/code", 503),
    ("POST", "/api/links", 415),
    ("GET", "/no/such/page", 404),
    ("GET", "/healthz", 200),
    ("GET", "/readyz", 503),
]


def ids_sent(web: ShortenerProcess) -> None:
    for method, path, status in ANSWERS:
        for given in ("", "deploy-17", "two words"):
            headers = {"X-Request-Id": given} if given else {}
            answer = requests.request(method, web.url + path, headers=headers, timeout=10)
            assert answer.status_code == status, (method, path)
            told = answer.headers["X-Request-Id"]
            assert told == given if given == "deploy-17" else MINTED.fullmatch(told), (method, path)


def test_every_answer_names_its_request_and_so_does_the_log() -> None:
    with process("web", {"SHORTENER_NAME": "web-3"}) as web:
        eventually(web.serves)
        ids_sent(web)
        web.popen.terminate()
        said, _ = web.popen.communicate(timeout=10)
    logged = [json.loads(line) for line in said.splitlines()]
    assert {line["process"] for line in logged} == {"web-3"}
    assert all({"time", "level", "event"} <= line.keys() for line in logged)
    ours = [line for line in logged if line.get("request_id") == "deploy-17"]
    assert "database_unavailable" in {line["event"] for line in ours}


@pytest.mark.real
def test_redirects_name_their_requests_too_from_the_cache_and_from_a_database(stack: Stack) -> None:
    url = stack.endpoints.url
    made = requests.post(f"{url}/api/links", json={"url": "https://example.org/"}, timeout=5)
    assert MINTED.fullmatch(made.headers["X-Request-Id"])
    link = f"{url}/{made.json()['code']}"
    served = set()
    for given in ("", "deploy-17", "two words") * 2:
        headers = {"X-Request-Id": given} if given else {}
        answer = requests.get(link, headers=headers, allow_redirects=False, timeout=5)
        assert answer.status_code == 302
        told = answer.headers["X-Request-Id"]
        assert told == given if given == "deploy-17" else MINTED.fullmatch(told)
        served.add(answer.headers["X-Cache"])
    assert {"hit", "miss"} <= served
