"""The HTTP API: Toxiproxy's routes, status codes and bodies.

Starlette routes and uvicorn speaks HTTP: both are here for the shortener anyway, and start in
50 ms. What a handler does is one step for the data path to see.
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
    """A request: the names in its path, and its body."""

    proxy: str
    toxic: str
    body: bytes


Handler = Callable[[ApiRequest], Response | Awaitable[Response]]


class ToxiproxyApi:
    """A handler for each route: see Toxiproxy's README for what each is for."""

    def __init__(self, registry: ProxyRegistry, shown: ShownMetrics) -> None:
        self._registry = registry
        self._shown = shown

    def application(self) -> Starlette:
        """All routes, with what Toxiproxy answers for a wrong path or method."""
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
        """Every proxy by name, with its toxics."""
        proxies = self._registry.proxies
        return _json({name: proxies[name].as_json() for name in sorted(proxies)})

    def create_proxy(self, call: ApiRequest) -> Response:
        """A new proxy, listening unless it is asked not to."""
        return _json(self._registry.create(request_bodies.new_proxy(call.body)).as_json(), 201)

    def populate(self, call: ApiRequest) -> Response:
        """Several proxies; on a failure the answer has those that were done before it."""
        done: list[dict[str, Any]] = []
        try:
            for proxy in self._registry.populate(request_bodies.new_proxies(call.body)):
                done.append(proxy.as_json())  # noqa: PERF401 (what was done must outlive a failure)
        except ApiError as error:
            return _json({**error.as_json(), "proxies": done or None}, error.status)
        return _json({"proxies": done or None}, 201)

    async def reset(self, _: ApiRequest) -> Response:
        """Every proxy listening, no toxic anywhere."""
        self._registry.reset()
        for proxy in self._registry.proxies.values():
            for direction in DIRECTIONS:
                await _committed(proxy, direction)
        return Response(status_code=204)

    def show_proxy(self, call: ApiRequest) -> Response:
        """One proxy."""
        return _json(self._registry.get(call.proxy).as_json())

    def update_proxy(self, call: ApiRequest) -> Response:
        """Other addresses for a proxy, or its start or stop."""
        proxy = self._registry.get(call.proxy)
        wanted = request_bodies.changed_proxy(proxy, call.body)
        proxy.update(wanted.listen, wanted.upstream, enabled=wanted.enabled)
        return _json(proxy.as_json())

    def delete_proxy(self, call: ApiRequest) -> Response:
        """A proxy's end."""
        self._registry.delete(call.proxy)
        return Response(status_code=204)

    def list_toxics(self, call: ApiRequest) -> Response:
        """A proxy's toxics."""
        return _json([wrapper.as_json() for wrapper in self._registry.get(call.proxy).toxics])

    async def create_toxic(self, call: ApiRequest) -> Response:
        """A toxic, at work on every connection when this is answered."""
        proxy = self._registry.get(call.proxy)
        wrapper = request_bodies.new_toxic(proxy, call.body)
        proxy.add(wrapper)
        await _committed(proxy, wrapper.direction)
        return _json(wrapper.as_json())

    def show_toxic(self, call: ApiRequest) -> Response:
        """One toxic."""
        proxy = self._registry.get(call.proxy)
        return _json(proxy.toxic(call.toxic).as_json())

    async def update_toxic(self, call: ApiRequest) -> Response:
        """Other attributes or another toxicity. What can be read of a refused one is in force."""
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
        """A toxic's end."""
        proxy = self._registry.get(call.proxy)
        await _committed(proxy, proxy.remove(call.toxic).direction)
        return Response(status_code=204)

    def version(self, _: ApiRequest) -> Response:
        """The version of Toxiproxy whose API this is."""
        answer = json.dumps({"version": VERSION}) + "\n"
        return Response(answer, media_type="application/json;charset=utf-8")

    def metrics(self, _: ApiRequest) -> Response:
        """The byte counts as Prometheus text."""
        told = byte_metrics.text(self._registry, self._shown)
        return Response(told, media_type=byte_metrics.MEDIA_TYPE)


async def _committed(proxy: Proxy, direction: str) -> None:
    """Wait until what nothing changes any more has happened: a change has its effect after it."""
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
    route.methods = None  # `answer` tells a wrong one by itself
    return route


class _Cleaned:
    """Leads a path with needless slashes or dots to the one that is meant; refuses a broken one.

    Bytes that are no UTF-8 stay as they are, so they name nothing.
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
    """Twenty letters and digits: seconds, process and a count, so they sort by time."""
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
