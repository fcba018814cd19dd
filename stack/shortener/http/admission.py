"""Bounded concurrency: who comes when there is too much under way is refused at once.

A queue only helps against bursts shorter than what users wait for; beyond that it turns every
answer into a late one. A refusal costs next to nothing and says when to come again.
"""

from __future__ import annotations

import asyncio

from stack.shortener.http import asgi
from stack.shortener.http.problems import Problem
from stack.shortener.infra.metrics import Metrics


def too_many() -> Problem:
    """For who comes when `max_in_flight` requests are under way already."""
    return Problem(503, "too many requests in flight", headers={"Retry-After": "1"})


def too_slow() -> Problem:
    """For a request that has reached its deadline."""
    return Problem(503, "this took too long", headers={"Retry-After": "1"})


def bounded(app: asgi.App, metrics: Metrics, most: int, deadline_s: float) -> asgi.App:
    """An app with at most so many requests in flight, this one counted, each with a deadline."""

    async def admit(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        if metrics.requests_in_flight > most:
            metrics.admission_refused += 1
            await asgi.problem(send, too_many())
            return
        try:
            async with asyncio.timeout(deadline_s):
                await app(scope, receive, send)
        except TimeoutError:
            await asgi.problem(send, too_slow())

    return admit
