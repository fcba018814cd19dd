"""Admission: the limit of requests in flight, and the deadline of each."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from stack.shortener.http import asgi
from stack.shortener.http.admission import bounded
from stack.shortener.infra.metrics import Metrics


async def _ask(
    app: asgi.App, method: str = "GET"
) -> tuple[int, dict[bytes, bytes], dict[str, Any]]:
    sent: list[Any] = []

    async def send(message: asgi.Message) -> None:
        sent.append(message)

    async def receive() -> asgi.Message:
        return {"type": "http.request"}

    await app({"type": "http", "method": method, "path": "/", "headers": []}, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), json.loads(sent[1]["body"])


async def _slow(_scope: asgi.Scope, _receive: asgi.Receive, send: asgi.Send) -> None:
    await asyncio.sleep(0.3)
    await asgi.text(send, 200, b"{}")


def test_requests_beyond_the_limit_in_flight_get_503_with_retry_after() -> None:
    metrics = Metrics(requests_in_flight=3)
    app = bounded(_slow, metrics, most=2, deadline_s=5)
    status, headers, problem = asyncio.run(_ask(app))
    assert (status, headers[b"retry-after"], problem["status"]) == (503, b"1", 503)
    assert metrics.admission_refused == 1


def test_a_request_ends_at_its_deadline() -> None:
    app = bounded(_slow, Metrics(requests_in_flight=1), most=2, deadline_s=0.05)
    status, headers, problem = asyncio.run(_ask(app))
    assert (status, headers[b"retry-after"]) == (503, b"1")
    assert problem["detail"] == "the request exceeded its deadline"
    assert b"x-outcome" not in headers


def test_what_a_change_that_ended_at_its_deadline_did_is_unknown() -> None:
    app = bounded(_slow, Metrics(requests_in_flight=1), most=2, deadline_s=0.05)
    status, headers, _ = asyncio.run(_ask(app, "PATCH"))
    assert (status, headers[b"x-outcome"]) == (503, b"unknown")
