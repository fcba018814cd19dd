"""The hot path: `GET /{code}`, in the fast lane where the cache can answer, or else as bare ASGI,
since a framework would cost more than all the rest."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Container, Mapping
from functools import partial
from typing import NamedTuple

from stack.shortener.clicks import user_agents
from stack.shortener.clicks.buffer import ClickBuffer
from stack.shortener.clicks.unique_visitors import UniqueVisitors
from stack.shortener.http import asgi, pages, request_ids
from stack.shortener.http.admission import too_many, too_slow
from stack.shortener.http.fast_path import BEGUN, FastPathExchange, Peer
from stack.shortener.http.problems import Problem, unavailable
from stack.shortener.infra.client_address import TrustedProxies
from stack.shortener.infra.codes import CODE
from stack.shortener.infra.database import DatabaseUnavailable
from stack.shortener.infra.log import log
from stack.shortener.infra.metrics import Metrics
from stack.shortener.infra.spans import span
from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.cache import Cache, CacheUnavailable
from stack.shortener.redirect.cache_entry import LIMITED, LIVE, CacheEntry
from stack.shortener.redirect.click_limits import ClickPermits
from stack.shortener.redirect.fills import Fill, FillResult
from stack.shortener.redirect.fills.base import Served
from stack.shortener.redirect.fills.flights import Flights
from stack.shortener.redirect.near_cache import NearCache
from stack.shortener.redirect.refill import Refill
from stack.shortener.settings import WebSettings

_OUTCOME = {302: "found", 404: "unknown", 410: "gone"}
_PRIVATE = (b"cache-control", b"private, no-store")  # so that every click is seen
_EMPTY = (b"content-length", b"0")
_NO_PREVIEW = "this link opens only so many times, so it is neither previewed nor fetched ahead"
_FOUND = b"HTTP/1.1 302 Found\r\n"
_FOUND_LINES = (
    b"x-link-version: %d\r\nx-cache: %b\r\nx-cache-age-ms: %.1f\r\n"
    b"cache-control: private, no-store\r\nlocation: %b\r\ncontent-length: 0\r\n"
    b"x-click-id: %b\r\nx-request-id: %b\r\n"
)
_MOST_KNOWN = 4096  # visitors remembered, so that each redirect need not work out whose it is
_Click = tuple[str, bytes, bool, int]  # code, referer, bot, observation of the visitor


class _Begun(NamedTuple):
    """What the lane knew when it handed a request over: what the cache said, and what that is."""

    started_s: float
    read: CacheRead | CacheUnavailable | None
    served: Served | None = None


class Redirects:
    """Answers a code with the link it stands for."""

    def __init__(
        self,
        cache: Cache,
        near: NearCache,
        fill: Fill,
        refill: Refill,
        permits: ClickPermits,
        clicks: ClickBuffer,
        visitors: UniqueVisitors,
        peers: TrustedProxies,
        metrics: Metrics,
        settings: WebSettings,
        reserved: Container[str] = (),
    ) -> None:
        self._cache = cache
        self._ask = cache.ask
        self._near = near
        self._fill = fill
        self._serves = fill.serves
        self._refill = refill
        self._permits = permits
        self._clicks = clicks
        self._visitors = visitors
        self._peers = peers
        self._known: dict[tuple[str, bytes, bytes], tuple[int, bool]] = {}
        self._metrics = metrics
        self._most = settings.max_in_flight
        self._deadline_s = settings.request_deadline_s
        self._error_stale_s = settings.stale_if_error_s
        self._reserved = reserved
        self._flights = Flights(cache.get)

    # --- the lane ------------------------------------------------------------------------------

    def takes(self, code: str) -> bool:
        """Whether it is a link: the other paths of one segment are not for the lane."""
        return code not in self._reserved

    def quick(self, exchange: FastPathExchange) -> None:
        """Answer from the near cache, or else once the cache has been read."""
        metrics = self._metrics
        if metrics.requests_in_flight >= self._most:
            exchange.hand_over(_Begun(exchange.started_s, None))
            return
        metrics.requests_in_flight += 1
        now = time.time()
        entry = self._near.get(exchange.code, now)
        if entry is None:
            self._ask(exchange.code, partial(self._told, exchange))
        else:
            self._told(exchange, CacheRead(entry, 0.0), "near")

    def _told(
        self,
        exchange: FastPathExchange,
        read: CacheRead | CacheUnavailable,
        served: Served | None = None,
    ) -> None:
        try:
            if isinstance(read, CacheRead) and (entry := read.entry) is not None:
                now = time.time()
                if served is None:
                    served = self._serves(exchange.code, entry, read.read_s)
                    if served is not None:
                        self._near.keep(exchange.code, entry, now)
                live = entry.state == LIVE and now < entry.link_expires_at
                if served is not None and live and not self._clicks.waits:
                    self._found(exchange, entry, served, now)
                    return
        except Exception as error:  # a mistake of ours must not hold up those read together with it
            log("lane_left", level="error", error=repr(error))
        self._metrics.requests_in_flight -= 1
        exchange.hand_over(_Begun(exchange.started_s, read, served))

    def _found(
        self, exchange: FastPathExchange, entry: CacheEntry, served: Served, now: float
    ) -> None:
        fields = exchange.fields
        age_ms = max(now - entry.read_at, 0.0) * 1000
        click_id = self._clicks.add(*self._click(exchange.code, fields, exchange.peer)).encode()
        request_id = request_ids.of(fields.get(request_ids.HEADER))
        lines = (entry.version, served.encode(), age_ms, entry.url, click_id, request_id)
        exchange.answer(_FOUND, _FOUND_LINES % lines)
        metrics = self._metrics
        metrics.served[served] += 1
        metrics.requests_in_flight -= 1
        metrics.redirects["found"] += 1
        metrics.redirect_seconds.observe(time.perf_counter() - exchange.started_s)

    # --- everything else -----------------------------------------------------------------------

    async def __call__(self, scope: asgi.Scope, _receive: asgi.Receive, send: asgi.Send) -> None:
        """302 to the target; 404 for no such link, 410 for one that has ended."""
        begun: _Begun = scope.get(BEGUN) or _Begun(time.perf_counter(), None)
        named = [(request_ids.HEADER, request_ids.begin(scope["headers"]))]
        outcome = "error"
        metrics = self._metrics
        metrics.requests_in_flight += 1
        try:
            if metrics.requests_in_flight > self._most:
                metrics.admission_refused += 1
                raise too_many()
            outcome = await self._redirect(scope, send, begun, named)
        except Problem as problem:
            if problem.status < 500:
                metrics.redirects_refused += 1
            await pages.problem(send, problem, scope["headers"], named)
        except Exception as error:
            await asgi.mistake(scope, send, error, named)
        finally:
            metrics.requests_in_flight -= 1
            metrics.redirects[outcome] += 1
            metrics.redirect_seconds.observe(time.perf_counter() - begun.started_s)

    async def _redirect(
        self, scope: asgi.Scope, send: asgi.Send, begun: _Begun, named: asgi.Headers
    ) -> str:
        method = scope["method"]
        if method != "GET" and method != "HEAD":
            raise Problem(405, f"{method} is not for short links", headers={"Allow": "GET, HEAD"})
        asgi.check_address(scope)
        code = scope["path"][1:].removesuffix("/")
        if CODE.fullmatch(code) is None:
            detail = "there is no such link: a code is 1 to 64 of A-Z a-z 0-9 _ -"
            await pages.problem(send, Problem(404, detail), scope["headers"], named)
            return "unknown"
        try:
            entry, served, _ = await self._find(code, begun)
            status = entry.status(time.time())
            if entry.state == LIMITED and status == 302:
                entry, status = await self._permitted(code, entry, scope)
        except TimeoutError:
            raise too_slow() from None
        except DatabaseUnavailable as error:
            raise unavailable() from error
        self._metrics.served[served] += 1
        headers = [
            (b"x-link-version", b"%d" % entry.version),
            (b"x-cache", served.encode()),
            (b"x-cache-age-ms", b"%.1f" % (max(time.time() - entry.read_at, 0.0) * 1000)),
            _PRIVATE,
            *named,
        ]
        if status == 302:
            headers.append((b"location", entry.url))
            headers.append(_EMPTY)
            if method == "GET":
                headers.extend(await self._clicked(code, scope))
            await asgi.answer(send, status, headers)
        else:
            await pages.problem(send, _missing(status), scope["headers"], headers)
        return _OUTCOME[status]

    async def _find(self, code: str, begun: _Begun) -> FillResult:
        """The link, from wherever it can still be had."""
        read, served = begun.read, begun.served
        if read is None:
            read, served = await self._read(code)
        if isinstance(read, CacheRead) and read.entry is not None and served is not None:
            return FillResult(read.entry, served)
        left_s = self._deadline_s - (time.perf_counter() - begun.started_s)
        try:
            async with asyncio.timeout(left_s):
                return await self._fill_from_database(code, read)
        except (DatabaseUnavailable, TimeoutError):
            old = read.old if isinstance(read, CacheRead) else None
            if old is None or old.fresh_until + self._error_stale_s < time.time():
                raise
            return FillResult(old, "stale")

    async def _read(self, code: str) -> tuple[CacheRead | CacheUnavailable, Served | None]:
        """What the lane would have learnt."""
        now = time.time()
        near = self._near.get(code, now)
        if near is not None:
            return CacheRead(near, time.monotonic()), "near"
        try:
            with span("cache read"):
                read = await self._cache.get(code)
        except CacheUnavailable as error:
            return error, None
        if read.entry is None:
            return read, None
        served = self._serves(code, read.entry, read.read_s)
        if served is not None:
            self._near.keep(code, read.entry, now)
        return read, served

    async def _fill_from_database(
        self, code: str, read: CacheRead | CacheUnavailable
    ) -> FillResult:
        if isinstance(read, CacheRead):
            with contextlib.suppress(CacheUnavailable):
                return await self._fill.fill(code, read)
        return await self._find_uncached(code)

    async def _find_uncached(self, code: str) -> FillResult:
        """Go on without the cache; one query a process at a time guards the database."""
        self._metrics.cache_failures += 1
        read_s = time.monotonic()

        async def ask() -> FillResult:
            return FillResult(await self._refill.uncached(code, read_s), "miss")

        return await self._flights.share(code, read_s, ask)

    async def _permitted(
        self, code: str, entry: CacheEntry, scope: asgi.Scope
    ) -> tuple[CacheEntry, int]:
        """The link with what the primary says of its limit, which only a click uses up."""
        looks = scope["method"] == "GET" and user_agents.is_speculative(dict(scope["headers"]))
        takes = scope["method"] == "GET" and not looks
        ask = self._permits.take if takes else self._permits.look
        permit = await ask(code, entry.version)
        if permit is None:
            return entry, 410
        if looks:  # and must not learn for nothing what others use up a click for
            raise Problem(403, _NO_PREVIEW, headers={"Cache-Control": "private, no-store"})
        return entry._replace(version=permit.version, url=permit.url), 302

    async def _clicked(self, code: str, scope: asgi.Scope) -> asgi.Headers:
        """The id of the click as a header, if it was taken as the mode promises."""
        click = self._click(code, dict(scope["headers"]), scope.get("client"))
        click_id = (
            await self._clicks.accept(*click) if self._clicks.waits else self._clicks.add(*click)
        )
        return [(b"x-click-id", click_id.encode())] if click_id else []

    def _click(self, code: str, fields: Mapping[bytes, bytes], peer: Peer) -> _Click:
        user_agent = fields.get(b"user-agent", b"")
        who = (peer[0] if peer else "", fields.get(b"x-forwarded-for", b""), user_agent)
        visitor, bot = self._known.get(who) or self._who(*who)
        bot = bot or user_agents.is_prefetch(fields)
        return code, fields.get(b"referer", b""), bot, visitor

    def _who(self, peer: str, forwarded: bytes, user_agent: bytes) -> tuple[int, bool]:
        """The observation of a visitor, and whether it is a bot."""
        address = self._peers.address(peer, forwarded).encode()
        known = (
            self._visitors.token(address, user_agent),
            user_agents.is_bot(user_agent[: user_agents.MAX_HEADER_BYTES]),
        )
        if known[0]:  # else it is nobody, for as long as the key is not known
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[peer, forwarded, user_agent] = known
        return known


def _missing(status: int) -> Problem:
    return Problem(status, "there is no such link" if status == 404 else "this link has ended")
