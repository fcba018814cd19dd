"""The API for those who make and change links, and its description."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.routing import Route, Router

from stack.shortener.api import docs_page, openapi, qr_code, request_body, validation
from stack.shortener.api.access import AccessCheck, Caller, header
from stack.shortener.api.link_creation import LinkCreation
from stack.shortener.api.links import LinkStore, ShortLink
from stack.shortener.api.resources import ApiResponse, Resource, as_json
from stack.shortener.api.validation import NewLink
from stack.shortener.http import asgi, pages
from stack.shortener.http.problems import Problem, unavailable
from stack.shortener.http.targets import TargetRules
from stack.shortener.infra.client_address import TrustedProxies
from stack.shortener.infra.codes import CODE
from stack.shortener.infra.database import DatabaseUnavailable
from stack.shortener.infra.log import log
from stack.shortener.infra.metrics import Metrics
from stack.shortener.redirect.cache import Cache, CacheUnavailable
from stack.shortener.settings import WebSettings

PAGES = frozenset({"/docs", "/openapi.json"})  # those of one segment, which no link can have
# Answers are for this client now, and nothing in them may be run or framed.
HEADERS: asgi.Headers = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
_NO_STORE: asgi.Headers = ((b"cache-control", b"no-store"),)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")

Wanted = TypeVar("Wanted")


class LinkApi:
    """The endpoints; each change of a link is told to the cache before it is answered."""

    def __init__(
        self,
        links: LinkStore,
        maker: LinkCreation,
        cache: Cache,
        metrics: Metrics,
        gate: AccessCheck,
        peers: TrustedProxies,
        settings: WebSettings,
    ) -> None:
        self._links = links
        self._maker = maker
        self._cache = cache
        self._metrics = metrics
        self._gate = gate
        self._peers = peers
        self._settings = settings
        self._public_url = settings.public_url
        self._targets = TargetRules(settings.refuse_private_targets, self._public_url)
        self._router = Router(self._routes(), redirect_slashes=False, default=self._nothing_here)
        self._described = lru_cache(maxsize=16)(self._describe)

    def _routes(self) -> Sequence[Route]:
        one = "/api/links/{code}"

        def at(path: str, **endpoints: Any) -> Route:
            return Route(path, Resource(HEADERS, **endpoints))

        return [
            at("/api/links", POST=("create", self.create), GET=("list", self.page)),
            at("/api/links/bulk", POST=("bulk", self.create_all)),
            at(
                one,
                GET=("read", self.show),
                PATCH=("change", self.update),
                DELETE=("delete", self.delete),
            ),
            at(f"{one}/stats", GET=("stats", self.stats)),
            at(f"{one}/qr", GET=("qr", self.draw)),
            at("/openapi.json", GET=("docs", self.description)),
            Route("/docs", Resource((*pages.HEADERS, *_NO_STORE), GET=("docs", self.docs))),
        ]

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """Answer a request; what is wrong with it is told in the form that it asks for."""
        try:
            scope["shortener.visit"] = await self._gate.enter(scope)
            await self._router(scope, receive, send)
        except Problem as problem:
            await self._refuse(scope, send, problem)
        except DatabaseUnavailable as error:
            log("database_unavailable", level="warning", path=scope["path"], error=str(error))
            await self._refuse(scope, send, unavailable())

    async def _nothing_here(self, _scope: asgi.Scope, _receive: asgi.Receive, _: asgi.Send) -> None:
        docs = f"{urlsplit(self._public_url).path}/docs"
        raise Problem(404, f"there is nothing here; what there is stands at {docs}")

    async def _refuse(self, scope: asgi.Scope, send: asgi.Send, problem: Problem) -> None:
        visit: Caller | None = scope.get("shortener.visit")
        more = visit.headers if visit else ()
        await pages.problem(send, problem, scope["headers"], (*_NO_STORE, *more))

    async def create(self, request: Request) -> ApiResponse:
        """POST /api/links: 201 with the link; again 201 for the same Idempotency-Key and body."""
        key = validation.idempotency_key(request.headers.get("idempotency-key"))
        base = self._base(request)
        members = await self._members(request, self._settings.api_body_max_bytes)

        def checked(now: datetime) -> NewLink:
            return validation.new_link(members, now, self._targets, base)

        wanted, late = _wanted(checked, key)
        if key is None:
            link, fresh = await self._maker.create(wanted, _owner(request)), True
        else:
            [link], fresh = await self._maker.create_once(
                key, [wanted], _owner(request), bulk=False, late=late
            )
        if fresh:
            await self._made([wanted])
        location = (b"location", b"/api/links/" + link.code.encode())
        return as_json(201, self._shown(link, base), _tag(link), location)

    async def create_all(self, request: Request) -> ApiResponse:
        """POST /api/links/bulk: 201 with all the links in their order, or none is made."""
        settings = self._settings
        key = validation.idempotency_key(request.headers.get("idempotency-key"))
        base = self._base(request)
        members = await self._members(request, settings.bulk_body_max_bytes)

        def checked(now: datetime) -> list[NewLink]:
            return validation.new_links(members, now, settings.bulk_max_links, self._targets, base)

        wanted, late = _wanted(checked, key)
        self._gate.charge(_visit(request), len(wanted))
        if key is None:
            links, fresh = await self._maker.create_all(wanted, _owner(request)), True
        else:
            links, fresh = await self._maker.create_once(
                key, wanted, _owner(request), bulk=True, late=late
            )
        if fresh:
            await self._made(wanted)
        return as_json(201, {"links": [self._shown(link, base) for link in links]})

    async def page(self, request: Request) -> ApiResponse:
        """GET /api/links: some links, newest first, and where the next ones are."""
        page = validation.page(request.query_params.multi_items())
        base = self._base(request)
        listed = await self._links.page(page, _owner(request))
        members = {
            "links": [self._shown(link, base) for link in listed.links],
            "next": str(listed.next) if listed.next else None,
        }
        if listed.next is None:
            return as_json(200, members)
        next_page = f'</api/links?limit={page.limit}&after={listed.next}>; rel="next"'
        return as_json(200, members, (b"link", next_page.encode()))

    async def show(self, request: Request) -> ApiResponse:
        """GET /api/links/{code}: the link as it is now."""
        base = self._base(request)
        link = await self._links.get(_code(request), _owner(request))
        return as_json(200, self._shown(link, base), _tag(link))

    async def update(self, request: Request) -> ApiResponse:
        """PATCH /api/links/{code}: change what is given, if the link is still as If-Match says."""
        code, base = _code(request), self._base(request)
        versions = validation.versions(_if_match(request))
        members = await self._members(request, self._settings.api_body_max_bytes)
        change = validation.change(members, self._targets, base)
        link = await self._links.update(code, change, versions, _owner(request))
        await self._changed(link.code, link.version)
        return as_json(200, self._shown(link, base), _tag(link))

    async def delete(self, request: Request) -> ApiResponse:
        """DELETE /api/links/{code}: 204, and the code is never used again."""
        code, versions = _code(request), validation.versions(_if_match(request))
        await self._changed(code, await self._links.delete(code, versions, _owner(request)))
        return ApiResponse(204)

    async def stats(self, request: Request) -> ApiResponse:
        """GET /api/links/{code}/stats: what was counted so far."""
        return as_json(200, await self._links.stats(_code(request), _owner(request)))

    async def draw(self, request: Request) -> ApiResponse:
        """GET /api/links/{code}/qr: the short link as a QR code."""
        code, base = _code(request), self._base(request)
        form, scale = validation.picture(request.query_params.multi_items())
        await self._links.get(code, _owner(request))
        self._gate.charge(_visit(request), qr_code.WORTH)
        short_url = f"{self._public_url or base}/{code}"
        picture = await asyncio.to_thread(qr_code.draw, short_url, form, scale)
        return ApiResponse(200, picture, ((b"content-type", qr_code.MEDIA_TYPES[form].encode()),))

    async def description(self, request: Request) -> ApiResponse:
        """GET /openapi.json: this API, described for programs."""
        document, _ = self._described(self._public_url or self._base(request))
        return ApiResponse(200, document, ((b"content-type", b"application/json"),))

    async def docs(self, request: Request) -> ApiResponse:
        """GET /docs: this API, described for people."""
        _, page = self._described(self._public_url or self._base(request))
        return ApiResponse(200, page, ((b"content-type", pages.MEDIA_TYPE),))

    def _describe(self, base: str) -> tuple[bytes, bytes]:
        settings = self._settings
        document = openapi.document(
            openapi.DeploymentFacts(
                base=base,
                needs_key=settings.require_api_key,
                is_rate_limited=settings.api_rate_per_s > 0,
                bulk_max_links=settings.bulk_max_links,
                body_longest=settings.api_body_max_bytes,
                bulk_body_max_bytes=settings.bulk_body_max_bytes,
            )
        )
        return openapi.as_bytes(document), docs_page.render(document)

    async def _members(self, request: Request, longest: int) -> dict[str, Any]:
        return await request_body.members(request, longest, self._settings.api_body_timeout_s)

    async def _made(self, wanted: Sequence[NewLink]) -> None:
        """Forget that the aliases were unknown. A random code nobody has asked for before."""
        codes = [each.alias for each in wanted if each.alias is not None]
        if codes:
            await asyncio.gather(*(self._changed(code, 1) for code in codes))

    async def _changed(self, code: str, version: int) -> None:
        """Tell the cache; if it cannot be told now, it is told as soon as it can be."""
        try:
            await self._cache.invalidate(code, version)
        except CacheUnavailable as error:
            self._metrics.cache_failures += 1
            log("cache_not_told", level="warning", code=code, version=version, error=repr(error))

    def _base(self, request: Request) -> str:
        """The address that the request was sent to, as its sender knows it."""
        asked: asgi.Headers = request.scope["headers"]
        host = header(asked, b"host").decode("latin-1")
        if not host:  # HTTP/1.0 need not say it
            host = "{}:{}".format(*request.scope["server"])
        if not _is_host(host):
            raise Problem(400, "the Host header is malformed")
        client = request.scope.get("client")
        scheme = _forwarded_scheme(asked) if client and self._peers.is_trusted(client[0]) else ""
        return f"{scheme or request.scope['scheme']}://{host}"

    def _shown(self, link: ShortLink, base: str) -> Mapping[str, Any]:
        """The link as JSON has it; the examples rely on the code being the first."""
        return {
            "code": link.code,
            "short_url": f"{self._public_url or base}/{link.code}",
            "url": link.url,
            "version": link.version,
            "disabled": link.disabled,
            "expires_at": link.expires_at.isoformat() if link.expires_at else None,
            "max_clicks": link.max_clicks,
            "uses": link.uses,
            "created_at": link.created_at.isoformat(),
            "updated_at": link.updated_at.isoformat(),
        }


def _wanted(
    checked: Callable[[datetime], Wanted], key: str | None
) -> tuple[Wanted, Problem | None]:
    """What is asked for, and what is wrong with it only by now.

    Who repeats a request gets its answer, even if the link has expired meanwhile.
    """
    try:
        return checked(datetime.now(UTC)), None
    except Problem as problem:
        if key is None:
            raise
        return checked(_LONG_AGO), problem


@lru_cache(maxsize=1024)
def _is_host(host: str) -> bool:
    try:
        return _HOST.fullmatch(host) is not None and urlsplit(f"//{host}").port != 0
    except ValueError:  # no IPv6 address, or no port
        return False


def _forwarded_scheme(asked: asgi.Headers) -> str:
    """How the client spoke to the first proxy; those behind it may have added how they spoke."""
    told = next((value for name, value in asked if name == b"x-forwarded-proto"), b"")
    first = told.partition(b",")[0].strip().lower()
    return first.decode() if first in (b"http", b"https") else ""


def _visit(request: Request) -> Caller:
    visit: Caller = request.scope["shortener.visit"]
    return visit


def _owner(request: Request) -> str | None:
    return _visit(request).owner


def _tag(link: ShortLink) -> tuple[bytes, bytes]:
    return b"etag", b'"%d"' % link.version


def _if_match(request: Request) -> str | None:
    """All of them as one; a list of tags may be spread over several headers."""
    return ",".join(request.headers.getlist("if-match")) or request.headers.get("if-match")


def _code(request: Request) -> str:
    code: str = request.path_params["code"]
    if CODE.fullmatch(code) is None:
        raise Problem(404, "there is no such link")
    return code
