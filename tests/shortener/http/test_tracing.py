"""Traces as a collector receives them, and no cost with tracing off."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from chaos.model.stack import Stack
from stack.shortener.infra import spans
from tests.support.shortener_process import ROOT, eventually, nobody, process

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@dataclass
class Span:
    """A span as it arrived."""

    name: str
    trace: str
    own: str
    parent: str
    failed: bool
    attributes: dict[str, Any]
    process: str


@dataclass
class Collector:
    """A collector of traces that keeps what it gets."""

    url: str
    spans: list[Span] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            about = attributes(resource.resource.attributes)
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        Span(
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            span.status.code == 2,
                            attributes(span.attributes),
                            about["service.instance.id"],
                        )
                    )

    def named(self, pattern: str) -> list[Span]:
        return [span for span in list(self.spans) if re.fullmatch(pattern, span.name)]


def attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector that listens for OTLP over HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            kept.take(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kept = Collector("http://127.0.0.1:{}".format(*server.server_address[1:]))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield kept
        finally:
            server.shutdown()
            thread.join()


def towards(url: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "100"}


def test_a_request_is_a_span_of_the_trace_that_the_client_named() -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "checkout-1"}
    with collector() as kept, process("web", towards(kept.url)) as web:
        eventually(web.serves)
        requests.get(f"{web.url}/code", headers=headers, timeout=10)
        requests.get(f"{web.url}/api/links/code", headers=headers, timeout=10)
        eventually(lambda: len(kept.named("GET .*")) == 2)
    for span in kept.named("GET .*"):
        assert (span.trace, span.parent) == (TRACE, PARENT)
        assert span.failed
        assert span.attributes["http.request.method"] == "GET"
        assert span.attributes["http.response.status_code"] == 503
        assert "checkout-1" in str(span.attributes["http.response.header.x-request-id"])
        assert span.process == "shortener"
    assert {span.attributes["http.route"] for span in kept.named("GET .*")} == {"redirect", "read"}


def test_a_cache_that_cannot_be_read_is_a_failed_span_within_the_request() -> None:
    with collector() as kept, process("web", towards(kept.url)) as web:
        eventually(web.serves)
        requests.get(f"{web.url}/code", timeout=10)
        eventually(lambda: bool(kept.named("GET redirect")))
    (request,) = kept.named("GET redirect")
    (read,) = kept.named("cache read")
    assert (read.trace, read.parent) == (request.trace, request.own)
    assert read.failed


@pytest.mark.real
def test_what_a_request_waits_for_are_spans_within_it_and_clicks_are_sent_beside(
    stack: Stack,
) -> None:
    links = stack.endpoints.links
    servers = {
        "SHORTENER_PRIMARY_URL": links["primary"],
        "SHORTENER_REPLICA_URL": links["replica"],
        "SHORTENER_CACHE_URL": links["cache"],
        "SHORTENER_QUEUE_URL": links["queue"],
        "SHORTENER_NAME": "web-7",
    }
    with collector() as kept, process("web", {**towards(kept.url), **servers}) as web:
        eventually(web.serves)
        eventually(lambda: requests.get(f"{web.url}/readyz", timeout=10).ok)
        made = requests.post(
            f"{web.url}/api/links", json={"url": "https://example.org/"}, timeout=5
        )
        code = made.json()["code"]
        followed = requests.get(f"{web.url}/{code}", allow_redirects=False, timeout=5)
        assert followed.status_code == 302
        eventually(lambda: bool(kept.named("GET redirect") and kept.named("click send")))
    (create,), (redirect,) = kept.named("POST create"), kept.named("GET redirect")
    (wrote,) = (span for span in kept.named("database") if span.trace == create.trace)
    assert wrote.attributes["shortener.db"] == "primary"
    (read,) = kept.named("cache read")
    looked_up = [span for span in kept.named("database") if span.trace == redirect.trace]
    assert read.parent == redirect.own
    assert {span.attributes["shortener.db"] for span in looked_up} <= {"replica", "primary"}
    assert looked_up
    (send,) = kept.named("click send")
    assert send.attributes["shortener.clicks"] == 1
    assert send.parent == ""
    assert not any(span.failed for span in kept.spans)
    assert {span.process for span in kept.spans} == {"web-7"}


def test_without_traceparent_each_request_is_a_trace_of_its_own_and_probes_are_none() -> None:
    with collector() as kept, process("web", towards(kept.url)) as web:
        eventually(web.serves)
        for _ in range(2):
            requests.get(f"{web.url}/no/such/page", headers={"traceparent": "junk"}, timeout=5)
        eventually(lambda: len(kept.named("GET other")) == 2)
    first, second = kept.named("GET other")
    assert first.trace != second.trace
    assert first.parent == second.parent == ""
    assert not first.failed
    assert len(kept.spans) == 2


def test_of_a_request_that_is_not_sampled_there_is_nothing() -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
    with collector() as kept, process("web", towards(kept.url)) as web:
        eventually(web.serves)
        requests.get(f"{web.url}/code", headers=headers, timeout=10)
        requests.get(f"{web.url}/no/such/page", timeout=5)
        eventually(lambda: bool(kept.named("GET other")))
    assert len(kept.spans) == 1


def test_what_is_left_is_sent_at_the_end() -> None:
    slow = {"OTEL_BSP_SCHEDULE_DELAY": "60000"}
    with collector() as kept, process("web", {**towards(kept.url), **slow}) as web:
        eventually(web.serves)
        requests.get(f"{web.url}/no/such/page", timeout=5)
        assert not kept.spans
        web.popen.terminate()
        assert web.popen.wait(10) == 0
        assert kept.named("GET other")


@pytest.mark.parametrize("silent", [False, True], ids=["refuses", "silent"])
def test_a_collector_that_is_away_holds_nothing_up(silent: bool) -> None:
    with nobody(silent=silent) as address, process("web", towards(f"http://{address}")) as web:
        eventually(web.serves)
        assert requests.get(f"{web.url}/no/such/page", timeout=1).status_code == 404
        web.popen.terminate()
        assert web.popen.wait(5) == 0


def test_without_a_collector_opentelemetry_is_not_even_imported() -> None:
    program = (
        "import sys\n"
        "from stack.shortener.infra import spans\n"
        "spans.block_opentelemetry()\n"
        "from stack.shortener import web\n"
        "from stack.shortener.clicks import worker\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.')])\n"
    )
    without = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, env=without, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert run.stdout == "[]\n"


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
    ],
)
def test_traces_are_wanted_where_the_environment_names_a_collector(
    environment: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert spans.tracing_enabled() == wanted


def test_where_nobody_traces_a_span_is_nothing() -> None:
    assert spans.span("one") is spans.span("another", db="replica")
