"""A web process: its parts put together, and run."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import Metric

from stack.shortener import asgi, links, making, spans
from stack.shortener.admission import bounded
from stack.shortener.api import PAGES, Api
from stack.shortener.breaker import states
from stack.shortener.budget import Budget
from stack.shortener.cache import Cache
from stack.shortener.clicks import Clicks, Sink
from stack.shortener.counted import counted
from stack.shortener.db import Database
from stack.shortener.enqueue import Enqueue
from stack.shortener.fills import Parts, by_name
from stack.shortener.gate import Gate
from stack.shortener.keys import LOOK_UP as KEY
from stack.shortener.keys import Keys
from stack.shortener.lane import Lane
from stack.shortener.limits import LOOK, TAKE, Permits
from stack.shortener.links import Links
from stack.shortener.log import configure, log
from stack.shortener.making import Maker
from stack.shortener.metrics import Metrics, build_info, started
from stack.shortener.migrate import migrate
from stack.shortener.near import Near
from stack.shortener.origin import LOOK_UP, Origin
from stack.shortener.outbox import WRITE, Outbox
from stack.shortener.peers import Peers
from stack.shortener.pools import pools
from stack.shortener.probes import PATHS, Probes
from stack.shortener.rate import Rate
from stack.shortener.redirect import Redirects
from stack.shortener.redis_client import connect
from stack.shortener.refill import Refill
from stack.shortener.request_ids import identified
from stack.shortener.server import serve
from stack.shortener.settings import WebSettings
from stack.shortener.visitors import Visitors

if TYPE_CHECKING:
    from stack.shortener.tracing import Tracing

_NO_LINKS = {"", *PAGES}
_CACHE_CONNECTIONS, _QUEUE_CONNECTIONS = 32, 2


async def run(settings: WebSettings) -> None:
    """Serve until told to stop, then send the clicks that are left."""
    async with opened(settings) as web:
        await serve(
            web,
            settings.address,
            settings.shutdown_s,
            lane=web.lane,
            drain_s=settings.drain_s,
            ready=web.is_ready,
            ready_wait_s=settings.ready_wait_s,
        )


@asynccontextmanager
async def opened(settings: WebSettings) -> AsyncIterator[Web]:
    """The app, which any server can serve; it connects meanwhile, and ends tidily.

    Serving is cancelled if the database turns out to be none that we can work with.
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
    """Everything a web process holds, and which part of it answers which path."""

    def __init__(self, settings: WebSettings) -> None:
        self._tracing = _tracing(settings.name)
        self._settings = settings
        self._fill_name = settings.cache_fill
        self._metrics = metrics = Metrics()
        self._replica = Database(
            "replica",
            settings.replica_url,
            settings.pool_size,
            settings.replica_timeout_s,
            [LOOK_UP],
            wait_s=settings.pool_wait_s,
            breaker_failures=settings.breaker_failures,
            breaker_pause_s=settings.breaker_pause_s,
        )
        self._primary = Database(
            "primary",
            settings.primary_url,
            settings.primary_pool_size,
            settings.primary_timeout_s,
            [LOOK_UP, TAKE, LOOK, KEY, WRITE, *links.STATEMENTS, *making.STATEMENTS],
            wait_s=settings.pool_wait_s,
            breaker_failures=settings.breaker_failures,
            breaker_pause_s=settings.breaker_pause_s,
        )
        cache_client = connect(settings.cache_url, settings.cache_timeout_s, _CACHE_CONNECTIONS)
        self._queue_client = connect(
            settings.queue_url, settings.queue_timeout_s, _QUEUE_CONNECTIONS
        )
        stale_s = settings.cache_stale_s if settings.cache_fill == "swr" else 0.0
        near = Near(settings.near_ttl_s, settings.near_size)
        self._cache = cache = Cache(cache_client, near, settings, stale_s)
        origin = Origin(self._replica, self._primary, metrics, Budget(settings.retry_share))
        refill = Refill(origin, cache, metrics)
        self._fill = by_name(settings.cache_fill, Parts(cache, refill, metrics, settings))
        self._clicks = Clicks(self._sink(), metrics, settings)
        self._visitors = Visitors()
        peers = Peers(settings.trusted_proxies)
        api = Api(
            links=Links(self._primary),
            maker=Maker(self._primary, settings.code_length),
            cache=cache,
            metrics=metrics,
            gate=_gate(peers, self._primary, metrics, settings),
            peers=peers,
            settings=settings,
        )
        self._redirects = Redirects(
            cache=cache,
            near=near,
            fill=self._fill,
            refill=refill,
            permits=Permits(self._primary, metrics),
            clicks=self._clicks,
            visitors=self._visitors,
            peers=peers,
            metrics=metrics,
            settings=settings,
            reserved={path[1:] for path in PATHS | PAGES},
        )
        self.lane: Lane | None = None if spans.wanted() else self._redirects
        bound = bounded(api, metrics, settings.most_in_flight, settings.request_deadline_s)
        self._api = self._traced(identified(counted(asgi.guarded(bound), metrics)))
        self._short_links = self._traced(self._redirects)
        self._probes = identified(asgi.guarded(Probes(self.is_ready, self._families)))

    def _traced(self, app: asgi.App) -> asgi.App:
        return self._tracing.requests(app) if self._tracing else app

    def __call__(
        self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send
    ) -> Awaitable[None]:
        """One segment, with a slash behind or none, is a short link; the rest is API or probe."""
        path: str = scope["path"]
        if path in PATHS:
            return self._probes(scope, receive, send)
        if path.find("/", 1) in (-1, len(path) - 1) and path.rstrip("/") not in _NO_LINKS:
            return self._short_links(scope, receive, send)
        return self._api(scope, receive, send)

    async def open(self) -> None:
        """Connect to both databases at once; until then `/readyz` says no."""
        databases = self._replica, self._primary
        await asyncio.gather(
            self._replica.open(), self._open_primary(), self._visitors.learn(*databases)
        )
        gc.collect()
        gc.freeze()  # what was made until now stays: the collector need not look at it again
        log("ready")

    def _sink(self) -> Sink:
        if self._settings.click_mode == "outbox":
            return Outbox(self._primary)
        return Enqueue(self._queue_client, self._settings.click_stream_mb)

    async def _open_primary(self) -> None:
        settings = self._settings
        await migrate(settings.primary_url, settings.primary_timeout_s, apply=settings.migrate)
        await self._primary.open()

    async def close(self) -> None:
        """Send the clicks that are left, and let go of everything."""
        await self._fill.close()
        await self._clicks.close()
        await asyncio.gather(self._replica.close(), self._primary.close())
        await asyncio.gather(self._cache.close(), self._queue_client.aclose())
        if self._tracing:
            await self._tracing.close(self._settings.shutdown_s)

    def is_ready(self) -> bool:
        """Whether all connections to the databases are open."""
        return self._replica.ready and self._primary.ready and self._visitors.ready

    def _families(self) -> Iterable[Metric]:
        yield from self._metrics.families()
        yield from pools(self._replica, self._primary)
        yield states(self._cache.breaker, self._replica.breaker, self._primary.breaker)
        yield build_info(self._fill_name)
        yield started()


def _tracing(process: str) -> Tracing | None:
    """OpenTelemetry takes a while to import, so it is only where traces are wanted."""
    if not spans.wanted():
        return None
    from stack.shortener.tracing import Tracing

    return Tracing(process)


def _gate(peers: Peers, primary: Database, metrics: Metrics, settings: WebSettings) -> Gate:
    """What the API asks of its clients; nothing where a setting is off."""
    per_s, burst = settings.api_rate_per_s, settings.api_burst
    return Gate(
        peers,
        Keys(primary, settings.api_key_keep_s) if settings.require_api_key else None,
        Rate(per_s, burst) if per_s else None,
        metrics,
    )
