"""The HTTP API: Toxiproxy's routes, status codes and bodies.

Starlette and uvicorn are installed for the shortener anyway, and start in 50 ms. A handler runs
without a break, so the data path sees each change as one step.
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import itertools
import json
import os
import posixpath
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from chaos.toxiproxy import byte_metrics, go_json, request_bodies
from chaos.toxiproxy.byte_metrics import ShownMetrics
from chaos.toxiproxy.errors import ApiError
from chaos.toxiproxy.proxies import ProxyRegistry
from chaos.toxiproxy.proxy import DIRECTIONS, Proxy

VERSION = "2.12.0"
ANSWER_S = 25
TOO_LATE = "<html><head><title>Timeout</title></head><body><h1>Timeout</h1></body></html>"
NOSNIFF = {"X-Content-Type-Options": "nosniff"}
COUNT = itertools.count(int.from_bytes(os.urandom(3), "big"))
MACHINE = int.from_bytes(os.urandom(3), "big")
BROKEN_ESCAPE = re.compile(b"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True)
class ApiRequest:
    """Names in the path, and the body."""

    proxy: str
    toxic: str
    body: bytes


Handler = Callable[[ApiRequest], Response | Awaitable[Response]]


class ToxiproxyApi:
    """One handler a route; Toxiproxy's README documents each."""

    def __init__(self, registry: ProxyRegistry, shown: ShownMetrics) -> None:
        self._registry = registry
        self._shown = shown

    def application(self) -> Starlette:
        """Return the app, with Toxiproxy's responses for a wrong path or method."""
        application = Starlette(
            routes=[
                _route("/proxies", GET=self.list_proxies, POST=self.create_proxy),
                _route("/populate", POST=self.populate),
                _route("/reset", POST=self.reset),
                _route(
                    "/proxies/{proxy}",
                    GET=self.show_proxy,
                    POST=self.update_proxy,
                    PATCH=self.update_proxy,
                    DELETE=self.delete_proxy,
                ),
                _route("/proxies/{proxy}/toxics", GET=self.list_toxics, POST=self.create_toxic),
                _route(
                    "/proxies/{proxy}/toxics/{toxic}",
                    GET=self.show_toxic,
                    POST=self.update_toxic,
                    PATCH=self.update_toxic,
                    DELETE=self.delete_toxic,
                ),
                _route("/version", GET=self.version),
                *([_route("/metrics", ANY=self.metrics)] if self._shown != ShownMetrics() else []),
            ],
            middleware=[Middleware(_Cleaned)],
            exception_handlers={404: _not_found},
        )
        application.router.redirect_slashes = False
        return application

    def list_proxies(self, _: ApiRequest) -> Response:
        """List proxies by name, with their toxics."""
        proxies = self._registry.proxies
        return _json({name: proxies[name].as_json() for name in sorted(proxies)})

    def create_proxy(self, call: ApiRequest) -> Response:
        """Create a proxy, which listens unless `enabled` is false."""
        return _json(self._registry.create(request_bodies.new_proxy(call.body)).as_json(), 201)

    def populate(self, call: ApiRequest) -> Response:
        """Create several proxies; a failure lists those created before it."""
        done: list[dict[str, Any]] = []
        try:
            for proxy in self._registry.populate(request_bodies.new_proxies(call.body)):
                done.append(proxy.as_json())  # noqa: PERF401 (a failure must keep the earlier ones)
        except ApiError as error:
            return _json({**error.as_json(), "proxies": done or None}, error.status)
        return _json({"proxies": done or None}, 201)

    async def reset(self, _: ApiRequest) -> Response:
        """Start every proxy, and remove every toxic."""
        self._registry.reset()
        for proxy in self._registry.proxies.values():
            for direction in DIRECTIONS:
                await _committed(proxy, direction)
        return Response(status_code=204)

    def show_proxy(self, call: ApiRequest) -> Response:
        """Show a proxy."""
        return _json(self._registry.get(call.proxy).as_json())

    def update_proxy(self, call: ApiRequest) -> Response:
        """Change a proxy's addresses, or start or stop it."""
        proxy = self._registry.get(call.proxy)
        wanted = request_bodies.changed_proxy(proxy, call.body)
        proxy.update(wanted.listen, wanted.upstream, enabled=wanted.enabled)
        return _json(proxy.as_json())

    def delete_proxy(self, call: ApiRequest) -> Response:
        """Delete a proxy."""
        self._registry.delete(call.proxy)
        return Response(status_code=204)

    def list_toxics(self, call: ApiRequest) -> Response:
        """List a proxy's toxics."""
        return _json([wrapper.as_json() for wrapper in self._registry.get(call.proxy).toxics])

    async def create_toxic(self, call: ApiRequest) -> Response:
        """Add a toxic; it acts on every connection before the response is sent."""
        proxy = self._registry.get(call.proxy)
        wrapper = request_bodies.new_toxic(proxy, call.body)
        proxy.add(wrapper)
        await _committed(proxy, wrapper.direction)
        return _json(wrapper.as_json())

    def show_toxic(self, call: ApiRequest) -> Response:
        """Show a toxic."""
        proxy = self._registry.get(call.proxy)
        return _json(proxy.toxic(call.toxic).as_json())

    async def update_toxic(self, call: ApiRequest) -> Response:
        """Change attributes or toxicity; attributes read before an error stay changed."""
        proxy = self._registry.get(call.proxy)
        wrapper = proxy.toxic(call.toxic)
        try:
            request_bodies.change_toxic(wrapper, call.body)
        except ApiError:
            proxy.set_toxic(wrapper)
            raise
        proxy.update_toxic(wrapper)
        await _committed(proxy, wrapper.direction)
        return _json(wrapper.as_json())

    async def delete_toxic(self, call: ApiRequest) -> Response:
        """Delete a toxic."""
        proxy = self._registry.get(call.proxy)
        await _committed(proxy, proxy.remove(call.toxic).direction)
        return Response(status_code=204)

    def version(self, _: ApiRequest) -> Response:
        """Show the version of Toxiproxy that this equals."""
        answer = json.dumps({"version": VERSION}) + "\n"
        return Response(answer, media_type="application/json;charset=utf-8")

    def metrics(self, _: ApiRequest) -> Response:
        """Show metrics as Prometheus text."""
        shown = byte_metrics.text(self._registry, self._shown)
        return Response(shown, media_type=byte_metrics.MEDIA_TYPE)


