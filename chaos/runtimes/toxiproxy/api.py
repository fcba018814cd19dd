"""The HTTP API: Toxiproxy's routes, status codes and bodies.

Starlette routes and uvicorn speaks HTTP: both are here for the shortener anyway, and start in
50 ms. No handler waits for anything, so each request is one step for the data path to see.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from chaos.runtimes.toxiproxy import metrics, orders
from chaos.runtimes.toxiproxy.errors import ApiError
from chaos.runtimes.toxiproxy.registry import Registry

VERSION = "2.12.0"
NOSNIFF = {"X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True)
class Call:
    """A request: the names in its path, and its body."""

    proxy: str
    toxic: str
    body: bytes


Handler = Callable[[Call], Response]


class Api:
    """A handler for each route: see Toxiproxy's README for what each is for."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

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
                _route("/metrics", GET=self.metrics),
            ],
            exception_handlers={404: _not_found, 405: _wrong_method},
        )
        application.router.redirect_slashes = False
        return application

    def list_proxies(self, _: Call) -> Response:
        """Every proxy by name, with its toxics."""
        proxies = self._registry.proxies
        return JSONResponse({name: proxies[name].as_json() for name in sorted(proxies)})

    def create_proxy(self, call: Call) -> Response:
        """A new proxy, listening unless it is asked not to."""
        return JSONResponse(self._registry.create(orders.new_proxy(call.body)).as_json(), 201)

    def populate(self, call: Call) -> Response:
        """Several proxies; on a failure the answer has those that were done before it."""
        done: list[dict[str, Any]] = []
        try:
            for proxy in self._registry.populate(orders.new_proxies(call.body)):
                done.append(proxy.as_json())  # noqa: PERF401 (what was done must outlive a failure)
        except ApiError as error:
            return JSONResponse({**error.as_json(), "proxies": done or None}, error.status)
        return JSONResponse({"proxies": done or None}, 201)

    def reset(self, _: Call) -> Response:
        """Every proxy listening, no toxic anywhere."""
        self._registry.reset()
        return Response(status_code=204)

    def show_proxy(self, call: Call) -> Response:
        """One proxy."""
        return JSONResponse(self._registry.get(call.proxy).as_json())

    def update_proxy(self, call: Call) -> Response:
        """Other addresses for a proxy, or its start or stop."""
        proxy = self._registry.get(call.proxy)
        wanted = orders.changed_proxy(proxy, call.body)
        proxy.update(wanted.listen, wanted.upstream, enabled=wanted.enabled)
        return JSONResponse(proxy.as_json())

    def delete_proxy(self, call: Call) -> Response:
        """A proxy's end."""
        self._registry.delete(call.proxy)
        return Response(status_code=204)

    def list_toxics(self, call: Call) -> Response:
        """A proxy's toxics."""
        return JSONResponse([dose.as_json() for dose in self._registry.get(call.proxy).doses])

    def create_toxic(self, call: Call) -> Response:
        """A toxic, at work on every connection when this is answered."""
        proxy = self._registry.get(call.proxy)
        dose = orders.new_dose(call.body)
        proxy.add(dose)
        return JSONResponse(dose.as_json())

    def show_toxic(self, call: Call) -> Response:
        """One toxic."""
        proxy = self._registry.get(call.proxy)
        return JSONResponse(proxy.dose(call.toxic).as_json())

    def update_toxic(self, call: Call) -> Response:
        """Other attributes or another toxicity."""
        proxy = self._registry.get(call.proxy)
        dose = orders.changed_dose(proxy.dose(call.toxic), call.body)
        proxy.update_dose(dose)
        return JSONResponse(dose.as_json())

    def delete_toxic(self, call: Call) -> Response:
        """A toxic's end."""
        self._registry.get(call.proxy).remove(call.toxic)
        return Response(status_code=204)

    def version(self, _: Call) -> Response:
        """The version of Toxiproxy whose API this is."""
        answer = json.dumps({"version": VERSION}) + "\n"
        return Response(answer, media_type="application/json;charset=utf-8")

    def metrics(self, _: Call) -> Response:
        """The byte counts as Prometheus text."""
        return Response(metrics.text(self._registry), media_type=metrics.MEDIA_TYPE)


def _route(path: str, **handlers: Handler) -> Route:
    async def answer(request: Request) -> Response:
        if request.method not in handlers:
            return Response(status_code=405)
        if request.headers.get("user-agent", "").startswith("Mozilla/"):
            return _plain("User agent not allowed", 403)
        try:
            names = request.path_params
            call = Call(names.get("proxy", ""), names.get("toxic", ""), await request.body())
            return handlers[request.method](call)
        except ApiError as error:
            return _plain(json.dumps(error.as_json(), separators=(",", ":")), error.status)

    return Route(path, answer, methods=list(handlers))


def _plain(text: str, status: int) -> Response:
    return PlainTextResponse(text + "\n", status, NOSNIFF)


async def _not_found(_: Request, __: Exception) -> Response:
    return _plain("404 page not found", 404)


async def _wrong_method(_: Request, __: Exception) -> Response:
    return Response(status_code=405)
