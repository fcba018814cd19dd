"""Requests to the API, counted by route and status and timed, however they end."""

from __future__ import annotations

import time

from stack.shortener.http import asgi
from stack.shortener.infra.metrics import Metrics

ROUTE = "shortener.route"  # where an endpoint leaves the name that its requests are counted under


def counted(app: asgi.App, metrics: Metrics) -> asgi.App:
    """An app whose requests are counted; one whose answer does not come to its end is a 5xx."""

    async def count(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        started_s = time.perf_counter()
        begun = status = 500

        async def note(message: asgi.Message) -> None:
            nonlocal begun, status
            await send(message)
            if message["type"] == "http.response.start":
                begun = message["status"]
            elif not message.get("more_body"):
                status = begun

        metrics.requests_in_flight += 1
        try:
            await app(scope, receive, note)
        finally:
            metrics.requests_in_flight -= 1
            seconds = time.perf_counter() - started_s
            metrics.answered(scope.get(ROUTE, "other"), status, seconds)

    return count
