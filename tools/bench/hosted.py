"""Servers of the benchmark itself: the bare answer, and the shortener under another HTTP server.

`python -m tools.bench.hosted bare|web uvicorn|granian HOST:PORT`
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from contextlib import AsyncExitStack

import uvicorn

from stack.shortener.http import asgi, server

_START = {
    "type": "http.response.start",
    "status": 302,
    "headers": [(b"location", b"https://example.org/target"), (b"content-length", b"0")],
}
_BODY = {"type": "http.response.body", "body": b""}


async def bare_app(_scope: asgi.Scope, _receive: asgi.Receive, send: asgi.Send) -> None:
    """Send the smallest possible redirect: two fixed headers, encoded beforehand."""
    await send(_START)
    await send(_BODY)


def bare() -> asgi.App:
    """Return the bare app: Granian takes a factory."""
    return bare_app


def web() -> asgi.App:
    """Return the shortener as an app that ASGI's lifespan opens and closes."""
    from stack.shortener.settings import WebSettings, read
    from stack.shortener.web import opened

    settings = read(WebSettings)
    held = AsyncExitStack()
    app: asgi.App = bare_app

    async def lifespan(receive: asgi.Receive, send: asgi.Send) -> None:
        nonlocal app
        await receive()
        app = await held.enter_async_context(opened(settings))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await held.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    def served(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> Awaitable[None]:
        if scope["type"] == "lifespan":
            return lifespan(receive, send)
        return app(scope, receive, send)

    return served


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM; return 2 if the arguments are wrong."""
    match arguments:
        case ["bare", "uvicorn", address]:
            _with_uvicorn(_parted(address))
        case ["bare" | "web" as app, "granian", address]:
            _with_granian(app, _parted(address))
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2
    return 0


def _parted(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _with_uvicorn(address: tuple[str, int]) -> None:
    """Serve the bare app with the product's options, but by uvicorn's own protocol class."""
    uvicorn.Server(server.config(bare_app, address, loop="uvloop", http="httptools")).run()


def _with_granian(app: str, address: tuple[str, int]) -> None:
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops

    Granian(
        f"tools.bench.hosted:{app}",
        *address,
        interface=Interfaces.ASGINL if app == "bare" else Interfaces.ASGI,
        factory=True,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        backlog=server.BACKLOG,
        log_enabled=False,
    ).serve()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
