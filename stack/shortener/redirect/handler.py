"""`GET /{code}`: on the fast path if the cache has the link, else as bare ASGI, since a framework
would cost more than all the rest."""

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
from stack.shortener.http.fast_path import HANDED_OVER, FastPathExchange, Peer
from stack.shortener.http.problems import Problem, unavailable
from stack.shortener.infra.client_address import TrustedProxies
from stack.shortener.infra.codes import CODE
from stack.shortener.infra.database import DatabaseUnavailable
from stack.shortener.infra.log import log
from stack.shortener.infra.metrics import Metrics
from stack.shortener.infra.spans import span
from stack.shortener.redirect import read_tokens
from stack.shortener.redirect.batched_reads import CacheRead
from stack.shortener.redirect.cache import Cache, CacheUnavailable
from stack.shortener.redirect.cache_entry import LIMITED, LIVE, CacheEntry
from stack.shortener.redirect.click_limits import ClickPermits
from stack.shortener.redirect.fills import Fill
from stack.shortener.redirect.fills.singleflight import Flights
from stack.shortener.redirect.near_cache import NearCache
from stack.shortener.redirect.read_tokens import ReadToken
from stack.shortener.redirect.refill import FillResult, Refill, Served
from stack.shortener.settings import WebSettings

_OUTCOME = {302: "found", 404: "unknown", 410: "gone"}
_PRIVATE = (b"cache-control", b"private, no-store")  # so that every click reaches us
_EMPTY = (b"content-length", b"0")
_NO_PREVIEW = "this link has a click limit, so it is neither previewed nor prefetched"
_FOUND = b"HTTP/1.1 302 Found\r\n"
_FOUND_LINES = (
    b"x-link-version: %d\r\nx-cache: %b\r\nx-cache-age-ms: %.1f\r\n"
    b"cache-control: private, no-store\r\nlocation: %b\r\ncontent-length: 0\r\n"
    b"x-click-id: %b\r\nx-request-id: %b\r\n"
)
_KNOWN_MAX = 8192  # visitors whose token is kept; about 4 MB
_Click = tuple[str, bytes, bool, int]  # code, referer, bot, observation of the visitor


class _HandOver(NamedTuple):
    """State of a request that the fast path hands over."""

    started_s: float
    read: CacheRead | CacheUnavailable | None
    served: Served | None = None


