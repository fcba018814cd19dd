"""The HTTP server: uvicorn on uvloop and httptools, ended by SIGTERM or SIGINT with exit code 0."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from stack.shortener import asgi
from stack.shortener.lane import Lane, protocol

_KEEP_ALIVE_S = 75  # above the balancer's: this end must not close an idle connection first


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Uvicorn's own would raise the signal again at the end, and so end as if killed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


async def serve(
    app: asgi.App, address: tuple[str, int], shutdown_s: float, lane: Lane | None = None
) -> None:
    """Serve until told to stop, then let requests end within `shutdown_s`."""
    host, port = address
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="none",
        http=protocol(lane),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(shutdown_s)),
        backlog=2048,
    )
    await _Server(config).serve()
