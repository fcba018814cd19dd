"""What the benchmark serves itself: the bare answer, and the shortener under another server.

`python -m tools.bench.hosted bare|web uvicorn|granian HOST:PORT`
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from contextlib import AsyncExitStack

from stack.shortener.http import asgi

_START = {
    "type": "http.response.start",
    "status": 302,
    "headers": [(b"location", b"https://example.org/target"), (b"content-length", b"0")],
}
_BODY = {"type": "http.response.body", "body": b""}


async def bare_app(_scope: asgi.Scope, _receive: asgi.Receive, send: asgi.Send) -> None:
    """The least that a redirect can be: the same two headers for everybody, made beforehand."""
    await send(_START)
    await send(_BODY)


def bare() -> asgi.App:
    """The bare answer, for a server that wants a factory."""
    return bare_app


def web() -> asgi.App:
    """The shortener, which such a server opens and closes by ASGI's lifespan."""
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
    """Serve until SIGTERM; 2 if the arguments are not understood."""
    match arguments:
        case ["bare", "uvicorn", address]:
            _with_uvicorn(*_parted(address))
        case ["bare" | "web" as app, "granian", address]:
            _with_granian(app, *_parted(address))
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2
    return 0


def _parted(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _with_uvicorn(host: str, port: int) -> None:
    """As the product itself is served, but by uvicorn as it comes."""
    import uvicorn

    uvicorn.run(
        bare_app,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        backlog=2048,
    )


def _with_granian(app: str, host: str, port: int) -> None:
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops

    Granian(
        f"tools.bench.hosted:{app}",
        host,
        port,
        interface=Interfaces.ASGINL if app == "bare" else Interfaces.ASGI,
        factory=True,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        backlog=2048,
        log_enabled=False,
    ).serve()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
