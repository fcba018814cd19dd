"""ASGI types and whole responses, without a framework."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from stack.shortener.http import problems
from stack.shortener.infra.log import log

ADDRESS_MAX_BYTES = 8 * 1024  # of a path and its query

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]


def check_address(scope: Scope) -> None:
    """Raise `Problem` for an address that is too long."""
    if len(scope["raw_path"]) + len(scope["query_string"]) > ADDRESS_MAX_BYTES:
        raise problems.Problem(414, f"the address is longer than {ADDRESS_MAX_BYTES} bytes")


async def answer(send: Send, status: int, headers: Headers, body: bytes = b"") -> None:
    """Send a whole response."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def text(send: Send, status: int, body: bytes, media_type: bytes = b"text/plain") -> None:
    """Send a whole text response."""
    length = str(len(body)).encode()
    await answer(send, status, [(b"content-type", media_type), (b"content-length", length)], body)


async def problem(send: Send, trouble: problems.Problem, extra: Headers = ()) -> None:
    """Send a problem document, with `extra` headers."""
    body = problems.document(trouble)
    await answer(send, trouble.status, [*problems.headers(trouble, len(body)), *extra], body)


def guarded(app: App) -> App:
    """Wrap an app: an unexpected exception is logged and becomes a 500."""

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except Exception as error:
            await internal_error(scope, send, error)

    return respond


async def internal_error(scope: Scope, send: Send, error: Exception, extra: Headers = ()) -> None:
    """Log an unexpected exception, and respond with 500 and `extra` headers."""
    log("error", level="error", path=scope["path"], error=repr(error), trace=_trace(error))
    with contextlib.suppress(RuntimeError):  # the response has begun already
        await problem(send, problems.Problem(500, "internal error"), extra)


def _trace(error: Exception) -> list[str]:
    import traceback  # slow to import, and needed only here

    return traceback.format_exception(error)
