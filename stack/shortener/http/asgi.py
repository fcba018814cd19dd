"""The little of ASGI that is needed beside Starlette: its types, and whole answers."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from stack.shortener.http import problems
from stack.shortener.infra.log import log

ADDRESS_LONGEST = 8 * 1024  # bytes of a request's address

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]


def check_address(scope: Scope) -> None:
    """Raise `Problem` for an address that is too long."""
    if len(scope["raw_path"]) + len(scope["query_string"]) > ADDRESS_LONGEST:
        raise problems.Problem(414, f"the address is longer than {ADDRESS_LONGEST} bytes")


async def answer(send: Send, status: int, headers: Headers, body: bytes = b"") -> None:
    """Send a whole answer."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def text(send: Send, status: int, body: bytes, media_type: bytes = b"text/plain") -> None:
    """Send a whole answer of text."""
    length = str(len(body)).encode()
    await answer(send, status, [(b"content-type", media_type), (b"content-length", length)], body)


async def problem(send: Send, trouble: problems.Problem, more: Headers = ()) -> None:
    """Send a problem document, with `more` headers than those that belong to it."""
    body = problems.document(trouble)
    await answer(send, trouble.status, [*problems.headers(trouble, len(body)), *more], body)


def guarded(app: App) -> App:
    """An app whose mistakes become a bare 500, and a line in the log that tells all."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except Exception as error:
            await mistake(scope, send, error)

    return guard


async def mistake(scope: Scope, send: Send, error: Exception, more: Headers = ()) -> None:
    """Log an error that nobody foresaw, and answer that there was one, with `more` headers."""
    log("error", level="error", path=scope["path"], error=repr(error), trace=_trace(error))
    with contextlib.suppress(RuntimeError):  # the answer has begun; uvicorn takes no other
        await problem(send, problems.Problem(500, "this is our mistake, and it is logged"), more)


def _trace(error: Exception) -> list[str]:
    import traceback  # only ever needed here, and not for a quick start

    return traceback.format_exception(error)
