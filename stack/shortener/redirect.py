"""The hot path: `GET /{code}` as bare ASGI, since a framework would cost more than all the rest."""

from __future__ import annotations

import re
import time

from stack.shortener import asgi
from stack.shortener.cache import CacheUnavailable
from stack.shortener.clicks import Clicks
from stack.shortener.db import DatabaseUnavailable
from stack.shortener.fills import Answer, Fill
from stack.shortener.fills.flights import Flights
from stack.shortener.metrics import Metrics
from stack.shortener.problems import Problem, unavailable
from stack.shortener.refill import Refill

CODE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OUTCOME = {302: "found", 404: "unknown", 410: "gone"}
_PRIVATE = (b"cache-control", b"private, no-store")  # so that every click is seen
_EMPTY = (b"content-length", b"0")


class Redirects:
    """Answers a code with the link it stands for."""

    def __init__(self, fill: Fill, refill: Refill, clicks: Clicks, metrics: Metrics) -> None:
        self._fill = fill
        self._refill = refill
        self._clicks = clicks
        self._metrics = metrics
        self._flights = Flights()

    async def __call__(self, scope: asgi.Scope, _receive: asgi.Receive, send: asgi.Send) -> None:
        """302 to the target; 404 for no such link, 410 for one that has ended."""
        started_s = time.perf_counter()
        outcome = "error"
        metrics = self._metrics
        metrics.requests_in_flight += 1
        try:
            outcome = await self._redirect(scope, send)
        except Problem as problem:
            if problem.status < 500:
                metrics.redirects_refused += 1
            await asgi.problem(send, problem)
        except Exception as error:
            await asgi.mistake(scope, send, error)
        finally:
            metrics.requests_in_flight -= 1
            metrics.redirects[outcome] += 1
            metrics.redirect_seconds.observe(time.perf_counter() - started_s)

    async def _redirect(self, scope: asgi.Scope, send: asgi.Send) -> str:
        method = scope["method"]
        if method != "GET" and method != "HEAD":
            raise Problem(405, f"{method} is not for short links", headers={"Allow": "GET, HEAD"})
        code = scope["path"][1:]
        if CODE.fullmatch(code) is None:
            await asgi.problem(send, Problem(404, "there is no such link"))
            return "unknown"
        try:
            entry, served = await self._fill.read(code)
        except (CacheUnavailable, DatabaseUnavailable) as error:
            entry, served = await self._read_uncached(code, error)
        self._metrics.served[served] += 1
        now = time.time()
        status = entry.status(now)
        headers = [
            (b"x-link-version", b"%d" % entry.version),
            (b"x-cache", served.encode()),
            (b"x-cache-age-ms", b"%.1f" % (max(now - entry.read_at, 0.0) * 1000)),
            _PRIVATE,
        ]
        if status == 302:
            headers.append((b"location", entry.url))
            headers.append(_EMPTY)
            if method == "GET":
                headers.append((b"x-click-id", self._click(code, scope["headers"])))
            await asgi.answer(send, status, headers)
        else:
            await asgi.problem(send, _missing(status), headers)
        return _OUTCOME[status]

    async def _read_uncached(self, code: str, trouble: Exception) -> Answer:
        """Go on without the cache; one query a process at a time guards the database."""
        if isinstance(trouble, DatabaseUnavailable):
            raise unavailable() from trouble
        self._metrics.cache_failures += 1
        read_s = time.monotonic()

        async def ask() -> Answer:
            return Answer(await self._refill.uncached(code, read_s), "miss")

        try:
            return await self._flights.share(code, read_s, ask)
        except DatabaseUnavailable as error:
            raise unavailable() from error

    def _click(self, code: str, headers: asgi.Headers) -> bytes:
        referer = user_agent = b""
        for name, value in headers:
            if name == b"user-agent":
                user_agent = value
            elif name == b"referer":
                referer = value
        return self._clicks.add(code, referer, user_agent).encode()


def _missing(status: int) -> Problem:
    return Problem(status, "there is no such link" if status == 404 else "this link has ended")
