"""The API for those who make and change links."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stack.shortener import inputs
from stack.shortener.cache import Cache, CacheUnavailable
from stack.shortener.counted import Endpoint, named
from stack.shortener.db import DatabaseUnavailable
from stack.shortener.links import Link, Links
from stack.shortener.log import log
from stack.shortener.metrics import Metrics
from stack.shortener.problems import MEDIA_TYPE, Problem, document, unavailable
from stack.shortener.redirect import CODE

BODY_LONGEST = 16 * 1024


class Api:
    """The endpoints; each change of a link is told to the cache before it is answered."""

    def __init__(self, links: Links, cache: Cache, metrics: Metrics, public_url: str) -> None:
        self._links = links
        self._cache = cache
        self._metrics = metrics
        self._public_url = public_url.rstrip("/")

    def app(self) -> Starlette:
        """The endpoints as an ASGI app."""
        one = "/api/links/{code}"
        app = Starlette(
            routes=[
                Route("/api/links", named("create", self.create), methods=["POST"]),
                Route(
                    one,
                    _by_method(
                        GET=named("read", self.show),
                        PATCH=named("change", self.update),
                        DELETE=named("delete", self.delete),
                    ),
                    methods=["GET", "PATCH", "DELETE"],
                ),
                Route(f"{one}/stats", named("stats", self.stats), methods=["GET"]),
            ],
            exception_handlers={
                Problem: _problem,
                HTTPException: _http_exception,
                DatabaseUnavailable: _unavailable,
            },
        )
        app.router.redirect_slashes = False
        return app

    async def create(self, request: Request) -> Response:
        """POST /api/links: 201 with the link; again 201 for the same Idempotency-Key and body."""
        key = inputs.idempotency_key(request.headers.get("idempotency-key"))
        wanted = inputs.new_link(await _members(request), datetime.now(UTC))
        if key is None:
            link, fresh = await self._links.create(wanted), True
        else:
            link, fresh = await self._links.create_once(key, wanted)
        if fresh:
            await self._changed(link.code, link.version)
        location = {"Location": f"/api/links/{link.code}"}
        return JSONResponse(self._shown(link, request), 201, location)

    async def show(self, request: Request) -> Response:
        """GET /api/links/{code}: the link as it is now."""
        return JSONResponse(self._shown(await self._links.get(_code(request)), request))

    async def update(self, request: Request) -> Response:
        """PATCH /api/links/{code}: change url, expires_at (null: never) or disabled."""
        change = inputs.change(await _members(request))
        link = await self._links.update(_code(request), change)
        await self._changed(link.code, link.version)
        return JSONResponse(self._shown(link, request))

    async def delete(self, request: Request) -> Response:
        """DELETE /api/links/{code}: 204, and the code is never used again."""
        code = _code(request)
        await self._changed(code, await self._links.delete(code))
        return Response(status_code=204)

    async def stats(self, request: Request) -> Response:
        """GET /api/links/{code}/stats: what was counted so far."""
        return JSONResponse(await self._links.stats(_code(request)))

    async def _changed(self, code: str, version: int) -> None:
        """Tell the cache; if it cannot be told, it errs until its entry's time to live is over."""
        try:
            await self._cache.forget(code, version)
        except CacheUnavailable as error:
            self._metrics.cache_failures += 1
            log("cache_not_told", code=code, version=version, error=repr(error))

    def _shown(self, link: Link, request: Request) -> dict[str, Any]:
        base = self._public_url or str(request.base_url).rstrip("/")
        expires_at = link.expires_at.isoformat() if link.expires_at else None
        return {
            **vars(link),
            "short_url": f"{base}/{link.code}",
            "expires_at": expires_at,
            "created_at": link.created_at.isoformat(),
            "updated_at": link.updated_at.isoformat(),
        }


def _by_method(**endpoints: Endpoint) -> Callable[..., Any]:
    """One endpoint of several methods, so that a 405 names them all."""

    async def endpoint(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return endpoint


def _code(request: Request) -> str:
    code: str = request.path_params["code"]
    if CODE.fullmatch(code) is None:
        raise Problem(404, "there is no such link")
    return code


async def _members(request: Request) -> dict[str, Any]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(415, "the body must be application/json")
    return inputs.parse(await _body(request))


async def _body(request: Request) -> bytes:
    """The body, read no further than the limit, whatever its length is said to be."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LONGEST:
            raise Problem(413, f"the body is longer than {BODY_LONGEST} bytes")
    return bytes(body)


async def _problem(_request: Request, error: Exception) -> Response:
    problem = error if isinstance(error, Problem) else Problem(500, "unexpected")
    return Response(document(problem), problem.status, problem.headers, MEDIA_TYPE)


async def _http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    problem = Problem(error.status_code, error.detail, headers=dict(error.headers or {}))
    return await _problem(request, problem)


async def _unavailable(request: Request, error: Exception) -> Response:
    log("database_unavailable", path=request.url.path, error=str(error))
    return await _problem(request, unavailable())
