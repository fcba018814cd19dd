"""Admission control: requests beyond `max_in_flight` get 503 at once, with Retry-After.

A queue only helps against bursts shorter than users' patience; beyond that it makes every response
late. A rejection costs next to nothing.
"""

from __future__ import annotations

import asyncio

from stack.shortener.http import asgi
from stack.shortener.http.problems import OUTCOME_UNKNOWN, Problem
from stack.shortener.infra.metrics import Metrics


def too_many() -> Problem:
    """503 for a request beyond `max_in_flight`."""
    return Problem(503, "too many requests in flight", headers={"Retry-After": "1"})


def too_slow(method: str) -> Problem:
    """503 for a request that has reached its deadline; what it changes may be changed."""
    outcome = {} if method in ("GET", "HEAD") else OUTCOME_UNKNOWN
    headers = {"Retry-After": "1", **outcome}
    return Problem(503, "the request exceeded its deadline", headers=headers)


def bounded(app: asgi.App, metrics: Metrics, most: int, deadline_s: float) -> asgi.App:
    """Wrap an app: at most `most` requests in flight, this one included, each with a deadline."""

    async def admit(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        if metrics.requests_in_flight > most:
            metrics.admission_refused += 1
            await asgi.problem(send, too_many())
            return
        try:
            async with asyncio.timeout(deadline_s):
                await app(scope, receive, send)
        except TimeoutError:
            await asgi.problem(send, too_slow(scope["method"]))

    return admit
