"""Metrics of API requests by route: status and duration, however they end."""

from __future__ import annotations

import time

from stack.shortener.http import asgi
from stack.shortener.infra.metrics import Metrics

ROUTE = "shortener.route"  # the scope's key for the name of the route


def counted(app: asgi.App, metrics: Metrics) -> asgi.App:
    """Wrap an app: count and time its requests; an unfinished response is a 5xx."""

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