async def _committed(proxy: Proxy, direction: str) -> None:
    """Wait until decisions that cannot be revoked are carried out; then the change is in effect."""
    if (wait_s := proxy.committed_until_s(direction) - time.monotonic()) > 0:
        await asyncio.sleep(wait_s)


def _route(path: str, **handlers: Handler) -> Route:
    async def answer(request: Request) -> Response:
        handler = handlers.get(request.method) or handlers.get("ANY")
        if handler is None:
            return Response(status_code=405)
        try:
            answered = await asyncio.wait_for(_answer(handler, request), ANSWER_S)
        except TimeoutError:
            answered = Response(TOO_LATE, 503, media_type="text/html")
        answered.headers["X-Toxiproxy-Request-Id"] = _request_id()
        return answered

    route = Route(path, answer)
    route.methods = None  # `answer` rejects wrong ones itself
    return route


class _Cleaned:
    """Redirect paths with needless slashes or dots to the clean path; reject broken escapes.

    Bytes that are not UTF-8 stay as they are, so they match no name.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope["raw_path"]
        if BROKEN_ESCAPE.search(raw):
            refused = PlainTextResponse("400 Bad Request", 400, {"Connection": "close"})
            await refused(scope, receive, send)
            return
        path = scope["path"] = unquote_to_bytes(raw).decode(errors="surrogateescape")
        clean = "/" + posixpath.normpath("/" + path.lstrip("/")).lstrip("/")
        if path.endswith("/") and clean != "/":
            clean += "/"
        if clean == path:
            await self._app(scope, receive, send)
            return
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        location = quote(clean.encode(errors="surrogateescape")) + query.decode("latin-1")
        moved = Response(status_code=301, headers={"Location": location})
        await moved(scope, receive, send)


async def _answer(handler: Handler, request: Request) -> Response:
    if request.headers.get("user-agent", "").startswith("Mozilla/"):
        return _plain("User agent not allowed", 403)
    names = request.path_params
    call = ApiRequest(names.get("proxy", ""), names.get("toxic", ""), await request.body())
    try:
        answer = handler(call)
        return await answer if inspect.isawaitable(answer) else answer
    except ApiError as error:
        return _plain(go_json.text(error.as_json()), error.status)


def _request_id() -> str:
    """Return 20 letters and digits: seconds, process and a count, so ids sort by time."""
    number = next(COUNT)
    parts = (int(time.time()), 4), (MACHINE, 3), (os.getpid() & 0xFFFF, 2), (number & 0xFFFFFF, 3)
    raw = b"".join(value.to_bytes(size, "big") for value, size in parts)
    return base64.b32hexencode(raw).decode().lower().rstrip("=")


def _json(value: object, status: int = 200) -> Response:
    return Response(go_json.text(value), status, media_type="application/json")


def _plain(text: str, status: int) -> Response:
    return PlainTextResponse(text + "\n", status, NOSNIFF)


async def _not_found(_: Request, __: Exception) -> Response:
    return _plain("404 page not found", 404)
