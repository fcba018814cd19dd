"""Metrics of web and worker, without the servers that they use."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import threading
import time
import tomllib
from typing import Any
from unittest.mock import MagicMock

import pytest
import requests

from stack.shortener import __version__
from stack.shortener.http import asgi
from stack.shortener.http.request_metrics import counted
from stack.shortener.infra.metrics import Metrics
from stack.shortener.redirect.fills import FILLS
from stack.shortener.settings import WebSettings, WorkerSettings
from tests.support.shortener_process import ROOT, Samples, eventually, process, scraped, value

ROUTES = ("redirect", "create", "read", "change", "delete", "stats", "other")
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
GOOD: dict[str, Any] = {"json": {"url": "https://example.org/"}}


def answered(samples: Samples) -> dict[tuple[str, str], float]:
    """The requests that were answered, by route and class, where there are any."""
    counts = {
        (route, status): value(samples, "shortener_requests_total", route=route, status=status)
        for route in ROUTES
        for status in CLASSES
    }
    return {key: count for key, count in counts.items() if count}


def test_every_series_is_there_from_the_start_at_zero() -> None:
    with process("web") as web:
        eventually(web.serves)
        samples = scraped(web.url)
    assert answered(samples) == {}
    for route in ROUTES:
        assert value(samples, "shortener_request_seconds_count", route=route) == 0
    assert value(samples, "shortener_requests_in_flight") == 0
    for db in ("replica", "primary"):
        assert value(samples, "shortener_pool_wait_seconds_count", db=db) == 0
        for state in ("idle", "used"):
            assert value(samples, "shortener_pool_connections", db=db, state=state) == 0


REQUESTS = [
    ("redirect", "5xx", "GET", "/code", {}),
    ("redirect", "4xx", "POST", "/code", {}),
    ("redirect", "4xx", "GET", "/%ff", {}),
    ("create", "5xx", "POST", "/api/links", GOOD),
    ("create", "4xx", "POST", "/api/links", {"json": {}}),
    ("create", "4xx", "POST", "/api/links", {"data": b"x"}),
    ("read", "5xx", "GET", "/api/links/code", {}),
    ("read", "5xx", "HEAD", "/api/links/code", {}),
    ("read", "4xx", "GET", "/api/links/%00", {}),
    ("change", "5xx", "PATCH", "/api/links/code", {"json": {"disabled": True}}),
    ("change", "4xx", "PATCH", "/api/links/code", {"json": []}),
    ("delete", "5xx", "DELETE", "/api/links/code", {}),
    ("stats", "5xx", "GET", "/api/links/code/stats", {}),
    ("other", "4xx", "PUT", "/api/links", {}),
    ("other", "4xx", "PUT", "/api/links/code", {}),
    ("other", "4xx", "GET", "/no/such/page", {}),
    ("other", "4xx", "GET", "/", {}),
]


def test_errors_are_counted_by_route_and_class_as_they_are_answered() -> None:
    expected: dict[tuple[str, str], float] = {}
    with process("web") as web:
        eventually(web.serves)
        for route, status, method, path, content in REQUESTS:
            answer = requests.request(method, web.url + path, timeout=10, **content)
            assert f"{answer.status_code // 100}xx" == status, (method, path)
            expected[route, status] = expected.get((route, status), 0) + 1
        samples = scraped(web.url)
    assert answered(samples) == expected
    for route in ROUTES:
        timed = value(samples, "shortener_request_seconds_count", route=route)
        assert timed == sum(expected.get((route, status), 0) for status in CLASSES)
    assert value(samples, "shortener_redirect_seconds_count") == 3
    assert value(samples, "shortener_redirects_total", outcome="error") == 2
    assert value(samples, "shortener_requests_in_flight") == 0


def test_probes_and_scrapes_are_no_requests() -> None:
    with process("web") as web:
        eventually(web.serves)
        for path in ("/healthz", "/readyz", "/metrics"):
            requests.get(web.url + path, timeout=5)
        samples = scraped(web.url)
    assert answered(samples) == {}
    assert value(samples, "shortener_requests_in_flight") == 0


def test_a_redirect_that_waits_is_in_flight_and_its_wait_is_timed() -> None:
    with process("web", {"SHORTENER_CACHE_TIMEOUT_S": "2"}, silent=True) as web:
        eventually(web.serves)
        asking = threading.Thread(target=lambda: requests.get(f"{web.url}/code", timeout=10))
        asking.start()
        eventually(lambda: value(scraped(web.url), "shortener_requests_in_flight") == 1, within_s=2)
        asking.join()
        samples = scraped(web.url)
    assert value(samples, "shortener_requests_in_flight") == 0
    assert 1.9 < value(samples, "shortener_request_seconds_sum", route="redirect") < 4


def run(app: asgi.App) -> Metrics:
    """One request to this app, without `guarded`."""
    metrics = Metrics()

    async def send(_message: asgi.Message) -> None:
        assert metrics.requests_in_flight == 1

    async def receive() -> asgi.Message:
        return {"type": "http.request"}

    async def ask() -> None:
        with contextlib.suppress(ZeroDivisionError):
            await counted(app, metrics)({"type": "http"}, receive, send)

    asyncio.run(ask())
    assert metrics.requests_in_flight == 0
    return metrics


async def raises_at_once(_scope: asgi.Scope, _receive: asgi.Receive, _send: asgi.Send) -> None:
    raise ZeroDivisionError


async def raises_midway(_scope: asgi.Scope, _receive: asgi.Receive, send: asgi.Send) -> None:
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise ZeroDivisionError


async def answers(_scope: asgi.Scope, _receive: asgi.Receive, send: asgi.Send) -> None:
    await asgi.text(send, 204, b"")


@pytest.mark.parametrize(
    ("app", "status"), [(raises_at_once, "5xx"), (raises_midway, "5xx"), (answers, "2xx")]
)
def test_a_handler_that_raises_is_counted_as_5xx(app: asgi.App, status: str) -> None:
    statuses = run(app).api_statuses["other"]
    assert {name for name, count in statuses.items() if count} == {status}


def test_it_has_its_version_and_fill() -> None:
    with process("web", {"SHORTENER_CACHE_FILL": "lease"}) as web, process("worker") as worker:
        eventually(web.serves)
        eventually(worker.serves)
        for url, fill in [(web.url, "lease"), (worker.url, "")]:
            ((name, labels),) = scraped(url, "shortener_build_info")
            assert name == "shortener_build_info"
            assert dict(labels).keys() == {"version", "python", "fill"}
            assert dict(labels)["version"] == __version__
            assert dict(labels)["fill"] == fill


def test_each_process_tells_its_settings_and_neither_names_nor_addresses() -> None:
    own = {"SHORTENER_CACHE_TTL_S": "7", "SHORTENER_BREAKER": "off", "SHORTENER_CACHE_FILL": "lock"}
    with process("web", own) as web, process("worker", {"SHORTENER_WORKER_BATCH": "9"}) as worker:
        told = {}
        for name, url in (("web", web.url), ("worker", worker.url)):
            eventually((web if name == "web" else worker).serves)
            found = [dict(labels) for _, labels in scraped(url, "shortener_setting")]
            told[name] = {labels["name"]: labels["value"] for labels in found}
    expected = {"CACHE_TTL_S": "7.0", "BREAKER": "false", "CACHE_FILL": "lock"}
    assert expected.items() <= told["web"].items()
    assert told["worker"]["WORKER_BATCH"] == "9"
    hidden = {"NAME", "LISTEN", "PUBLIC_URL", "PRIMARY_URL", "REPLICA_URL", "CACHE_URL"}
    for kind, settings in ((WebSettings, told["web"]), (WorkerSettings, told["worker"])):
        known = {name.upper() for name in kind.model_fields}
        assert known - settings.keys() == known & (hidden | {"QUEUE_URL"})


def test_a_fill_is_named_as_its_setting() -> None:
    nothing: Any = MagicMock()
    assert {name: fill(nothing).name for name, fill in FILLS.items()} == {n: n for n in FILLS}


def test_the_documentation_names_every_metric() -> None:
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+)(?:\{[a-z,]+\})?`", page))
    shown = set()
    with process("web") as web, process("worker") as worker:
        for each in (web, worker):
            eventually(each.serves)
            text = requests.get(f"{each.url}/metrics", timeout=5).text
            shown |= set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    assert shown <= named
    assert {name for name in named if name.startswith("shortener_")} <= shown


def test_its_version_is_the_one_that_is_released() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == __version__


def test_a_frequent_scrape_can_be_for_a_few_metrics_only() -> None:
    with process("web") as web:
        eventually(web.serves)
        few = scraped(web.url, "shortener_redirects_total", "shortener_fills_in_flight", "no_such")
        assert {name for name, _ in few} == {
            "shortener_redirects_total",
            "shortener_fills_in_flight",
        }


@pytest.mark.parametrize("silent", [False, True], ids=["refused", "silent"])
def test_the_lag_is_unknown_by_name_while_the_queue_is_unreachable(silent: bool) -> None:
    with process("worker", {"SHORTENER_QUEUE_TIMEOUT_S": "5"}, silent=silent) as worker:
        eventually(worker.serves)
        for _ in range(5):
            asked_s = time.monotonic()
            samples = scraped(worker.url)
            assert time.monotonic() - asked_s < 2.5  # nor does the scrape wait for the queue
            assert value(samples, "shortener_stream_reachable") == 0
            assert math.isnan(value(samples, "shortener_stream_lag_entries"))
            assert math.isnan(value(samples, "shortener_stream_lag_seconds"))
            time.sleep(0.3)