class Redirects:
    """Redirects a code to the target of its link."""

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
        self._read_cache = cache.read
        self._near = near
        self._fill = fill
        self._serves = fill.serves
        self._refill = refill
        self._permits = permits
        self._clicks = clicks
        self._visitors = visitors
        self._peers = peers
        self._known_visitors: dict[tuple[str, bytes, bytes], tuple[int, bool]] = {}
        self._metrics = metrics
        self._max_in_flight = settings.max_in_flight
        self._deadline_s = settings.request_deadline_s
        self._stale_if_error_s = settings.stale_if_error_s
        self._keeps_sessions = settings.keeps_sessions
        self._reserved = reserved
        self._flights = Flights(cache.get)

    # --- fast path -----------------------------------------------------------------------------

    def accepts(self, code: str) -> bool:
        """True for a short link; other paths of one segment are reserved."""
        return code not in self._reserved

    def handle(self, exchange: FastPathExchange) -> None:
        """Redirect from the near cache, or once the cache has been read."""
        metrics = self._metrics
        if metrics.requests_in_flight >= self._max_in_flight:
            exchange.hand_over(_HandOver(exchange.started_s, None))
            return
        metrics.requests_in_flight += 1
        now = time.time()
        entry = self._near.get(exchange.code, now)
        if entry is None:
            self._read_cache(exchange.code, partial(self._on_read, exchange))
        else:
            self._on_read(exchange, CacheRead(entry, 0.0), "near")

    def _on_read(
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
                    self._send_redirect(exchange, entry, served, now)
                    return
        except Exception as error:  # must not affect the other reads of the batch
            log("fast_path_failed", level="error", error=repr(error))
        self._metrics.requests_in_flight -= 1
        exchange.hand_over(_HandOver(exchange.started_s, read, served))

    def _send_redirect(
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

    # --- ASGI ----------------------------------------------------------------------------------

    async def __call__(self, scope: asgi.Scope, _receive: asgi.Receive, send: asgi.Send) -> None:
        """302 to the target, 404 for an unknown link, 410 for one that has ended."""
        handed_over: _HandOver = scope.get(HANDED_OVER) or _HandOver(time.perf_counter(), None)
        id_header = [(request_ids.HEADER, request_ids.begin(scope["headers"]))]
        outcome = "error"
        metrics = self._metrics
        metrics.requests_in_flight += 1
        try:
            if metrics.requests_in_flight > self._max_in_flight:
                metrics.admission_refused += 1
                raise too_many()
            outcome = await self._redirect(scope, send, handed_over, id_header)
        except Problem as problem:
            if problem.status < 500:
                metrics.redirects_refused += 1
            await pages.problem(send, problem, scope["headers"], id_header)
        except Exception as error:
            await asgi.internal_error(scope, send, error, id_header)
        finally:
            metrics.requests_in_flight -= 1
            metrics.redirects[outcome] += 1
            metrics.redirect_seconds.observe(time.perf_counter() - handed_over.started_s)

    async def _redirect(
        self, scope: asgi.Scope, send: asgi.Send, handed_over: _HandOver, id_header: asgi.Headers
    ) -> str:
        method = scope["method"]
        if method != "GET" and method != "HEAD":
            raise Problem(
                405, f"{method} is not allowed on short links", headers={"Allow": "GET, HEAD"}
            )
        asgi.check_address(scope)
        code = scope["path"][1:].removesuffix("/")
        if CODE.fullmatch(code) is None:
            detail = "there is no such link: a code is 1 to 64 of A-Z a-z 0-9 _ -"
            await pages.problem(send, Problem(404, detail), scope["headers"], id_header)
            return "unknown"
        try:
            entry, served, _ = await self._find(code, handed_over, scope["headers"])
            status = entry.status(time.time())
            if entry.state == LIMITED and status == 302:
                entry, status = await self._permitted(code, entry, scope)
        except TimeoutError:
            raise too_slow("GET") from None
        except DatabaseUnavailable as error:
            raise unavailable() from error
        self._metrics.served[served] += 1
        headers = [
            (b"x-link-version", b"%d" % entry.version),
            (b"x-cache", served.encode()),
            (b"x-cache-age-ms", b"%.1f" % (max(time.time() - entry.read_at, 0.0) * 1000)),
            _PRIVATE,
            *id_header,
        ]
        if status == 302:
            headers.append((b"location", entry.url))
            headers.append(_EMPTY)
            if method == "GET":
                headers.extend(await self._click_header(code, scope))
            await asgi.answer(send, status, headers)
        else:
            await pages.problem(send, _missing(status), scope["headers"], headers)
        return _OUTCOME[status]

    async def _find(self, code: str, handed_over: _HandOver, headers: asgi.Headers) -> FillResult:
        """Find the link: near cache, Redis, the databases (`origin`), at last an expired one."""
        read, served = handed_over.read, handed_over.served
        if read is None:
            read, served = await self._read(code)
        if isinstance(read, CacheRead) and read.entry is not None and served is not None:
            return FillResult(read.entry, served)
        after = read_tokens.sent(headers) if self._keeps_sessions else None
        left_s = self._deadline_s - (time.perf_counter() - handed_over.started_s)
        try:
            async with asyncio.timeout(left_s):
                return await self._fill_from_database(code, read, after)
        except (DatabaseUnavailable, TimeoutError):
            expired = read.expired if isinstance(read, CacheRead) else None
            if expired is None or expired.fresh_until + self._stale_if_error_s < time.time():
                raise
            return FillResult(expired, "stale")

    async def _read(self, code: str) -> tuple[CacheRead | CacheUnavailable, Served | None]:
        """Read the near cache or the cache, as the fast path does."""
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
        self, code: str, read: CacheRead | CacheUnavailable, after: ReadToken | None
    ) -> FillResult:
        if isinstance(read, CacheRead):
            with contextlib.suppress(CacheUnavailable):
                return await self._fill.fill(code, read._replace(after=after) if after else read)
        return await self._find_uncached(code, after)

    async def _find_uncached(self, code: str, after: ReadToken | None) -> FillResult:
        """Query the database without the cache; one flight a process at a time for each code."""
        self._metrics.cache_failures += 1
        read_s = time.monotonic()
        query = partial(self._refill.uncached, code, read_s, after)
        return await self._flights.share(code, read_s, query, after)

    async def _permitted(
        self, code: str, entry: CacheEntry, scope: asgi.Scope
    ) -> tuple[CacheEntry, int]:
        """The link and status after a check of its click limit; a GET uses up a click."""
        is_preview = scope["method"] == "GET" and user_agents.is_speculative(dict(scope["headers"]))
        takes = scope["method"] == "GET" and not is_preview
        query = self._permits.take if takes else self._permits.look
        permit = await query(code, entry.version)
        if permit is None:
            return entry, 410
        if is_preview:  # the target costs a click
            raise Problem(403, _NO_PREVIEW, headers={"Cache-Control": "private, no-store"})
        return entry._replace(version=permit.version, url=permit.url), 302

    async def _click_header(self, code: str, scope: asgi.Scope) -> asgi.Headers:
        """The header with the click id, if the click is as durable as `click_mode` promises."""
        click = self._click(code, dict(scope["headers"]), scope.get("client"))
        click_id = (
            await self._clicks.accept(*click) if self._clicks.waits else self._clicks.add(*click)
        )
        return [(b"x-click-id", click_id.encode())] if click_id else []

    def _click(self, code: str, fields: Mapping[bytes, bytes], peer: Peer) -> _Click:
        user_agent = fields.get(b"user-agent", b"")
        client = (peer[0] if peer else "", fields.get(b"x-forwarded-for", b""), user_agent)
        visitor, bot = self._known_visitors.get(client) or self._identify(*client)
        bot = bot or user_agents.is_prefetch(fields)
        return code, fields.get(b"referer", b""), bot, visitor

    def _identify(self, peer: str, forwarded: bytes, user_agent: bytes) -> tuple[int, bool]:
        """The visitor's token, and whether it is a bot."""
        address = self._peers.address(peer, forwarded).encode()
        known = (
            self._visitors.token(address, user_agent),
            user_agents.is_bot(user_agent[: user_agents.MAX_HEADER_BYTES]),
        )
        if known[0]:  # 0 until the visitor key is loaded
            if len(self._known_visitors) >= _KNOWN_MAX:
                self._known_visitors.clear()
            self._known_visitors[peer, forwarded, user_agent] = known
        return known


def _missing(status: int) -> Problem:
    return Problem(status, "there is no such link" if status == 404 else "this link has ended")
