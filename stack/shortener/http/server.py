"""The HTTP server: uvicorn on uvloop and httptools; SIGTERM and SIGINT end it with exit code 0."""

from __future__ import annotations

import asyncio
import math
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from stack.shortener.http import asgi
from stack.shortener.http.fast_path import FastPath, protocol

BACKLOG = 2048
_KEEP_ALIVE_S = 75  # above the balancer's: this end must not close an idle connection first
_READY_POLL_S = 0.02


def config(app: asgi.App, address: tuple[str, int], **more: Any) -> uvicorn.Config:
    """Options of uvicorn for an ASGI app that writes its own log and headers, and `more`."""
    host, port = address
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        backlog=BACKLOG,
        **more,
    )


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], bool], ready_wait_s: float
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._ready_wait_s = ready_wait_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen once ready: a balancer takes a listening server for a ready one."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._ready_wait_s
        while not (self._ready() or self.should_exit or loop.time() > deadline_s):
            await asyncio.sleep(_READY_POLL_S)
        if not self.should_exit:
            await super().startup(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals without raising them again at the end, as uvicorn does."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


async def serve(
    app: asgi.App,
    address: tuple[str, int],
    shutdown_timeout_s: float,
    *,
    fast_path: FastPath | None = None,
    drain_s: float = 0.0,
    ready: Callable[[], bool] = lambda: True,
    ready_wait_s: float = 0.0,
) -> None:
    """Serve from ready until SIGTERM or SIGINT.

    At shutdown no connection is accepted; open ones get one more response within `drain_s`, and
    requests in flight after that end within `shutdown_timeout_s`.
    """
    options = config(
        app,
        address,
        loop="none",
        http=protocol(fast_path, drain_s),
        timeout_graceful_shutdown=max(1, math.ceil(drain_s + shutdown_timeout_s)),
    )
    await _Server(options, ready, ready_wait_s).serve()
