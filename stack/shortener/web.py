"""The web process: assembly and lifecycle."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import Metric

from stack.shortener.api import link_creation, links
from stack.shortener.api.access import AccessCheck
from stack.shortener.api.api_keys import LOOK_UP as KEY
from stack.shortener.api.api_keys import ApiKeys
from stack.shortener.api.app import PAGES, LinkApi
from stack.shortener.api.link_creation import LinkCreation
from stack.shortener.api.links import LinkStore
from stack.shortener.api.rate_limit import RateLimit
from stack.shortener.api.writes import writer
from stack.shortener.clicks.buffer import ClickBuffer, ClickSink
from stack.shortener.clicks.outbox import WRITE, Outbox
from stack.shortener.clicks.stream_writer import StreamWriter
from stack.shortener.clicks.unique_visitors import UniqueVisitors
from stack.shortener.http import asgi
from stack.shortener.http.admission import bounded
from stack.shortener.http.fast_path import FastPath
from stack.shortener.http.health import PATHS, HealthEndpoints
from stack.shortener.http.request_ids import identified
from stack.shortener.http.request_metrics import counted
from stack.shortener.http.server import serve
from stack.shortener.infra import spans
from stack.shortener.infra.breaker import breaker_states
from stack.shortener.infra.client_address import TrustedProxies
from stack.shortener.infra.database import Database, pool_families
from stack.shortener.infra.log import configure, log
from stack.shortener.infra.metrics import Metrics, build_info, settings_in_force, start_time
from stack.shortener.infra.migrate import migrate
from stack.shortener.infra.redis_client import connect
from stack.shortener.infra.retry_budget import RetryBudget
from stack.shortener.redirect.cache import Cache
from stack.shortener.redirect.click_limits import LOOK, TAKE, ClickPermits
from stack.shortener.redirect.fills import FILLS, FillContext
from stack.shortener.redirect.fills.base import zero_served
from stack.shortener.redirect.handler import Redirects
from stack.shortener.redirect.near_cache import NearCache
from stack.shortener.redirect.origin import LOOK_UP, Origin
from stack.shortener.redirect.read_routes import read_route
from stack.shortener.redirect.read_tokens import WRITTEN, ReadTokens
from stack.shortener.redirect.refill import Refill
from stack.shortener.redirect.replica_lag import REPLAYED, LagWatch
from stack.shortener.settings import WebSettings, in_force

if TYPE_CHECKING:
    from stack.shortener.http.tracing import Tracing

_NO_LINKS = {"", *PAGES}
_CACHE_CONNECTIONS, _QUEUE_CONNECTIONS = 32, 2


async def run(settings: WebSettings) -> None:
    """Serve until SIGTERM or SIGINT, then send the buffered clicks."""
    async with opened(settings) as web:
        await serve(
            web,
            settings.address,
            settings.shutdown_timeout_s,
            fast_path=web.fast_path,
            drain_s=settings.drain_s,
            ready=web.is_ready,
            ready_wait_s=settings.ready_wait_s,
        )


@asynccontextmanager
async def opened(settings: WebSettings) -> AsyncIterator[Web]:
    """The ASGI app, for any server; connects in the background, and closes at the end.

    Serving is cancelled if the schema of the database does not fit.
    """
    configure(settings.name)
    web = Web(settings)
    try:
        async with asyncio.TaskGroup() as group:
            opening = group.create_task(web.open())
            yield web
            opening.cancel()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    finally:
        await web.close()
        log("stopped")


class Web:
    """The components of a web process, and its routing."""

    def __init__(self, settings: WebSettings) -> None:
        self._tracing = _tracing(settings.name)
        self._settings = settings
        self._fill_name = settings.cache_fill
        failures, open_s = settings.breaker_limits
        self._metrics = metrics = Metrics(served=zero_served())
        database = partial(
            Database,
            wait_s=settings.pool_timeout_s,
            breaker_failures=failures,
            breaker_open_s=open_s,
        )
        self._replica = database(
            "replica",
            settings.replica_url,
            settings.pool_size,
            settings.replica_timeout_s,
            [LOOK_UP, *([REPLAYED] if settings.reads_positions else [])],
        )
        self._failover = settings.failover()
        self._primary = database(
            "primary",
            settings.primary_url,
            settings.primary_pool_size,
            settings.primary_timeout_s,
            _primary_statements(settings),
            synchronous_commit=settings.synchronous_commit,
            failover=self._failover,
        )
        cache_client = connect(settings.cache_url, settings.cache_timeout_s, _CACHE_CONNECTIONS)
        self._queue_client = connect(
            settings.queue_url, settings.queue_timeout_s, _QUEUE_CONNECTIONS
        )
        stale_s = settings.stale_while_revalidate_s if settings.cache_fill == "swr" else 0.0
        near = NearCache(settings.near_cache_ttl_s, settings.near_cache_size)
        self._cache = cache = Cache(cache_client, near, settings, stale_s)
        self._lag = _lag_watch(self._replica, self._primary, settings)
        route = read_route(settings, self._lag)
        budget = RetryBudget(settings.retry_budget)
        origin = Origin(self._replica, self._primary, metrics, budget, route)
        refill = Refill(origin, cache, metrics)
        self._fill = FILLS[settings.cache_fill](FillContext(cache, refill, metrics, settings))
        # Made once, since it is the longest family. The fill is named by the one that is in use.
        self._in_force = settings_in_force(in_force(settings) | {"CACHE_FILL": self._fill.name})
        self._clicks = ClickBuffer(self._sink(), metrics, settings)
        self._visitors = UniqueVisitors()
        peers = TrustedProxies(settings.trusted_proxies)
        writes = writer(self._primary, metrics, settings)
        api = LinkApi(
            links=LinkStore(self._primary, writes),
            maker=LinkCreation(self._primary, writes, settings.code_length),
            cache=cache,
            metrics=metrics,
            gate=_gate(peers, self._primary, metrics, settings),
            peers=peers,
            settings=settings,
            tokens=_tokens(self._primary, settings),
        )
        self._redirects = Redirects(
            cache=cache,
            near=near,
            fill=self._fill,
            refill=refill,
            permits=ClickPermits(self._primary, metrics),
            clicks=self._clicks,
            visitors=self._visitors,
            peers=peers,
            metrics=metrics,
            settings=settings,
            reserved={path[1:] for path in PATHS | PAGES},
        )
        self.fast_path: FastPath | None = None if spans.tracing_enabled() else self._redirects
        bound = bounded(api, metrics, settings.max_in_flight, settings.request_deadline_s)
        self._api = self._traced(identified(counted(asgi.guarded(bound), metrics)))
        self._short_links = self._traced(self._redirects)
        self._probes = identified(asgi.guarded(HealthEndpoints(self.is_ready, self._families)))

    def _traced(self, app: asgi.App) -> asgi.App:
        return self._tracing.requests(app) if self._tracing else app

    def __call__(
        self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send
    ) -> Awaitable[None]:
        """Route: a path of one segment is a short link; the rest is API or probe."""
        path: str = scope["path"]
        if path in PATHS:
            return self._probes(scope, receive, send)
        if path.find("/", 1) in (-1, len(path) - 1) and path.rstrip("/") not in _NO_LINKS:
            return self._short_links(scope, receive, send)
        return self._api(scope, receive, send)

    async def open(self) -> None:
        """Connect to both databases, and watch them; `/readyz` is 503 until they are connected."""
        databases = self._replica, self._primary
        await asyncio.gather(
            self._replica.open(), self._open_primary(), self._visitors.load_key(*databases)
        )
        gc.collect()
        gc.freeze()  # objects made so far stay, so the collector skips them
        log("ready")
        if self._lag:
            await self._lag.run()

    def _sink(self) -> ClickSink:
        if self._settings.click_mode == "outbox":
            return Outbox(self._primary)
        return StreamWriter(self._queue_client, self._settings.click_stream_mb)

    async def _open_primary(self) -> None:
        settings = self._settings
        await migrate(
            settings.primary_url,
            settings.primary_timeout_s,
            apply=settings.migrate,
            servers=self._failover.servers,
        )
        await self._primary.open()

    async def close(self) -> None:
        """Send the buffered clicks, and close all connections."""
        await self._fill.close()
        await self._clicks.close()
        await asyncio.gather(self._replica.close(), self._primary.close())
        await asyncio.gather(self._cache.close(), self._queue_client.aclose())
        if self._tracing:
            await self._tracing.close(self._settings.shutdown_timeout_s)

    def is_ready(self) -> bool:
        """True once all connections to the databases are open."""
        return self._replica.ready and self._primary.ready and self._visitors.ready

    def _families(self) -> Iterable[Metric]:
        yield from self._metrics.families()
        yield from pool_families(self._replica, self._primary)
        yield breaker_states(self._cache.breaker, self._replica.breaker, self._primary.breaker)
        yield build_info(self._fill_name)
        yield self._in_force
        yield start_time()


def _primary_statements(settings: WebSettings) -> list[str]:
    position = [WRITTEN] if settings.reads_positions else []
    redirects = [LOOK_UP, TAKE, LOOK, WRITE, *position]
    return [*redirects, KEY, *links.STATEMENTS, *link_creation.STATEMENTS]


def _lag_watch(replica: Database, primary: Database, settings: WebSettings) -> LagWatch | None:
    """The watch of the replica's lag, if that is bounded."""
    if not settings.watches_lag:
        return None
    return LagWatch(replica, primary, settings.read_lag_max_s)


def _tokens(primary: Database, settings: WebSettings) -> ReadTokens | None:
    """What answers to writes get, if sessions are kept."""
    if not settings.keeps_sessions:
        return None
    return ReadTokens(primary, with_position=settings.compares_positions)


def _tracing(process: str) -> Tracing | None:
    """Tracing if it is on; OpenTelemetry is slow to import."""
    if not spans.tracing_enabled():
        return None
    from stack.shortener.http.tracing import Tracing

    return Tracing(process)


def _gate(
    peers: TrustedProxies, primary: Database, metrics: Metrics, settings: WebSettings
) -> AccessCheck:
    """The API's access check: keys and rate limit, if they are on."""
    per_s, burst = settings.api_rate_per_s, settings.api_burst
    return AccessCheck(
        peers,
        ApiKeys(primary, settings.api_key_cache_ttl_s) if settings.require_api_key else None,
        RateLimit(per_s, burst) if per_s else None,
        metrics,
    )
