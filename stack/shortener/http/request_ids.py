"""Request ids: the client's, or else one of ours, in the response and the log.

An id of ours is a prefix of the process and a number, since a random one would cost a redirect too
much; it is no secret.
"""

from __future__ import annotations

import os
import re
import secrets
from itertools import count

from stack.shortener.http import asgi
from stack.shortener.infra import log

HEADER = b"x-request-id"
_SANE = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._~:+/=@-]{0,127}")
_prefix = b""
_serial = count()


def _name_the_process() -> None:
    """Choose a new prefix; a forked process must not share its parent's."""
    global _prefix, _serial
    _prefix = secrets.token_hex(6).encode() + b"-"
    _serial = count()


_name_the_process()
os.register_at_fork(after_in_child=_name_the_process)


def of(given: bytes | None) -> bytes:
    """The given id if it is safe in headers and logs, else a new one."""
    if given is not None and _SANE.fullmatch(given):
        return given
    return b"%b%08x" % (_prefix, next(_serial))


def begin(headers: asgi.Headers) -> bytes:
    """The id of the request with these headers; its log lines have it from now on."""
    given = next((value for name, value in headers if name == HEADER), None)
    request_id = of(given)
    log.request_id.set(request_id)
    return request_id


def identified(app: asgi.App) -> asgi.App:
    """Wrap an app: every response has the id of its request."""

    async def identify(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        request_id = begin(scope["headers"])

        async def send_with_id(message: asgi.Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (HEADER, request_id)]
            await send(message)

        await app(scope, receive, send_with_id)

    return identify
