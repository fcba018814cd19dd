"""A web process: its parts put together, and run."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager

from prometheus_client.metrics_core import Metric

from stack.shortener import asgi
from stack.shortener.api import Api
from stack.shortener.cache import Cache
from stack.shortener.clicks import Clicks, Sink
from stack.shortener.counted import counted
from stack.shortener.db import Database
from stack.shortener.enqueue import Enqueue
from stack.shortener.fills import Parts, by_name
from stack.shortener.links import STATEMENTS, Links
from stack.shortener.log import log
from stack.shortener.metrics import Metrics, build_info, started
from stack.shortener.migrate import migrate
from stack.shortener.origin import LOOK_UP, Origin
from stack.shortener.outbox import WRITE, Outbox
from stack.shortener.pools import pools
from stack.shortener.probes import PATHS, Probes
from stack.shortener.redirect import Redirects
from stack.shortener.redis_client import connect
from stack.shortener.refill import Refill
from stack.shortener.server import serve
from stack.shortener.settings import WebSettings
from stack.shortener.visitors import Visitors

_CACHE_CONNECTIONS, _QUEUE_CONNECTIONS = 32, 2


async def run(settings: WebSettings) -> None:
    """Serve until told to stop, then send the clicks that are left."""
    async with opened(settings) as web:
        await serve(web, settings.address, settings.shutdown_s)


@asynccontextmanager
async def opened(settings: WebSettings) -> AsyncIterator[asgi.App]:
    """The app, which any server can serve; it connects meanwhile, and ends tidily.

    Serving is cancelled if the database turns out to be none that we can work with.
    """
    web = _Web(settings)
    try:
        async with asyncio.TaskGroup() as group:
            opening = group.create_task(web.open())
            yield web
            opening.cancel()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    finally:
        await web.close()
        log("stopped", name=settings.name)


class _Web:
    """Everything a web process holds, and which part of it answers which path."""

    def __init__(self, settings: WebSettings) -> None:
        self._name = settings.name
        self._settings = settings
        self._fill_name = settings.cache_fill
        self._metrics = metrics = Metrics()
        self._replica = Database(
            "replica",
            settings.replica_url,
            settings.pool_size,
            settings.replica_timeout_s,
            [LOOK_UP],
        )
        self._primary = Database(
            "primary",
            settings.primary_url,
            settings.primary_pool_size,
            settings.primary_timeout_s,
            [LOOK_UP, WRITE, *STATEMENTS],
        )
        cache_client = connect(settings.cache_url, settings.cache_timeout_s, _CACHE_CONNECTIONS)
        self._queue_client = connect(
            settings.queue_url, settings.queue_timeout_s, _QUEUE_CONNECTIONS
        )
        stale_s = settings.cache_stale_s if settings.cache_fill == "swr" else 0.0
        self._cache = cache = Cache(cache_client, settings, stale_s)
        refill = Refill(Origin(self._replica, self._primary, metrics), cache, metrics)
        self._fill = by_name(settings.cache_fill, Parts(cache, refill, metrics, settings))
        self._clicks = Clicks(self._sink(), metrics, settings)
        self._visitors = Visitors()
        api = Api(Links(self._primary), cache, metrics, settings.public_url)
        self._redirects = Redirects(self._fill, refill, self._clicks, metrics)
        self._api = counted(asgi.guarded(api.app()), metrics)
        self._probes = asgi.guarded(Probes(self._ready, self._families))

    def __call__(
        self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send
    ) -> Awaitable[None]:
        """One segment is a short link; the rest is API or probe."""
        path: str = scope["path"]
        if path in PATHS:
            return self._probes(scope, receive, send)
        if path.find("/", 1) < 0 and path != "/":
            return self._redirects(scope, receive, send)
        return self._api(scope, receive, send)

    async def open(self) -> None:
        """Connect to both databases at once; until then `/readyz` says no."""
        databases = self._replica, self._primary
        await asyncio.gather(
            self._replica.open(), self._open_primary(), self._visitors.learn(*databases)
        )
        gc.collect()
        gc.freeze()  # what was made until now stays: the collector need not look at it again
        log("ready", name=self._name)

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

    def _ready(self) -> bool:
        return self._replica.ready and self._primary.ready

    def _families(self) -> Iterable[Metric]:
        yield from self._metrics.families()
        yield from pools(self._replica, self._primary)
        yield build_info(self._fill_name)
        yield started()
